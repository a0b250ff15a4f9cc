"""The stages of a training: their order, what each refuses before any work, and what each reports."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tokensieve.training.stages as package
from flat import reduction
from tokensieve import ConfigError, MissingExtraError, ReductionConfig, TokensieveError
from tokensieve.config import Deferral
from tokensieve.data import DataSplits
from tokensieve.training import train as train_module
from tokensieve.training.dense_first import train_dense_first
from tokensieve.training.files.output import read_record
from tokensieve.training.job import TrainingJob
from tokensieve.training.loop.options import RunOptions
from tokensieve.training.recipe import Recipe
from tokensieve.training.stages import STAGES, Context, Stage, stages_for
from tokensieve.training.train import check_job, run_stages, train
from unit.training.keyword_documents import Train

PLAIN = reduction(pruning="ratio", keep_ratio=0.7, pooling="mean")
LEARNED = ReductionConfig.preset("fast")
CASCADE = replace(LEARNED, defer=Deferral(share=0.1))


def test_the_order() -> None:
    assert [stage.__name__ for stage in STAGES] == [
        "ReadStaticVectors",
        "FitBag",
        "FitScore",
        "FitThreshold",
        "FitProjection",
        "DistilFeatures",
        "RefitHead",
        "AskTeacher",
        "LearnGates",
        "FineTune",
        "FitCascade",
        "Calibrate",
        "CompareFloors",
        "PutWordsFirst",
    ]


def test_every_stage_is_a_file_and_in_the_list() -> None:
    files = {path.stem for path in Path(package.__file__).parent.glob("*.py")} - {"__init__", "stage"}
    assert {stage.__module__.rpartition(".")[2] for stage in STAGES} == files


def test_a_stage_reports_nothing_before_it_has_run() -> None:
    reports = [key for stage in STAGES for key in stage.reports]
    assert len(reports) == len(set(reports)), "two stages write the same key of training.json"
    for stage in STAGES:
        assert stage().record == dict.fromkeys(stage.reports)


@pytest.fixture
def job(base: Path, splits: DataSplits, tmp_path: Path) -> Callable[..., TrainingJob]:
    """`job(settings, **recipe)` asks for a training on 24 documents, 12 of validation."""

    def asked(settings: ReductionConfig = PLAIN, validation: bool = True, **recipe: Any) -> TrainingJob:
        documents = splits if validation else replace(splits, validation=())
        return TrainingJob(base, settings, documents, tmp_path / "out", Recipe(max_length=32, **recipe))

    return asked


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "FitBag": ({"validation": False, "words_first": 0.5}, r"words_first=0\.5 needs validation documents"),
    "FineTune, the best epoch": ({"validation": False, "select": "accuracy"}, r"select='accuracy' needs validation"),
    "FineTune, patience": ({"validation": False, "patience": 2}, "patience=2 needs validation"),
    "FitCascade": ({"validation": False, "settings": CASCADE}, r"defer\.share=0\.1 needs validation documents"),
    "FitCascade, without one": ({"max_expected_loss": 0.5}, r"max_expected_loss=0\.5 with defer=none"),
    "AskTeacher": ({"teacher": "nowhere"}, "nowhere"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_stage_needs_is_refused_before_a_model_is_read(
    name: str, job: Callable[..., TrainingJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, message = REFUSED[name]
    asked = job(**arguments)
    stage = next(each for each in STAGES if each.__name__ == name.partition(",")[0])
    with pytest.raises(TokensieveError, match=message):
        stage().needs(asked)
    monkeypatch.setattr(train_module, "read_start", lambda _: pytest.fail("a model was read"))
    with pytest.raises(TokensieveError, match=message):
        train(asked.base, asked.settings, asked.splits, asked.output, asked.recipe, progress=False)
    assert not list(Path(asked.output).parent.iterdir())


@pytest.mark.parametrize(("package_name", "recipe"), [("accelerate", {}), ("peft", {"lora_rank": 2})])
def test_a_package_that_is_missing_is_named_first(
    job: Callable[..., TrainingJob], monkeypatch: pytest.MonkeyPatch, package_name: str, recipe: dict[str, Any]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == package_name else found(name, *a))
    with pytest.raises(MissingExtraError, match=package_name):
        stages_for(job(**recipe))


@pytest.mark.parametrize(
    ("settings", "recipe", "message"),
    [
        (LEARNED, {}, r"prune\.score=learned is fitted to a trained classifier"),
        (PLAIN, {"epochs": 0}, "epochs=0 trains nothing"),
        (PLAIN, {"feature_epochs": 1}, "feature_epochs=1 needs a whole trained classifier"),
    ],
    ids=["FitScore", "FineTune", "DistilFeatures"],
)
def test_a_start_that_does_not_do_is_refused_before_documents_are_tokenized(
    job: Callable[..., TrainingJob],
    monkeypatch: pytest.MonkeyPatch,
    settings: ReductionConfig,
    recipe: dict[str, Any],
    message: str,
) -> None:
    asked = job(settings, **recipe)
    check_job(asked)
    monkeypatch.setattr(train_module, "_tokenized", lambda *_: pytest.fail("documents were tokenized"))
    with pytest.raises(ConfigError, match=message):
        train(asked.base, asked.settings, asked.splits, asked.output, asked.recipe, progress=False)
    assert not list(Path(asked.output).parent.iterdir())


@pytest.mark.parametrize("recipe", [{"words_first": 0.5}, {"teacher": "nowhere"}], ids=str)
def test_what_the_reduced_run_needs_is_refused_before_the_dense_one(
    job: Callable[..., TrainingJob], recipe: dict[str, Any]
) -> None:
    asked = job(LEARNED, validation=False, **recipe)
    with pytest.raises(TokensieveError, match=str(next(iter(recipe.values())))):
        train_dense_first(asked.base, asked.settings, asked.splits, asked.output, asked.recipe, progress=False)
    assert not list(Path(asked.output).parent.iterdir())


def test_the_record_of_a_run_has_what_every_stage_reports(run: Train, tmp_path: Path) -> None:
    record = run(floors="none", calibrate=False)
    written = read_record(tmp_path / "out" / "training.json")
    reports = {key for stage in STAGES for key in stage.reports}
    assert reports <= written.keys()
    assert {key for key in reports if record[key] is not None} == {"history", "best"}


class Noted(Stage):
    """Notes that it ran."""

    ran: list[str]

    def run(self, context: Context) -> None:
        self.ran.append(type(self).__name__)
        self.record |= {key: len(self.ran) for key in self.reports}


class Counts(Noted):
    reports = ("first",)


class CountsNot(Noted):
    reports = ("second",)
    counts_as_training = False


class Fails(Noted):
    def run(self, context: Context) -> None:
        raise ConfigError("it fails")


@pytest.fixture
def context(job: Callable[..., TrainingJob], tmp_path: Path) -> Context:
    nothing: Any = None
    options = RunOptions(tmp_path, torch.device("cpu"), resume=tmp_path / "checkpoint-3")
    return Context(job(), nothing, nothing, nothing, options)


def test_stages_run_in_order_and_their_time_is_that_of_training(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock goes on by 1 whenever it is read."""
    ticks = iter(range(100))
    monkeypatch.setattr("tokensieve.training.train.time.perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(Noted, "ran", [], raising=False)
    record = run_stages([CountsNot(), Counts(), CountsNot()], context)
    assert Noted.ran == ["CountsNot", "Counts", "CountsNot"]
    assert record.pop("peak_memory_bytes") > 0
    assert record == {"second": 3, "first": 2, "seconds": 1.0, "resumed_from": "checkpoint-3"}


def test_a_stage_that_fails_ends_the_run(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noted, "ran", [], raising=False)
    with pytest.raises(ConfigError, match="it fails"):
        run_stages([Counts(), Fails(), CountsNot()], context)
    assert Noted.ran == ["Counts"]
