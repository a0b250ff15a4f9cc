"""With nothing reduced and the pretrained head, the logits are those of transformers, for every family."""

from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from parity.sources import LABELS, LONGEST, SOURCES, build_source, modernbert, source_batch
from tokensieve import ReductionConfig, TokensieveModel, compress

each_source = pytest.mark.parametrize("name", SOURCES)
DENSE = ReductionConfig.preset("dense")
PLACES_ARE_POSITIONS = ("bert", "distilbert", "electra")
"""Families whose positions transformers counts from the first place, be it padding; ours are those of the tokens."""
WITH_SEGMENTS = ("bert", "electra", "electra-projected")


def logits_of_both(source: PreTrainedModel, **inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        return compress(source, DENSE)(**inputs).logits, source(**inputs).logits


def agree(source: PreTrainedModel, **inputs: Any) -> None:
    ours, theirs = logits_of_both(source, **inputs)
    assert theirs.std() > 0.05, "logits this small agree whatever the model does"
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@each_source
def test_right_padding(name: str) -> None:
    source = build_source(name)
    agree(source, **source_batch(source))


@pytest.mark.parametrize("name", [name for name in SOURCES if not name.startswith(PLACES_ARE_POSITIONS)])
@pytest.mark.parametrize("side", ["left", "both"])
@torch.no_grad()
def test_other_padding(name: str, side: str) -> None:
    """The vectors of all tokens; the first place, which the heads of transformers read, may be padding."""
    source = build_source(name)
    inputs = source_batch(source)
    length = inputs["attention_mask"].sum(1)
    shifts = ((LONGEST - length) // (1 if side == "left" else 2)).tolist()
    moved = {
        field: torch.stack([row.roll(by) for row, by in zip(rows, shifts, strict=True)])
        for field, rows in inputs.items()
    }
    assert not moved["attention_mask"][:, 0].all()
    ours = TokensieveModel.forward(compress(source, DENSE), **moved)  # type: ignore[arg-type]  # a body with a head
    theirs = source.base_model(**moved).last_hidden_state[moved["attention_mask"].bool()]
    torch.testing.assert_close(ours.tokens.values, theirs, atol=1e-4, rtol=0)  # type: ignore[union-attr]
    assert theirs.std() > 0.05


@each_source
def test_no_mask(name: str) -> None:
    source = build_source(name)
    agree(source, input_ids=torch.randint(5, 100, (2, 13)))


@pytest.mark.parametrize("name", WITH_SEGMENTS)
def test_segments(name: str) -> None:
    source = build_source(name)
    inputs = source_batch(source)
    segments = torch.randint(0, 2, inputs["input_ids"].shape)
    agree(source, **inputs, token_type_ids=segments)
    one, other = (logits_of_both(source, **inputs, token_type_ids=kind)[0] for kind in (segments, 1 - segments))
    assert (one - other).abs().max() > 0.01


@pytest.mark.parametrize("name", ["roberta", "xlm-roberta", "camembert", "mpnet"])
@pytest.mark.parametrize("masked", [True, False])
def test_positions_come_from_the_ids(name: str, masked: bool) -> None:
    """An id equal to the padding id takes no position, attended to or not."""
    source = build_source(name)
    inputs = source_batch(source)
    inputs["input_ids"][2, 5:9] = source.config.pad_token_id
    inputs["input_ids"][4, 0] = source.config.pad_token_id
    agree(source, **inputs if masked else {"input_ids": inputs["input_ids"]})


def test_given_positions() -> None:
    source = build_source("bert")
    inputs = source_batch(source)
    agree(source, **inputs, position_ids=torch.arange(50).flip(0).expand(5, -1))


@each_source
def test_bfloat16(name: str) -> None:
    """Eight bits of mantissa: the two may differ by rounding, no more."""
    source = build_source(name)
    inputs = source_batch(source)
    full = source(**inputs).logits.detach()
    ours, theirs = logits_of_both(source.bfloat16(), **inputs)
    assert ours.dtype == torch.bfloat16
    rounding = float((theirs.float() - full).abs().max())
    assert float((ours - theirs).abs().max()) < max(2 * rounding, 0.05 * float(full.abs().max()))


@pytest.mark.parametrize(
    ("problem_type", "labels"),
    [
        (None, torch.tensor([0, 2, 1, 1, 0])),
        ("single_label_classification", torch.tensor([0, 2, 1, 1, 0])),
        ("multi_label_classification", torch.eye(5)[:, :LABELS]),
        (None, torch.eye(5)[:, :LABELS]),
    ],
    ids=str,
)
def test_loss(problem_type: str | None, labels: torch.Tensor) -> None:
    source = build_source("bert")
    source.config.problem_type = problem_type
    inputs = source_batch(source)
    ours = compress(source, DENSE)(**inputs, labels=labels).loss
    torch.testing.assert_close(ours, source(**inputs, labels=labels).loss, atol=1e-5, rtol=0)


def test_regression_loss() -> None:
    torch.manual_seed(2)
    source = SOURCES["bert"]().eval()
    model = compress(source, DENSE, num_labels=1)
    inputs, targets = source_batch(source), torch.randn(5)
    output = model(**inputs, labels=targets)
    assert output.logits.shape == (5, 1)
    torch.testing.assert_close(output.loss, ((output.logits[:, 0] - targets) ** 2).mean())


def test_tuple_output_is_transformers() -> None:
    source = build_source("bert")
    inputs = source_batch(source) | {"labels": torch.tensor([0, 2, 1, 1, 0])}
    ours, theirs = compress(source, DENSE)(**inputs, return_dict=False), source(**inputs, return_dict=False)
    assert len(ours) == len(theirs) == 2
    torch.testing.assert_close(ours[1], theirs[1], atol=1e-4, rtol=0)


def test_documents_longer_than_a_window() -> None:
    torch.manual_seed(2)
    source = modernbert(local_attention=24, max_position_embeddings=400).eval()
    mask = torch.arange(400) < torch.tensor([[400], [130], [10]])
    agree(source, input_ids=torch.randint(5, 100, mask.shape), attention_mask=mask.long())


@pytest.mark.slow
def test_bert_base_shape() -> None:
    source = BertForSequenceClassification(BertConfig(num_labels=5)).eval()
    mask = torch.arange(200) < torch.tensor([[200], [37]])
    inputs = {"input_ids": torch.randint(5, 30000, mask.shape), "attention_mask": mask.long()}
    ours, theirs = logits_of_both(source, **inputs)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@each_source
def test_word_vectors_in_place_of_ids(name: str) -> None:
    source = build_source(name)
    inputs = source_batch(source)
    words = source.get_input_embeddings()(inputs["input_ids"]).detach()
    agree(source, inputs_embeds=words, attention_mask=inputs["attention_mask"])
