"""Floors beside the encoder: the same documents, honest intervals, and the same model with them or without."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tokensieve.data import DataSplits, Document
from tokensieve.errors import DataError
from tokensieve.training.compare import BOOTSTRAP, NORMAL, Comparison
from tokensieve.training.floors import words as floors
from tokensieve.training.floors.fit import NO_VALIDATION
from tokensieve.training.floors.report import advice, floor_lines, times
from unit.training.keyword_documents import LABELS, Train, labelled_documents


def multi_label(documents: tuple[Document, ...]) -> tuple[Document, ...]:
    """The same documents, each with a list of labels; a word tells the second one."""
    return tuple(
        replace(found, label=(str(found.label), "good") if "good" in found.text else (str(found.label),))
        for found in documents
    )


def paired(documents: tuple[Document, ...]) -> tuple[Document, ...]:
    """The same documents, each with a second text."""
    return tuple(replace(found, pair="the court") for found in documents)


@pytest.fixture
def more() -> DataSplits:
    return DataSplits(labelled_documents(60), labelled_documents(30, seed=1))


def test_a_run_reports_its_floors(
    run: Train, more: DataSplits, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        record = run(more)
    found = record["floors"]
    assert found["metric"] == "accuracy"
    assert found["documents"] == 30
    assert found["interval_by"] == NORMAL
    assert found["encoder"]["score"] == pytest.approx(record["best"]["eval_accuracy"])
    assert found["encoder"]["documents_per_second"] > 0
    assert found["words"]["score"] == 1.0
    assert found["words"]["difference"] == pytest.approx(1.0 - found["encoder"]["score"])
    low, high = found["words"]["interval"]
    assert low <= found["words"]["difference"] <= high
    assert found["words"]["documents_per_second"] > 0
    assert found["words"]["terms"] > 3
    assert 0 < found["static"]["score"] <= 1
    parts = [found[name]["seconds"] for name in ("words", "static")]
    assert min(parts) > 0
    assert sum(parts) <= found["seconds"]
    assert "a bag of words is better here" in found["advice"]
    assert json.loads((tmp_path / "out" / "training.json").read_text(encoding="utf-8"))["floors"] == found
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "## Floors" in card
    assert "| a bag of words | 1.0000 |" in card
    assert found["advice"][1:] in card
    assert found["advice"] in caplog.text


@pytest.mark.parametrize("kind", ["multi-label", "pairs"])
def test_of_every_kind_of_data(run: Train, more: DataSplits, kind: str) -> None:
    change = multi_label if kind == "multi-label" else paired
    found = run(DataSplits(change(more.train), change(more.validation)))["floors"]
    assert found["words"]["score"] == pytest.approx(1.0, abs=0.2)
    assert 0 <= found["static"]["score"] <= 1


def test_the_metric_is_that_of_the_training(run: Train, more: DataSplits) -> None:
    record = run(DataSplits(multi_label(more.train), multi_label(more.validation)), select="f1_macro")
    found = record["floors"]
    assert found["metric"] == "f1_macro"
    assert found["interval_by"] == BOOTSTRAP
    assert found["encoder"]["score"] == pytest.approx(record["best"]["eval_f1_macro"])


def test_the_weights_are_the_same_without_floors(run: Train, splits: DataSplits, tmp_path: Path) -> None:
    weights, rest = [], []
    for choice in ("all", "words", "none"):
        record = run(floors=choice, output=tmp_path / choice, attention_dropout=0.1)
        weights.append(load_file(tmp_path / choice / "model.safetensors"))
        rest.append([record["best"]["eval_loss"], record["calibration"]])
        states = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]  # type: ignore[index]
        rest[-1].append(states)
        assert ("static" in (record["floors"] or {})) == (choice == "all")
        assert ("## Floors" in (tmp_path / choice / "README.md").read_text(encoding="utf-8")) == (choice != "none")
    assert record["floors"] is None
    assert rest[0] == rest[1] == rest[2]
    for other in weights[1:]:
        assert weights[0].keys() == other.keys()
        assert all(torch.equal(tensor, other[name]) for name, tensor in weights[0].items())


def test_without_validation_nothing_is_fitted(run: Train, splits: DataSplits, tmp_path: Path) -> None:
    record = run(DataSplits(splits.train))
    assert record["floors"] == {"why_none": NO_VALIDATION}
    assert NO_VALIDATION in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert floor_lines(record["floors"]) == [f"floors: none, as there are {NO_VALIDATION}"]


def test_a_floor_that_fails_ends_nothing(run: Train, tmp_path: Path) -> None:
    """Documents without a word of two letters."""
    train = tuple(Document(text, label, "made up", 1) for text, label in (("a", "a"), (". a", "b"), (". ,", "a")))
    record = run(DataSplits(train * 3, train))
    assert "no words" in record["floors"]["words"]["why_none"]
    assert record["floors"]["static"]["score"] >= 0
    assert "static vectors" in record["floors"]["advice"]
    assert "no words" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert any("none (" in line for line in floor_lines(record["floors"]))


def test_no_floor_at_all(run: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise DataError("no way")

    monkeypatch.setattr(floors.WordsClassifier, "fit", refuse)
    record = run(floors="words")
    assert record["floors"]["words"] == {"why_none": "no way"}
    assert "nothing to compare" in record["floors"]["advice"]
    assert "no way" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_balanced_classes_weigh_documents_of_floors(run: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    fit = floors.WordsClassifier.fit
    monkeypatch.setattr(floors.WordsClassifier, "fit", lambda *a, **k: seen.append(k["class_weight"]) or fit(*a, **k))
    data = DataSplits(labelled_documents(24, shares=(4, 1, 1)), labelled_documents(6, seed=1))
    run(data, class_weights="balanced", floors="words")
    by_label = dict(zip(data.label_names, seen[0], strict=True))
    assert by_label[LABELS[1]] == pytest.approx(4 * by_label[LABELS[0]])


@pytest.mark.parametrize(
    ("score", "interval", "text"),
    [
        (
            0.8,
            (0.01, 0.03),
            "a bag of words is better here (+2.0 points [1.0, 3.0]), and 60 times faster: use it (--",
        ),
        (
            0.8,
            (-0.02, 0.06),
            "a bag of words is as good here, as far as 400 documents can tell (+2.0 points [-2.0,",
        ),
        (
            0.76,
            (-0.06, 0.02),
            "a bag of words may be as good here: 400 documents show no clear difference (-2.0",
        ),
        (
            0.76,
            (-0.03, -0.01),
            "the encoder is better here: a bag of words loses (-2.0 points [-3.0, -1.0]), and is",
        ),
    ],
)
def test_the_sentence(score: float, interval: tuple[float, float], text: str) -> None:
    record = {"documents": 400, "words": {"times_faster": 60.2}}
    assert advice(record, {"words": Comparison(score, 0.78, interval, NORMAL)}).startswith(text)


def test_the_better_floor_is_told() -> None:
    record = {"documents": 400, "words": {"times_faster": 60.2}, "static": {"times_faster": 1.25}}
    compared = {name: Comparison(score, 0.5, (0.1, 0.2), NORMAL) for name, score in (("words", 0.7), ("static", 0.8))}
    assert advice(record, compared).startswith("the mean of static vectors is better")
    assert advice(record, compared).endswith("1.2 times as fast: use it")
    assert times(0.5) == "0.5 times as fast"
