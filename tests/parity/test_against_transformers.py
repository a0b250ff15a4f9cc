"""With nothing reduced and the host's head, the logits are those of transformers, for every family."""

from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel

from parity.hosts import HOSTS, LABELS, build_host, host_batch
from tokensieve import ReductionConfig, compress

each_host = pytest.mark.parametrize("name", HOSTS)
DENSE = ReductionConfig.preset("dense")
WITH_SEGMENTS = ("bert", "electra", "electra-projected")


def logits_of_both(host: PreTrainedModel, **inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        return compress(host, DENSE)(**inputs).logits, host(**inputs).logits


def agree(host: PreTrainedModel, **inputs: Any) -> None:
    ours, theirs = logits_of_both(host, **inputs)
    assert theirs.std() > 0.05, "logits this small agree whatever the model does"
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@each_host
def test_right_padding(name: str) -> None:
    host = build_host(name)
    agree(host, **host_batch(host))


@each_host
def test_no_mask(name: str) -> None:
    host = build_host(name)
    agree(host, input_ids=torch.randint(5, 100, (2, 13)))


@pytest.mark.parametrize("name", WITH_SEGMENTS)
def test_segments(name: str) -> None:
    host = build_host(name)
    inputs = host_batch(host)
    segments = torch.randint(0, 2, inputs["input_ids"].shape)
    agree(host, **inputs, token_type_ids=segments)
    one, other = (logits_of_both(host, **inputs, token_type_ids=kind)[0] for kind in (segments, 1 - segments))
    assert (one - other).abs().max() > 0.01


@pytest.mark.parametrize("name", ["roberta", "xlm-roberta"])
@pytest.mark.parametrize("masked", [True, False])
def test_positions_come_from_the_ids(name: str, masked: bool) -> None:
    """An id equal to the padding id takes no position, attended to or not."""
    host = build_host(name)
    inputs = host_batch(host)
    inputs["input_ids"][2, 5:9] = host.config.pad_token_id
    inputs["input_ids"][4, 0] = host.config.pad_token_id
    agree(host, **inputs if masked else {"input_ids": inputs["input_ids"]})


def test_given_positions() -> None:
    host = build_host("bert")
    inputs = host_batch(host)
    agree(host, **inputs, position_ids=torch.arange(50).flip(0).expand(5, -1))


@each_host
def test_bfloat16(name: str) -> None:
    """Eight bits of mantissa: the two may differ by rounding, no more."""
    host = build_host(name)
    inputs = host_batch(host)
    full = host(**inputs).logits.detach()
    ours, theirs = logits_of_both(host.bfloat16(), **inputs)
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
    host = build_host("bert")
    host.config.problem_type = problem_type
    inputs = host_batch(host)
    ours = compress(host, DENSE)(**inputs, labels=labels).loss
    torch.testing.assert_close(ours, host(**inputs, labels=labels).loss, atol=1e-5, rtol=0)


def test_regression_loss() -> None:
    torch.manual_seed(2)
    host = HOSTS["bert"]().eval()
    model = compress(host, DENSE, num_labels=1)
    inputs, targets = host_batch(host), torch.randn(5)
    output = model(**inputs, labels=targets)
    assert output.logits.shape == (5, 1)
    torch.testing.assert_close(output.loss, ((output.logits[:, 0] - targets) ** 2).mean())


def test_tuple_output_is_transformers() -> None:
    host = build_host("bert")
    inputs = host_batch(host) | {"labels": torch.tensor([0, 2, 1, 1, 0])}
    ours, theirs = compress(host, DENSE)(**inputs, return_dict=False), host(**inputs, return_dict=False)
    assert len(ours) == len(theirs) == 2
    torch.testing.assert_close(ours[1], theirs[1], atol=1e-4, rtol=0)


@pytest.mark.slow
def test_bert_base_shape() -> None:
    host = BertForSequenceClassification(BertConfig(num_labels=5)).eval()
    mask = torch.arange(200) < torch.tensor([[200], [37]])
    inputs = {"input_ids": torch.randint(5, 30000, mask.shape), "attention_mask": mask.long()}
    ours, theirs = logits_of_both(host, **inputs)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@each_host
def test_word_vectors_in_place_of_ids(name: str) -> None:
    host = build_host(name)
    inputs = host_batch(host)
    words = host.get_input_embeddings()(inputs["input_ids"]).detach()
    agree(host, inputs_embeds=words, attention_mask=inputs["attention_mask"])
