"""What trainings of 0.1.0 left is still of use: records, estimators; an interrupted one is not gone on with wrongly."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import tokensieve
from compat import doors

TRAININGS = doors.HERE / "trainings"


def test_estimator() -> None:
    estimator, wanted = doors.load_estimator(TRAININGS / "estimator"), doors.recorded("estimator")
    assert estimator.classes_.tolist() == ["film", "law", "sport"]
    assert estimator.predict(doors.TEXTS).tolist() == [own[0] for own in wanted.labels or ()]
    doors.Answers(probabilities=torch.tensor(estimator.predict_proba(doors.TEXTS))).check("estimator")
    parameters = json.loads((TRAININGS / "estimator" / "estimator.json").read_text(encoding="utf-8"))["parameters"]
    assert estimator.get_params()["config"] == doors.settings_of(parameters["config"])
    assert estimator.get_params()["recipe"].learning_rate == parameters["recipe"]["learning_rate"]


@pytest.mark.parametrize("name", ["trained", "trained.dense"])
def test_a_trained_folder_as_estimator(name: str) -> None:
    record = json.loads((TRAININGS / name / "training.json").read_text(encoding="utf-8"))
    estimator = doors.load_estimator(TRAININGS / name)
    assert estimator.classes_.tolist() == record["labels"]
    assert estimator.record_["best"] == record["best"]


def test_training_starts_from_a_trained_folder(tmp_path: Path) -> None:
    """Its record is read: where it began, and by which recipe."""
    base = TRAININGS / "trained.dense"
    settings = doors.settings_of(doors.record_of("trained")["settings"])
    recipe = {"epochs": 0, "max_length": 112, "batch_size": 16}
    record = doors.train(base, settings, recipe, tmp_path / "out")
    before = json.loads((base / "training.json").read_text(encoding="utf-8"))
    assert record["started_from"]["base"] == "start"
    assert record["started_from"]["recipe"]["learning_rate"] == before["recipe"]["learning_rate"]
    assert record["importance_r2"] is not None, "the learned importance was to be fitted"
    found, wanted = doors.by_load(tmp_path / "out", "out"), doors.recorded("trained")
    assert found.kept is not None and wanted.kept is not None
    for own, before, ids in zip(found.kept, wanted.kept, doors.INPUTS["ids"]["bert"], strict=True):
        assert own == before or {len(ids)} in ({*own}, {*before}), "neither pruned alike nor deferred"
    assert sum(own == before for own, before in zip(found.kept, wanted.kept, strict=True)) >= 28, "of 32; 30 were"


def test_an_interrupted_training_is_refused(tmp_path: Path) -> None:
    """Its checkpoints are others; the error says how to begin anew."""
    shutil.copytree(TRAININGS / "interrupted", tmp_path / "out.part")
    run = json.loads((TRAININGS / "interrupted" / "checkpoints" / "run.json").read_text(encoding="utf-8"))
    settings, start, output = doors.settings_of(run["settings"]), TRAININGS / "start", tmp_path / "out"
    with pytest.raises(tokensieve.ConfigError, match=r"interrupted.*--overwrite"):
        doors.train(start, settings, run["recipe"], output)
    with pytest.raises(tokensieve.TokensieveError, match=r"0\.1\.0 began this run.*--overwrite"):
        doors.train(start, settings, run["recipe"], output, resume=True)
    assert (tmp_path / "out.part" / "checkpoints" / "checkpoint-1").is_dir(), "the refused state was removed"
    record = doors.train(start, settings, run["recipe"], output, overwrite=True)
    assert record["resumed_from"] is None
