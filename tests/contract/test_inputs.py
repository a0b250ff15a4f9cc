"""What a batch may look like, and the one clear error for each that the model cannot take."""

import pytest
import torch

from contract.variants import CLS, POSITIONS, SEP, VOCABULARY, batch, documents, settings, tiny_model
from tokensieve import InputError

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
