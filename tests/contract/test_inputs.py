"""What a batch may look like, and the one clear error for each that the model cannot take."""

import pytest
import torch

from contract.variants import CLS, POSITIONS, SEP, VOCABULARY, batch, documents, settings, tiny_model
from tokensieve import ConfigError, InputError, ReductionConfig

MODEL = tiny_model(settings(combine_layer=3))


def ids(*shape: int) -> torch.Tensor:
    return torch.ones(*shape, dtype=torch.long)


PAIR = torch.tensor([[CLS, SEP]])
REFUSED: dict[str, tuple[dict[str, torch.Tensor], str]] = {
    "no batch": ({"input_ids": ids(POSITIONS + 1)}, "shape"),
    "vectors": ({"input_ids": ids(1, 2, 3)}, "shape"),
    "too long": ({"input_ids": ids(1, POSITIONS + 1)}, rf"\b{POSITIONS + 1} tokens.*\b{POSITIONS}\b"),
    "mask of another shape": ({"input_ids": ids(2, 3), "attention_mask": ids(2, 4)}, "attention_mask"),
    "nothing but padding": (
        {"input_ids": ids(2, 3), "attention_mask": torch.tensor([[1] * 3, [0] * 3])},
        "document 1 ",
    ),
    "no tokens": ({"input_ids": ids(2, 0)}, "document 0 .*no tokens"),
    "no documents": ({"input_ids": ids(0, 3)}, "documents"),
    "id over the vocabulary": ({"input_ids": torch.tensor([[CLS, VOCABULARY, SEP]])}, rf"\b{VOCABULARY}\b"),
    "negative id": ({"input_ids": torch.tensor([[CLS, -1, SEP]])}, "-1"),
    "no such segment": ({"input_ids": PAIR, "token_type_ids": torch.tensor([[0, 2]])}, "token_type_ids"),
    "segments of another shape": ({"input_ids": ids(2, 5), "token_type_ids": ids(2, 4)}, "token_type_ids has shape"),
    "positions of another shape": ({"input_ids": ids(2, 5), "position_ids": ids(2, 4)}, "position_ids has shape"),
    "ids that are no whole numbers": ({"input_ids": ids(1, 3).float()}, "input_ids has the type torch.float32"),
    "no such position": ({"input_ids": PAIR, "position_ids": torch.tensor([[0, POSITIONS]])}, "position"),
}


@pytest.mark.parametrize(("inputs", "named"), REFUSED.values(), ids=REFUSED)
def test_batches_that_cannot_be(inputs: dict[str, torch.Tensor], named: str) -> None:
    with pytest.raises(InputError, match=named):
        MODEL(**inputs)


def test_combination_tokens_take_no_position() -> None:
    """512 counts text tokens alone: a document as long as the position table is taken, combination tokens beside it."""
    assert MODEL(**batch(documents((POSITIONS,)))).logits.isfinite().all()


@torch.no_grad()
def test_padding_may_be_wider_than_the_position_table() -> None:
    texts = documents((5, 9))
    wide = MODEL(**batch(texts, width=POSITIONS + 30)).logits
    torch.testing.assert_close(wide, MODEL(**batch(texts)).logits, atol=1e-5, rtol=0)


@torch.no_grad()
def test_what_stands_in_the_padding_does_not_matter() -> None:
    inputs = batch(documents((5, 9, 20)))
    mask = inputs["attention_mask"].bool()
    other = inputs["input_ids"].where(mask, torch.randint(0, VOCABULARY, mask.shape))
    for side in ({}, {"token_type_ids": torch.zeros_like(other).where(mask, torch.tensor(1))}):
        found = MODEL(input_ids=other, attention_mask=inputs["attention_mask"], **side).logits
        torch.testing.assert_close(found, MODEL(**inputs).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.long, torch.int32, torch.bool, torch.float32])
@torch.no_grad()
def test_masks_of_any_type(dtype: torch.dtype) -> None:
    inputs = batch(documents((5, 9)))
    typed = {**inputs, "attention_mask": inputs["attention_mask"].to(dtype)}
    assert torch.equal(MODEL(**typed).logits, MODEL(**inputs).logits)


@torch.no_grad()
def test_positions_that_skip_padding_count_what_is_there() -> None:
    """RoBERTa's rule: the table holds two positions fewer, and an attended padding id takes none."""
    model = tiny_model(
        settings(), pad_token_id=1, position_offset=2, positions_skip_padding=True, special_token_ids=[0, 2]
    )
    longest = POSITIONS - 2
    assert model(input_ids=torch.randint(5, VOCABULARY, (1, longest))).logits.isfinite().all()
    with pytest.raises(InputError, match=rf"\b{longest + 1} tokens.*\b{longest}\b"):
        model(input_ids=torch.randint(5, VOCABULARY, (1, longest + 1)))
    for side in ("right", "left"):
        inputs = batch([[0, 7, 8, 1, 9, 2], [0, 2]], side)
        inputs["input_ids"] = inputs["input_ids"].where(inputs["attention_mask"].bool(), torch.tensor(1))
        alone = torch.cat([model(input_ids=torch.tensor([ids])).logits for ids in ([0, 7, 8, 1, 9, 2], [0, 2])])
        torch.testing.assert_close(model(**inputs).logits, alone, atol=1e-5, rtol=0)


def vectors(*shape: int) -> torch.Tensor:
    return torch.zeros(*shape)


WIDTH = MODEL.config.hidden_size
REFUSED_VECTORS: dict[str, tuple[dict[str, torch.Tensor], str]] = {
    "neither": ({}, "neither of input_ids and inputs_embeds"),
    "both": ({"input_ids": PAIR, "inputs_embeds": vectors(1, 2, WIDTH)}, "both"),
    "ids in their place": ({"inputs_embeds": ids(1, 2)}, "inputs_embeds has shape"),
    "another width": ({"inputs_embeds": vectors(1, 2, WIDTH + 1)}, rf"\b{WIDTH}\b"),
    "no vectors": ({"inputs_embeds": vectors(0, 2, WIDTH)}, "one document or more"),
    "too many": ({"inputs_embeds": vectors(1, POSITIONS + 1, WIDTH)}, rf"\b{POSITIONS + 1} tokens"),
    "vectors and a mask": (
        {"inputs_embeds": vectors(1, 2, WIDTH), "attention_mask": ids(1, 3)},
        r"inputs_embeds \(1, 2\)",
    ),
}


@pytest.mark.parametrize(("inputs", "named"), REFUSED_VECTORS.values(), ids=REFUSED_VECTORS)
def test_word_vectors_that_cannot_be(inputs: dict[str, torch.Tensor], named: str) -> None:
    with pytest.raises(InputError, match=named):
        MODEL(**inputs)


@pytest.mark.parametrize("reduction", [settings(combine_layer=3), settings(site="hidden"), settings(heads="per_head")])
@pytest.mark.parametrize("side", ["right", "left"])
def test_word_vectors_in_place_of_ids(reduction: ReductionConfig, side: str) -> None:
    model, inputs = tiny_model(reduction), batch(documents((17, 9, 40, 2)), side)
    words = model.get_input_embeddings()(inputs["input_ids"])
    with torch.no_grad():
        from_ids = model(**inputs)
        from_vectors = model(inputs_embeds=words, attention_mask=inputs["attention_mask"])
    torch.testing.assert_close(from_vectors.logits, from_ids.logits, atol=1e-6, rtol=0)
    assert from_vectors.trace.survivors() == from_ids.trace.survivors()


def test_a_gradient_reaches_the_word_vectors() -> None:
    inputs = batch(documents((17, 9)))
    words = MODEL.get_input_embeddings()(inputs["input_ids"]).detach().requires_grad_()
    MODEL(inputs_embeds=words, attention_mask=inputs["attention_mask"]).logits[0].sum().backward()
    assert words.grad is not None
    assert words.grad[0].abs().sum() > 0
    assert not words.grad[1].any(), "one document's logits depend on another document"


@pytest.mark.parametrize("name", ["output_attentions", "output_hidden_states"])
def test_padded_tensors_are_not_offered(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}=True.*trace"):
        MODEL(input_ids=PAIR, **{name: True})
    assert MODEL(input_ids=PAIR, **{name: False}).logits.shape == (1, 3)


@pytest.mark.parametrize("reduction", [settings(), settings(combine_layer=3), settings(pooling="mean")])
def test_document_vectors_are_what_the_last_layer_reads(reduction: ReductionConfig) -> None:
    model, inputs = tiny_model(reduction), batch(documents((17, 9, 40)))
    with torch.no_grad():
        output = model(**inputs)
        assert output.pooled.shape == (3, WIDTH)
        torch.testing.assert_close(model.head.classifier(output.pooled), output.logits)


def test_vectors_of_half_precision_are_those_of_full_precision() -> None:
    words = MODEL.embeddings.word_embeddings(torch.tensor([[CLS, 7, 8, SEP]])).detach().bfloat16()
    with torch.no_grad():
        half, full = (MODEL(inputs_embeds=own).logits for own in (words, words.float()))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full)
