"""tune(): what is made, what is chosen, and that the folder answers as its frontier says."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tokensieve
from tokensieve import ReductionConfig
from tokensieve.data import DataSplits, Document
from tokensieve.errors import ConfigError, DataError
from tokensieve.quantize.gate import Gate
from tokensieve.runtime.frontier import read_frontier
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train
from tokensieve.tune import candidates
from tokensieve.tune.goal import Goal
from tokensieve.tune.search import MOST_TIMED
from tokensieve.tune.tune import tune
from tokensieve.words import WordsClassifier
from unit.training.keyword_documents import labelled_documents
from unit.tune.promises import check_promise, given_by, score_of

SPLITS = DataSplits(labelled_documents(90), labelled_documents(60, seed=1))
TRUTH = np.array([SPLITS.label_names.index(str(document.label)) for document in SPLITS.validation])
TEXTS = [document.text for document in SPLITS.validation]


@pytest.fixture(scope="module")
def dense(tiny_bert_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune") / "dense"
    recipe = Recipe(epochs=6, learning_rate=2e-3, max_length=64, seed=3, floors="none")
    train(tiny_bert_dir, ReductionConfig(prune=None, pooling="mean"), SPLITS, folder, recipe, progress=False)
    return folder


@pytest.fixture(autouse=True)
def every_int8_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of 32 dimensions changes more than a real one."""
    quantize = candidates.quantize
    monkeypatch.setattr(candidates, "quantize", lambda *given: quantize(*given, gate=Gate(1.0, 1.0)))


@pytest.fixture(scope="module")
def before(dense: Path) -> float:
    return float(np.mean(tokensieve.load(dense, device="cpu").predict_proba(TEXTS).argmax(1) == TRUTH))


@pytest.mark.parametrize("goal", [Goal(budget=0), Goal(budget=50), Goal(speed=1e-3), Goal(latency_ms=1e6)])
def test_the_folder_is_what_the_table_says(
    dense: Path, before: float, tmp_path: Path, goal: Goal, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = tune(dense, SPLITS, tmp_path / "out", goal, progress=False)
    assert done.met
    assert {entry.name for entry in done.entries} <= {
        f"{ahead}{name}{kind}"
        for ahead in ("", "words -> ")
        for name in ("dense", "balanced", "fast", "fastest")
        for kind in ("", ", bfloat16", ", int8")
    }
    assert {entry.name for entry in done.entries} <= set(done.candidates)
    assert {"dense", "words -> dense", "balanced", "fast", "fastest"} <= set(done.candidates)
    assert len(done.entries) <= MOST_TIMED
    assert [entry.point.speed for entry in done.entries] == sorted(entry.point.speed for entry in done.entries)
    assert all((entry.point.latency_ms is not None) == (goal.latency_ms is not None) for entry in done.entries)
    assert read_frontier(tmp_path / "out") == done.frontier
    point = done.frontier.points[done.frontier.chosen]
    assert point.difference == pytest.approx(point.score - before)
    assert point.interval[0] <= point.difference <= point.interval[1]
    made = tokensieve.load(tmp_path / "out", device="cpu", dtype="auto")
    assert made.dtype == done.frontier.measured["dtype"]
    check_promise(made, point, SPLITS)
    assert "<svg" in (tmp_path / "out" / "frontier.svg").read_text(encoding="utf-8")
    for number, other in enumerate(done.frontier.points):
        moved = tokensieve.load(tmp_path / "out", device="cpu", dtype="auto", speed=other.speed)
        stages = [result.stage for result in moved.results(TEXTS)]
        best = done.frontier.at(other.speed)
        assert {name: stages.count(name) / len(TEXTS) for name in moved.engine.stages} == pytest.approx(best.shares), (
            number
        )
    assert not list(tmp_path.glob(".out*")), "nothing is left beside it"


def with_several_labels(documents: Sequence[Document]) -> tuple[Document, ...]:
    """The same documents, each with a list of labels; two words tell others, and some labels are wrong."""
    return tuple(
        replace(
            own, label=tuple(name for name in ("film", "good", "bad", "of") if (name in own.text) != (row % 7 == 3))
        )
        for row, own in enumerate(documents)
    )


def weighted(documents: Sequence[Document]) -> tuple[Document, ...]:
    """The same documents, with weights."""
    return tuple(replace(own, weight=(1.0, 5.0, 0.5, 0.0, 2.0)[row % 5]) for row, own in enumerate(documents))


def rare(documents: Sequence[Document]) -> tuple[Document, ...]:
    """A label that few documents have; and one document has a word that no other one has."""
    kept = [own for row, own in enumerate(documents) if own.label == "film" or row % 7 == 0]
    return (*kept[:-1], replace(kept[-1], text=f"unknown{len(documents)}"))


@pytest.mark.parametrize(
    ("change", "select"),
    [(with_several_labels, "loss"), (with_several_labels, "f1_macro"), (weighted, "accuracy"), (rare, "f1_macro")],
)
def test_every_point_promises_what_the_folder_answers(
    change: Callable[[Sequence[Document]], tuple[Document, ...]],
    select: Any,
    tiny_bert_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candidates, "PRESETS", ("fast",))
    monkeypatch.setattr(candidates, "has_int8", lambda: False)
    monkeypatch.setattr(candidates, "is_native", lambda dtype, device: False)
    splits = DataSplits(change(SPLITS.train), change(SPLITS.validation))
    recipe = Recipe(epochs=2, learning_rate=2e-3, max_length=64, seed=3, floors="none", select=select)
    settings = ReductionConfig(prune=None, pooling="mean")
    train(tiny_bert_dir, settings, splits, tmp_path / "dense", recipe, progress=False)
    done = tune(tmp_path / "dense", splits, tmp_path / "out", Goal(speed=1e-3), progress=False)
    metric, plain = recipe.compared_by, tokensieve.load(tmp_path / "dense", device="cpu")
    before = score_of(given_by(plain, splits)[0], splits, metric)
    assert done.frontier.measured["metric"] == metric
    assert done.frontier.measured["dense_score"] == pytest.approx(before)
    for entry in done.entries:
        assert entry.point.score - entry.point.difference == pytest.approx(before)
        check_promise(entry.point.view(entry.classifier), entry.point, splits, metric)
    for point in done.frontier.points:
        check_promise(point.view(tokensieve.load(tmp_path / "out", device="cpu")), point, splits, metric)


def test_every_encoder_is_tried_in_the_types_that_the_processor_has(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "has_int8", lambda: False)
    workshop = candidates.Workshop(SPLITS, tmp_path, Recipe(max_length=64), 0, torch.device("cpu"), False)
    for native, kinds in ((True, ["float32", "bfloat16"]), (False, ["float32"])):
        monkeypatch.setattr(candidates, "is_native", lambda dtype, device, native=native: native)
        monkeypatch.setattr(candidates.Workshop, "_preset", lambda workshop, model, preset: model)
        found = list(workshop.candidates(dense))
        assert [own.dtype for own in found] == kinds * 4
        assert [own.name for own in found if own.dtype == "float32"] == ["dense", "balanced", "fast", "fastest"]


def test_a_goal_that_nothing_meets_gets_the_nearest(dense: Path, tmp_path: Path) -> None:
    done = tune(dense, SPLITS, tmp_path / "out", Goal(speed=1e9), progress=False)
    assert not done.met
    assert done.frontier.points[done.frontier.chosen] == done.frontier.at("fastest")


def test_a_classifier_that_prunes_is_compared_with_the_dense_one_beside_it(dense: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pruned"
    train(dense, ReductionConfig.preset("fast"), SPLITS, folder, Recipe(epochs=0, max_length=64), progress=False)
    with pytest.raises(ConfigError, match=r"prunes, and there is no dense classifier .*--dense"):
        tune(folder, SPLITS, tmp_path / "out", Goal(budget=50), progress=False)
    done = tune(folder, SPLITS, tmp_path / "out", Goal(budget=100), dense=dense, progress=False)
    names = {"the classifier", "the classifier, bfloat16", "the classifier, int8"}
    assert {entry.name.removeprefix("words -> ") for entry in done.entries} <= names
    with pytest.raises(ConfigError, match=r"pruned prunes: name a dense classifier"):
        tune(folder, SPLITS, tmp_path / "other", Goal(budget=50), dense=folder, progress=False)


def test_refused(dense: Path, save_classifier: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no validation documents"):
        tune(dense, DataSplits(SPLITS.train), tmp_path / "out", Goal(budget=0))
    nothing = tuple(replace(own, weight=0.0) for own in SPLITS.validation)
    with pytest.raises(DataError, match="all 60 validation documents have weight 0"):
        tune(dense, replace(SPLITS, validation=nothing), tmp_path / "out", Goal(budget=0))
    with pytest.raises(DataError, match=r"has 3 labels \(film, law, sport"):
        tune(save_classifier(tmp_path / "other"), SPLITS, tmp_path / "out", Goal(budget=0), dense=dense)
    WordsClassifier.fit(["a goal", "the law"], [0, 1], ["film", "law"]).save(tmp_path / "bag")
    with pytest.raises(ConfigError, match="no encoder to tune"):
        tune(tmp_path / "bag", SPLITS, tmp_path / "out", Goal(budget=0))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("a note", encoding="utf-8")
    with pytest.raises(ConfigError, match="exists"):
        tune(dense, SPLITS, tmp_path / "taken", Goal(budget=0))
    assert not (tmp_path / "out").exists()
    assert json.loads((dense / "training.json").read_text(encoding="utf-8"))["recipe"]["seed"] == 3
