"""What travels with a batch: it reaches the loss, and not the model; documents that do not count weigh 0."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from tokensieve.data import Document
from tokensieve.data.tokenized import WEIGHT, TokenizedDocuments
from tokensieve.training.loop.epoch_order import PaddedDocuments
from tokensieve.training.loop.trainer import TokensieveTrainer
from tokensieve.training.losses.batch import LOGITS, POOLED, WithTargets, items_in, taken_for_the_loss

IDS, LABELS, WEIGHTS = torch.ones(3, 5, dtype=torch.long), torch.tensor([0, 2, 1]), torch.tensor([0.5, 2.0, 0.0])
TARGETS = {LOGITS: torch.rand(3, 4), POOLED: torch.rand(3, 6)}


def test_labels_weights_and_targets_are_taken_out() -> None:
    batch: dict[str, Any] = {"input_ids": IDS, "labels": LABELS, WEIGHT: WEIGHTS, **TARGETS}
    labels, arguments = taken_for_the_loss(batch)
    assert batch == {"input_ids": IDS}
    assert labels is LABELS
    assert arguments == {"sample_weight": WEIGHTS, "targets": TARGETS}


def test_a_loss_gets_no_argument_that_a_batch_has_not() -> None:
    assert taken_for_the_loss({"input_ids": IDS}) == (None, {})


@pytest.mark.parametrize(
    ("beside", "items"),
    [
        ({}, 3.0),
        ({WEIGHT: WEIGHTS}, 2.5),
        ({"labels": LABELS}, 3.0),
        ({"labels": LABELS, WEIGHT: WEIGHTS}, 2.5),
        ({"labels": torch.ones(3, 4)}, 12.0),
        ({"labels": torch.ones(3, 4), WEIGHT: WEIGHTS}, 10.0),
    ],
    ids=["documents", "weights", "labels", "labels by weight", "several labels", "several by weight"],
)
def test_the_items_of_a_batch(beside: dict[str, Any], items: float) -> None:
    assert float(items_in({"input_ids": IDS, **beside})) == items


@pytest.mark.parametrize("processes", [1, 2])
def test_the_model_reads_its_inputs_and_the_loss_the_rest(processes: int) -> None:
    """The loss is divided by the items of all processes, and gradients are a mean over these."""
    seen: dict[str, Any] = {}

    def model(**inputs: Any) -> str:
        seen["inputs"] = inputs
        return "outputs"

    def loss(outputs: Any, labels: Any, items: Any, **arguments: Any) -> torch.Tensor:
        seen["loss"] = (outputs, labels, items, arguments)
        return torch.tensor(3.0)

    trainer = object.__new__(TokensieveTrainer)
    trainer.compute_loss_func = loss
    trainer.sandwich = None
    trainer.args = SimpleNamespace(average_tokens_across_devices=True)
    trainer.accelerator = SimpleNamespace(num_processes=processes)
    batch = {"input_ids": IDS, "labels": LABELS, WEIGHT: WEIGHTS, **TARGETS}
    found = trainer.compute_loss(model, batch, return_outputs=True, num_items_in_batch=7)
    assert found == (3.0 * processes, "outputs")
    assert seen["inputs"] == {"input_ids": IDS}
    assert seen["loss"] == ("outputs", LABELS, 7, {"sample_weight": WEIGHTS, "targets": TARGETS})


def tokenized(tokenizer: PreTrainedTokenizerFast, *weights: float, labels: bool = True) -> TokenizedDocuments:
    documents = [
        Document(text, "law" if labels else None, "made up", 1, weight=weight)
        for text, weight in zip(("a law", "the law of the market"), weights, strict=True)
    ]
    return TokenizedDocuments(documents, tokenizer, 32, ["law"] if labels else None)


def test_documents_without_labels_have_a_weight_and_no_label(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    items = tokenized(tiny_tokenizer, 0.5, 2.0, labels=False)
    assert [item[WEIGHT] for item in (items[0], items[1])] == [0.5, 2.0]
    assert "labels" not in items[0]
    assert WEIGHT not in tokenized(tiny_tokenizer, 1.0, 1.0, labels=False)[0]


def test_targets_are_those_of_the_document(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    documents = WithTargets(tokenized(tiny_tokenizer, 1.0, 1.0), {POOLED: torch.tensor([[1.0, 2.0], [3.0, 4.0]])})
    assert len(documents) == 2
    assert documents[1][POOLED] == [3.0, 4.0]
    assert documents[1]["input_ids"] == documents.documents[1]["input_ids"]


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 2.0)])
def test_copies_that_fill_up_weigh_nothing(tiny_tokenizer: PreTrainedTokenizerFast, weights: tuple[float, ...]) -> None:
    documents = tokenized(tiny_tokenizer, *weights)
    padded = PaddedDocuments(documents, 4)
    assert len(padded) == 2
    assert [padded[place][WEIGHT] for place in range(4)] == [*weights, 0.0, 0.0]
    assert padded[3] == {**documents[0], WEIGHT: 0.0}, "a copy has the label of its document"
    alone = PaddedDocuments(documents, 2)
    assert [alone[place] for place in range(2)] == [documents[place] for place in range(2)]
