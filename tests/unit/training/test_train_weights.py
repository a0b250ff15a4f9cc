"""Weights of documents: 0 is as if a document was not there, 2 as if it was there twice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tokensieve.cascade.fit import BothStages
from tokensieve.cascade.fit_words import fit_words_first, fusion_weights
from tokensieve.data import DataSplits, Document
from tokensieve.data.tokenized import WEIGHT, TokenizedDocuments
from tokensieve.errors import DataError
from tokensieve.metrics import accuracy_and_f1, expected_calibration_error, multi_label_scores
from tokensieve.tokens import Tokens
from tokensieve.training.compare import compare
from tokensieve.training.fits.calibration import calibrate
from tokensieve.training.fits.head_refit import RidgeMap
from tokensieve.training.fits.importance import LeastSquares
from tokensieve.training.fits.sample import Sample
from tokensieve.training.losses.batch import LOGITS, POOLED
from tokensieve.training.losses.distillation import DistillationLoss
from tokensieve.training.losses.features import FeatureLoss
from tokensieve.training.losses.labels import balanced_positives, balanced_weights, step_loss
from tokensieve.training.recipe import Recipe
from tokensieve.training.words import train_words
from unit.training.keyword_documents import Train, labelled_documents

COUNTS = (2, 0, 1, 1, 3, 0)
WEIGHTS = torch.tensor(COUNTS).double()
ROWS = torch.tensor([row for row, count in enumerate(COUNTS) for _ in range(count)])
"""The documents as often as their weights say."""
IDS = torch.tensor([0, 2, 1, 2, 0, 1])
LISTS = torch.tensor([[1.0, 0, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 1, 1], [1, 1, 0]])


def losses(several: bool) -> dict[str, Callable[..., Tensor]]:
    """Losses by name; of each batch the teacher's targets are those of the chosen rows."""
    class_weights = torch.tensor([0.5, 2.0, 1.0])
    taught = {LOGITS: torch.randn(6, 3), POOLED: torch.randn(6, 5)}
    distillation = DistillationLoss(
        step_loss(class_weights, several), Recipe(teacher="t", distill_weight=0.4, distill_pooled=0.6)
    )
    feature = FeatureLoss(2.0)

    def with_teacher(loss: Any) -> Callable[..., Tensor]:
        def asked(outputs: Any, labels: Tensor, rows: Tensor, *arguments: Any, **options: Any) -> Tensor:
            targets = {name: values[rows] for name, values in taught.items()}
            found: Tensor = loss(outputs, labels, *arguments, **options, targets=targets)
            return found

        return asked

    def alone(loss: Any) -> Callable[..., Tensor]:
        return lambda outputs, labels, rows, *arguments, **options: loss(outputs, labels, *arguments, **options)

    return {
        "labels": alone(step_loss(None, several)),
        "balanced": alone(step_loss(class_weights, several)),
        "teacher": with_teacher(distillation),
        "features": with_teacher(feature),
    }


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several"])
@pytest.mark.parametrize("name", ["labels", "balanced", "teacher", "features"])
def test_the_loss_and_its_gradient_count_documents(name: str, several: bool) -> None:
    loss, labels = losses(several)[name], LISTS if several else IDS
    logits, pooled = torch.randn(6, 3, requires_grad=True), torch.randn(6, 5, requires_grad=True)
    found = loss({"logits": logits, "pooled": pooled}, labels, torch.arange(6), sample_weight=WEIGHTS.float())
    wanted = loss({"logits": logits[ROWS], "pooled": pooled[ROWS]}, labels[ROWS], ROWS)
    torch.testing.assert_close(found, wanted)
    for place in (logits, pooled):
        one, other = (
            torch.autograd.grad(each, place, retain_graph=True, allow_unused=True)[0] for each in (found, wanted)
        )
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several"])
def test_documents_that_fill_up_count_for_nothing(several: bool) -> None:
    loss, labels = step_loss(None, several), (LISTS if several else IDS)
    logits, weights = torch.randn(6, 3), WEIGHTS.float()
    wanted = loss({"logits": logits[:4]}, labels[:4], sample_weight=weights[:4])
    weights[4:] = 0
    torch.testing.assert_close(loss({"logits": logits}, labels, sample_weight=weights), wanted)


def test_a_batch_without_weight_has_no_loss() -> None:
    logits = torch.randn(6, 3, requires_grad=True)
    found = step_loss(None)({"logits": logits}, IDS, sample_weight=torch.zeros(6))
    assert found.item() == 0
    assert not torch.autograd.grad(found, logits)[0].any()


def test_classes_are_balanced_by_weight() -> None:
    torch.testing.assert_close(balanced_weights(IDS.tolist(), 4, WEIGHTS), balanced_weights(IDS[ROWS].tolist(), 4))
    torch.testing.assert_close(balanced_positives(LISTS, WEIGHTS), balanced_positives(LISTS[ROWS]))


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several"])
def test_calibration_counts_documents(several: bool) -> None:
    """The temperature, the thresholds and the errors, exactly."""
    generator = torch.Generator().manual_seed(1)
    logits, counts = torch.randn(60, 3, generator=generator), torch.randint(0, 4, (60,), generator=generator)
    truth = (torch.rand(60, 3, generator=generator) < logits.sigmoid()).long() if several else logits.argmax(1)
    truth[::7] = truth[::7].flip(0)
    rows = torch.arange(60).repeat_interleave(counts)
    found = calibrate(logits, truth, multi_label=several, weights=counts)
    wanted = calibrate(logits[rows], truth[rows], multi_label=several)
    assert found.temperature == pytest.approx(wanted.temperature, rel=1e-4)
    assert found.temperature != pytest.approx(calibrate(logits, truth, multi_label=several).temperature, rel=1e-3)
    assert (found.ece_before, found.ece_after) == pytest.approx((wanted.ece_before, wanted.ece_after), abs=1e-4)
    if several:
        assert found.thresholds == pytest.approx(wanted.thresholds, abs=1e-4)


def test_a_label_that_only_documents_without_weight_have_keeps_its_threshold() -> None:
    logits, truth = torch.tensor([[3.0], [2.0], [1.0]]), torch.tensor([[1], [0], [0]])
    assert calibrate(logits, truth, multi_label=True, weights=[0, 1, 1]).thresholds == (0.5,)  # type: ignore[arg-type]


def test_scores_count_documents() -> None:
    given, lists = IDS.roll(1), LISTS.roll(1, 0)
    weights = WEIGHTS.numpy()
    assert accuracy_and_f1(IDS, given, weights) == pytest.approx(accuracy_and_f1(IDS[ROWS], given[ROWS]))
    assert multi_label_scores(LISTS, lists, weights) == pytest.approx(multi_label_scores(LISTS[ROWS], lists[ROWS]))
    sure = torch.rand(6, 3)
    for truth in (IDS, LISTS):
        found = expected_calibration_error(sure, truth, bins=3, weights=weights)
        assert found == pytest.approx(expected_calibration_error(sure[ROWS], truth[ROWS], bins=3))


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several"])
@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "f1_micro"])
def test_a_comparison_counts_documents(metric: str, several: bool) -> None:
    generator = np.random.default_rng(0)
    floor, encoder, truth = generator.normal(size=(6, 3)), generator.normal(size=(6, 3)), (LISTS if several else IDS)
    labels, rows = truth.long().numpy(), ROWS.numpy()
    found = compare(floor, encoder, labels, metric, WEIGHTS.numpy())
    wanted = compare(floor[rows], encoder[rows], labels[rows], metric)
    assert (found.floor, found.encoder) == pytest.approx((wanted.floor, wanted.encoder))
    small = compare(floor, encoder, labels, metric, WEIGHTS.numpy() / 100)
    assert (small.floor, small.encoder) == pytest.approx((wanted.floor, wanted.encoder))
    assert small.interval == pytest.approx(found.interval)


@pytest.mark.parametrize("kind", ["single_label_classification", "multi_label_classification"])
def test_the_weights_of_two_answers_count_documents(kind: str) -> None:
    truth = (LISTS if kind.startswith("multi") else IDS).long()
    parts = torch.randn(2, 6, 3).double()
    found, wanted = fusion_weights(parts, truth, kind, WEIGHTS), fusion_weights(parts[:, ROWS], truth[ROWS], kind)
    assert found == pytest.approx(wanted, abs=1e-4)


def test_what_a_first_stage_may_lose_counts_by_weight() -> None:
    """Each document counts once in the share, which is a cost."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(90) % 3
    answers = [
        scale * torch.nn.functional.one_hot(truth, 3) + torch.randn(90, 3, generator=generator) for scale in (1, 4)
    ]
    arguments = (*answers, truth, "single_label_classification", 2.0)
    plain = fit_words_first(*arguments)
    ones = fit_words_first(*arguments, torch.ones(90))
    assert (ones.settings.defer_below, ones.share) == pytest.approx((plain.settings.defer_below, plain.share), rel=1e-5)
    sure = answers[0].softmax(1).amax(1)
    heavy = fit_words_first(*arguments, torch.where(sure > sure.median(), 5.0, 0.0))
    assert heavy.share > plain.share, (
        "those that it is sure of are most of what counts, and more may not be lost of them"
    )
    assert heavy.share == pytest.approx(float((sure < heavy.settings.defer_below).double().mean()))


def test_stages_of_documents_without_weights_count_once() -> None:
    some, more = torch.randn(2, 2, 3), torch.randn(2, 1, 3)
    whole = BothStages(*some, [3, 4], torch.tensor([2.0, 0.5])).with_more(BothStages(*more, [5]))
    assert whole.counts().tolist() == [2.0, 0.5, 1.0]


def test_the_head_is_refitted_by_weight() -> None:
    vectors, targets = torch.randn(6, 4), torch.randn(6, 4)
    kept = WEIGHTS > 0
    found, wanted = RidgeMap(vectors[kept], targets[kept], WEIGHTS[kept]), RidgeMap(vectors[ROWS], targets[ROWS])
    torch.testing.assert_close(found(vectors), wanted(vectors))
    assert found.distance(vectors[kept]) == pytest.approx(wanted.distance(vectors[ROWS]))


def test_importance_is_fitted_by_weight() -> None:
    def fitted(documents: list[int], weights: list[float] | None) -> LeastSquares:
        fit, lengths = LeastSquares(4, torch.device("cpu")), (3, 5)
        rows = torch.cat([torch.arange(8).split(lengths)[document] for document in documents])
        nothing, own = torch.zeros(len(rows), dtype=torch.bool), tuple(lengths[document] for document in documents)
        origin = torch.cat([torch.arange(length) for length in own])
        tokens = Tokens(states[rows], own, origin, nothing, tuple(range(len(own))))
        fit.add(tokens, gradients[rows].norm(dim=1), weights)
        return fit

    states, gradients = torch.randn(8, 4), torch.randn(8, 4)
    found, wanted = fitted([0, 1], [2.0, 1.0]), fitted([0, 1, 0], None)
    torch.testing.assert_close(found.solution(), wanted.solution())
    torch.testing.assert_close(fitted([0, 1], [0.02, 0.01]).solution(), wanted.solution())
    assert found.r2() == pytest.approx(wanted.r2())


def tokenized(tokenizer: PreTrainedTokenizerFast, *weights: float) -> TokenizedDocuments:
    documents = [
        replace(document, weight=weight) for document, weight in zip(labelled_documents(6), weights, strict=False)
    ]
    return TokenizedDocuments(documents, tokenizer, 32, ["film", "law", "team"])


def test_a_sample_draws_no_document_of_weight_0(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    sample = Sample(tokenized(tiny_tokenizer, 1, 0, 3, 1, 0, 2), tiny_tokenizer)
    assert len(sample) == 4
    (batch,) = sample.batches(torch.device("cpu"))
    assert batch["input_ids"].shape[0] == 4
    lengths = batch["attention_mask"].sum(1).tolist()
    assert sample.weights is not None and sample.documents.weights is not None
    by_length = dict(zip(sample.documents.lengths.tolist(), sample.documents.weights.tolist(), strict=True))
    assert len(set(sample.documents.lengths.tolist())) == 6, "each document is told by its length"
    assert sample.weights.tolist() == [by_length[length] for length in lengths]


def test_weights_are_among_features_and_digest_unless_all_are_1(tiny_tokenizer: PreTrainedTokenizerFast) -> None:
    plain, ones, other = (tokenized(tiny_tokenizer, *weights) for weights in ((1,) * 6, (1.0,) * 6, (1, 1, 1, 1, 1, 2)))
    assert plain.weights is None and WEIGHT not in plain[0]
    assert plain.digest() == ones.digest() != other.digest()
    assert other[5][WEIGHT] == 2.0


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_that_is_none_is_refused(run: Train, weight: float) -> None:
    first, *others = labelled_documents(12)
    with pytest.raises(DataError, match="made up, line 1: the weight is"):
        run(DataSplits((replace(first, weight=weight), *others)))


@pytest.mark.parametrize("part", ["training", "validation"])
def test_documents_that_all_weigh_nothing_are_refused(run: Train, part: str, tmp_path: Path) -> None:
    nothing = tuple(replace(document, weight=0.0) for document in labelled_documents(12))
    parts = (nothing, nothing) if part == "training" else (labelled_documents(12), nothing)
    with pytest.raises(DataError, match=f"all 12 {part} documents have weight 0"):
        run(DataSplits(*parts))
    with pytest.raises(DataError, match=f"all 12 {part} documents have weight 0"):
        train_words(DataSplits(*parts), tmp_path / "words")


def multi(documents: tuple[Document, ...]) -> tuple[Document, ...]:
    return tuple(
        replace(document, label=(str(document.label), "odd") if number % 2 else (str(document.label),))
        for number, document in enumerate(documents)
    )


def repeated(documents: tuple[Document, ...], counts: list[int]) -> tuple[Document, ...]:
    return tuple(document for document, count in zip(documents, counts, strict=True) for _ in range(count))


@pytest.mark.parametrize(
    "options",
    [{"class_weights": "balanced"}, {"select": "loss", "several": True}, {"teacher": True}],
    ids=["balanced", "several labels", "teacher"],
)
def test_a_training_counts_documents(run: Train, splits: DataSplits, tmp_path: Path, options: dict[str, Any]) -> None:
    """A step an epoch, so that neither order nor batches differ: gradients, scores, calibration and floors agree."""
    data = splits
    if options.pop("several", False):
        data = DataSplits(multi(splits.train), multi(splits.validation))
    if options.pop("teacher", False):
        run(data, output=tmp_path / "teacher")
        options |= {"teacher": str(tmp_path / "teacher"), "distill_weight": 0.5, "distill_pooled": 0.5}
    counts = [[(2, 0, 1, 1, 3)[number % 5] for number in range(len(part))] for part in (data.train, data.validation)]
    weighted, copies = (
        DataSplits(*(change(part, own) for part, own in zip((data.train, data.validation), counts, strict=True)))
        for change in (
            lambda part, own: tuple(replace(document, weight=float(w)) for document, w in zip(part, own, strict=True)),
            repeated,
        )
    )
    records = [
        run(each, output=tmp_path / name, epochs=2, batch_size=64, **options)
        for name, each in (("weighted", weighted), ("copies", copies), ("plain", data))
    ]
    found, wanted, plain = (figures(record) for record in records)
    assert found == pytest.approx(wanted, rel=2e-3, abs=1e-4)
    assert found != pytest.approx(plain, rel=2e-3, abs=1e-4)
    assert len({record["data_digest"] for record in records}) == 3


def figures(record: dict[str, Any]) -> dict[str, float]:
    """The numbers that tell one run from another."""
    wanted = ("grad_norm", "eval_loss", "eval_accuracy", "eval_f1_macro", "eval_f1_micro")
    curve = {
        f"{name} {place}": entry[name]
        for place, entry in enumerate(record["history"])
        for name in wanted
        if name in entry
    }
    floors = {name: record["floors"][name]["score"] for name in ("encoder", "words", "static")}
    calibration = {name: record["calibration"][name] for name in ("temperature", "ece_before", "ece_after")}
    return curve | floors | calibration


def test_parts_of_a_step_add_up(run: Train, splits: DataSplits, tmp_path: Path) -> None:
    weights = (0.5, 3.0, 1.0, 0.0, 2.0)
    train = tuple(replace(document, weight=weights[number % 5]) for number, document in enumerate(splits.train))
    curves = []
    for size, accumulation in ((12, 1), (3, 4)):
        record = run(
            DataSplits(train, splits.validation),
            output=tmp_path / str(size),
            epochs=2,
            learning_rate=1e-3,
            batch_size=size,
            accumulation=accumulation,
            floors="none",
        )
        curves.append(
            [entry[name] for entry in record["history"] for name in ("grad_norm", "eval_loss") if name in entry]
        )
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-3)


def test_items_of_a_step_are_summed_over_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import Trainer

    from tokensieve.training.loop.trainer import TokensieveTrainer

    batch = {"labels": torch.tensor([0, 1, 1]), WEIGHT: torch.tensor([0.5, 2.0, 0.0])}
    monkeypatch.setattr(Trainer, "get_batch_samples", lambda *_: ([batch, batch], torch.tensor(4)))
    trainer = object.__new__(TokensieveTrainer)
    trainer.args = SimpleNamespace(average_tokens_across_devices=True, world_size=2)
    trainer.accelerator = SimpleNamespace(gather=lambda total: torch.stack([total, torch.tensor(3.0)]))
    assert float(trainer.get_batch_samples(None, 2, torch.device("cpu"))[1]) == 8.0
    trainer.args.world_size = 1
    assert float(trainer.get_batch_samples(None, 2, torch.device("cpu"))[1]) == 5.0
