"""The engine takes a batch through the model some documents at a time on CPU, and nothing else shows it."""

from collections.abc import Callable

import pytest
import torch

from contract.variants import SEP, UNEQUAL, batch, documents, each_variant, settings, tiny_model
from flat import flat_of
from tokensieve import ReductionConfig
from tokensieve.model.answers import Answers
from tokensieve.model.batch import Batch, check_batch
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.runtime import micro_batches
from tokensieve.runtime.micro_batches import read_in_micro_batches

LENGTHS = (*UNEQUAL, 9, 40)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(micro_batches, "MICRO_BATCH_TOKENS", 20)


@pytest.fixture(autouse=True)
def one_thread(use_threads: Callable[[int], None]) -> None:
    """As in a worker of the whole suite; micro-batches on threads of their own have other tests."""
    use_threads(1)


@torch.no_grad()
def read(model: TokensieveForSequenceClassification, **inputs: torch.Tensor) -> Answers:
    return read_in_micro_batches(model, check_batch(model.config, **inputs))


def seen_rows(model: torch.nn.Module) -> list[int]:
    """Filled with the documents of each pass through the embeddings."""
    rows: list[int] = []
    model.embeddings.register_forward_pre_hook(lambda _, given: rows.append(len(given[0].lengths)))
    return rows


@each_variant
def test_micro_batches_change_nothing(reduction: ReductionConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = tiny_model(reduction), batch(documents(LENGTHS), side="left")
    rows = seen_rows(model)
    with torch.no_grad():
        whole = model(**inputs)
    monkeypatch.setattr(micro_batches, "MICRO_BATCH_TOKENS", round(20 * model.encoder.first_share))
    found = read(model, **inputs)
    more_work = (
        flat_of(reduction).score == "learned" and flat_of(reduction).min_tokens > 1
    )  # than the shares tell: each document is a micro-batch
    assert rows == [6, *([1] * 6 if more_work else [2, 1, 2, 1])]
    for name in ("logits", "pooled"):
        torch.testing.assert_close(getattr(found, name), whole[name], atol=1e-5, rtol=0)
    assert found.trace.kept == whole.trace.kept
    assert found.trace.survivors() == whole.trace.survivors()
    assert found.trace.assignments() == whole.trace.assignments()


@pytest.mark.parametrize(
    ("threads", "lengths", "tokens"),
    [
        (1, (256,) * 9, [768, 768, 768]),
        (1, (200, 300), [500]),
        (2, (256,) * 9, [512, 768, 512, 512]),
        (2, (256,) * 32, [1024] * 8),
        (2, (500, 500, 100, 100), [500, 700]),
        (2, (300, 200, 100, 100), [700]),
        (2, (3000, 10, 10), [3000, 20]),
        (4, (256,) * 8, [512] * 4),
        (99, (512,) * 64, [1024] * 32),
    ],
)
def test_micro_batches_are_even_and_a_multiple_of_those_that_run_at_once(
    threads: int, lengths: tuple[int, ...], tokens: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    whole = Batch(mask.long(), None, mask, None, None, lengths)
    found = micro_batches.micro_batches(whole)
    assert [sum(own.lengths) for own in found] == tokens
    assert torch.equal(torch.cat([own.mask for own in found]), mask)


def test_tokens_that_leave_ahead_of_the_first_layer_do_not_count() -> None:
    model = tiny_model(settings(pruning="ratio", site="hidden", score="learned", keep_ratio=0.5, min_length=100))
    lengths = (99, 400, 400, 800, 99, 300)
    assert model.encoder.rows_after_first_pruning(lengths) == [99, 200, 200, 400, 99, 150]
    mask = torch.arange(800) < torch.tensor(lengths).unsqueeze(1)
    whole = Batch(mask.long(), None, mask, None, None, lengths)
    assert len(micro_batches.micro_batches(whole)) == 3
    found = micro_batches.micro_batches(whole, model.encoder.rows_after_first_pruning(lengths))
    assert [own.lengths for own in found] == [lengths[:3], lengths[3:]]


@pytest.mark.parametrize("reduction", [settings(pruning="ratio", site="hidden"), settings(pruning="ratio"), settings()])
def test_where_they_leave_later_all_tokens_count(reduction: ReductionConfig) -> None:
    assert tiny_model(reduction).encoder.rows_after_first_pruning((5, 40)) == [5, 40]


@pytest.mark.usefixtures("few")
def test_documents_that_are_not_pruned_beside_others() -> None:
    """Sets of keys by head in one micro-batch, one set of all keys in another."""
    model = tiny_model(settings(pruning="ratio", heads="per_head", min_length=12))
    inputs = batch(documents((5, 9, 40)))
    trace = read(model, **inputs).trace
    assert [len(left) for left in trace.survivors()[:2]] == [5, 9]
    assert trace.kept[-1][2] < 40


@pytest.mark.usefixtures("few")
def test_every_input_is_parted() -> None:
    model, inputs = tiny_model(settings(pruning="ratio", site="hidden")), batch(documents((17, 12, 30)))
    ids = inputs["input_ids"]
    ids[:, 7] = SEP
    inputs |= {
        "token_type_ids": (torch.arange(ids.shape[1]) > 7).long().expand_as(ids),
        "position_ids": torch.arange(ids.shape[1]).flip(0),
    }
    alone = [{name: tensor[row : row + 1] for name, tensor in inputs.items()} for row in range(3)]
    for own in alone:
        own["position_ids"] = inputs["position_ids"]
    with torch.no_grad():
        expected = torch.cat([model(**own).logits for own in alone])
        torch.testing.assert_close(read(model, **inputs).logits, expected, atol=1e-5, rtol=0)
        words = model.embeddings.word_embeddings(inputs.pop("input_ids"))
        torch.testing.assert_close(read(model, inputs_embeds=words, **inputs).logits, expected, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("few")
def test_with_gradients_the_batch_stays_whole() -> None:
    model, inputs = tiny_model(settings(pruning="ratio")), batch(documents(LENGTHS))
    rows = seen_rows(model)
    model(**inputs, labels=torch.zeros(6, dtype=torch.long)).loss.backward()
    assert rows == [6]


@pytest.mark.usefixtures("few")
def test_what_several_micro_batches_have_freed_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a batch; a batch of one micro-batch, and a model called by itself, leave it to the allocator."""
    model, returned = tiny_model(settings(pruning="ratio")), []
    monkeypatch.setattr(micro_batches, "return_piled_up_pages", lambda: returned.append(True))
    read(model, **batch(documents((5, 9))))
    with torch.no_grad():
        model(**batch(documents(LENGTHS)))
    assert not returned
    read(model, **batch(documents(LENGTHS)))
    assert returned == [True]
