"""A run that starts from a trained classifier keeps its weights where no epoch is better."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tokensieve
from flat import reduction
from tokensieve import ConfigError, ReductionConfig, TrainingError
from tokensieve.data import DataSplits
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train
from unit.training.cut_off import CutOff
from unit.training.keyword_documents import LABELS, labelled_documents

DENSE = reduction(pruning="none", pooling="mean")
LEARNED = reduction(score="learned", site="hidden", keep_ratio=0.6, pooling="mean")
RECIPE = Recipe(epochs=2, batch_size=8, max_length=32, learning_rate=1e-3, select="accuracy", calibrate=False)
PT = {"format": "pt"}
VALIDATION = labelled_documents(24, seed=1)


@pytest.fixture(scope="module")
def dense(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that is right on nearly all documents."""
    folder = tmp_path_factory.mktemp("best") / "dense"
    recipe = replace(RECIPE, epochs=6, learning_rate=3e-3)
    train(base, DENSE, DataSplits(labelled_documents(120), VALIDATION), folder, recipe, progress=False)
    return folder


@pytest.fixture(scope="module")
def misleading() -> DataSplits:
    """What is learned from these documents makes every answer wrong."""
    following = dict(zip(LABELS, [*LABELS[1:], LABELS[0]], strict=True))
    wrong = tuple(replace(document, label=following[str(document.label)]) for document in labelled_documents(48))
    return DataSplits(wrong, VALIDATION)


def weights(folder: Path) -> dict[str, Any]:
    return tokensieve.load(folder, device="cpu").model.state_dict()


def assert_same(folder: Path, other: Path) -> None:
    """But for what is fitted to fewer tokens, where there are fewer."""
    own, others = weights(folder), weights(other)
    fitted = ("importance", "head.classifier") if "encoder.layer.0.importance.weight" in own else ()
    for name in own:
        if not any(part in name for part in fitted):
            torch.testing.assert_close(own[name], others[name], atol=0, rtol=0, msg=name)


def assert_same_head(folder: Path, start: Path, settings: ReductionConfig, data: DataSplits, place: Path) -> None:
    """That of a run that begins alike, and trains nothing."""
    train(start, settings, data, place / "untrained", replace(RECIPE, epochs=0), progress=False)
    own, other = (weights(path)["head.classifier.weight"] for path in (folder, place / "untrained"))
    torch.testing.assert_close(own, other, atol=0, rtol=0)


@pytest.mark.parametrize("select", ["accuracy", "loss"])
@pytest.mark.parametrize("settings", [DENSE, LEARNED], ids=["dense", "learned"])
def test_epochs_that_make_it_worse_are_not_kept(
    dense: Path, misleading: DataSplits, tmp_path: Path, settings: ReductionConfig, select: Any
) -> None:
    recipe = replace(RECIPE, learning_rate=3e-3, epochs=3, select=select)
    record = train(dense, settings, misleading, tmp_path / "out", recipe, progress=False)
    found = [entry for entry in record["history"] if "eval_loss" in entry]
    assert [entry["epoch"] for entry in found] == [0, 1, 2, 3]
    assert record["best"] == found[0]
    assert min(entry["eval_loss"] for entry in found[1:]) > found[0]["eval_loss"]
    assert_same(tmp_path / "out", dense)
    assert_same_head(tmp_path / "out", dense, settings, misleading, tmp_path)
    assert "Epoch 0 (the weights that it started from)" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_what_is_kept_is_what_was_scored(dense: Path, misleading: DataSplits, tmp_path: Path) -> None:
    record = train(dense, LEARNED, misleading, tmp_path / "out", RECIPE, progress=False)
    classifier = tokensieve.load(tmp_path / "out", device="cpu")
    found = classifier.predict([document.text for document in VALIDATION])
    right = sum(label == document.label for label, document in zip(found, VALIDATION, strict=True))
    assert right / len(VALIDATION) == pytest.approx(record["best"]["eval_accuracy"])


def test_epochs_that_make_it_better_are_kept(dense: Path, misleading: DataSplits, tmp_path: Path) -> None:
    """From a classifier that has learned what is wrong."""
    recipe = replace(RECIPE, learning_rate=3e-3, epochs=6)
    worse = DataSplits(misleading.train)
    train(dense, DENSE, worse, tmp_path / "worse", replace(recipe, select="loss"), progress=False)
    good = DataSplits(labelled_documents(120), VALIDATION)
    record = train(tmp_path / "worse", DENSE, good, tmp_path / "out", recipe, progress=False)
    assert record["best"]["epoch"] > 0
    assert record["best"]["eval_accuracy"] > record["history"][0]["eval_accuracy"]


def test_a_pretrained_start_is_no_candidate(base: Path, splits: DataSplits, tmp_path: Path) -> None:
    record = train(base, DENSE, splits, tmp_path / "out", RECIPE, progress=False)
    assert [entry["epoch"] for entry in record["history"] if "eval_loss" in entry] == [1, 2]


def test_nothing_is_trained(dense: Path, splits: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The importance is fitted, the temperature too, and the weights are the classifier's; no teacher is asked."""
    monkeypatch.setattr("tokensieve.training.stages.ask_teacher.teacher_targets", None)
    recipe = replace(RECIPE, epochs=0, calibrate=True, teacher=str(dense))
    record = train(dense, LEARNED, splits, tmp_path / "out", recipe, progress=False)
    assert_same(tmp_path / "out", dense)
    assert [entry["epoch"] for entry in record["history"]] == [0]
    assert record["best"]["epoch"] == 0 and record["calibration"]["temperature"] > 0
    assert len(record["importance_r2"]) == 4
    model = tokensieve.load(tmp_path / "out", device="cpu").model
    assert all(layer.importance.fitted for layer in model.encoder.layer)


def test_nothing_is_trained_and_nothing_scored(dense: Path, tmp_path: Path) -> None:
    record = train(
        dense,
        LEARNED,
        DataSplits(labelled_documents(24)),
        tmp_path / "out",
        replace(RECIPE, epochs=0, select="loss"),
        progress=False,
    )
    assert record["history"] == [] and record["best"] is None
    assert_same(tmp_path / "out", dense)


OTHER_PARTS = {
    "pooling": (reduction(pruning="none", pooling="host"), "reads 'mean' pooling, so with pooling='pretrained'"),
    "combining": (reduction(combine_layer=3, combination_tokens=3), "no combining module with 3 tokens"),
}


@pytest.mark.parametrize("name", OTHER_PARTS)
def test_a_start_with_random_parts_is_none(dense: Path, splits: DataSplits, tmp_path: Path, name: str) -> None:
    settings, reason = OTHER_PARTS[name]
    with pytest.raises(ConfigError, match=f"epochs=0 trains nothing .*{reason}.* random: train one first"):
        train(dense, settings, splits, tmp_path / "out", replace(RECIPE, epochs=0), progress=False)
    record = train(dense, settings, splits, tmp_path / "out", RECIPE, progress=False)
    assert [entry["epoch"] for entry in record["history"] if "eval_loss" in entry] == [1, 2]


@pytest.mark.parametrize("changes", [{"validation": ()}, {}], ids=["nothing to calibrate on", "not asked to"])
def test_the_calibration_stays_with_the_answers(
    dense: Path, splits: DataSplits, tmp_path: Path, changes: dict[str, Any]
) -> None:
    tempered = shutil.copytree(dense, tmp_path / "tempered")
    config = json.loads((tempered / "config.json").read_text(encoding="utf-8"))
    (tempered / "config.json").write_text(json.dumps(config | {"calibration_temperature": 1.75}), encoding="utf-8")
    recipe = replace(RECIPE, epochs=0, select="loss", calibrate=bool(changes))
    train(tempered, LEARNED, replace(splits, **changes), tmp_path / "out", recipe, progress=False)
    assert tokensieve.load(tmp_path / "out", device="cpu").model.config.calibration_temperature == 1.75
    assert "temperature 1.7500" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_documents_of_another_split_are_told_of(
    dense: Path, splits: DataSplits, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    same = DataSplits(labelled_documents(120), VALIDATION)
    for name, data, told in (("same", same, 0), ("other", splits, 1)):
        caplog.clear()
        train(dense, LEARNED, data, tmp_path / name, replace(RECIPE, epochs=0), progress=False)
        warnings = [entry for entry in caplog.records if "in another split" in entry.getMessage()]
        assert len(warnings) == told


def test_a_broken_start_is_refused(dense: Path, splits: DataSplits, tmp_path: Path) -> None:
    broken = shutil.copytree(dense, tmp_path / "broken")
    state = load_file(broken / "model.safetensors")
    save_file({name: weight * float("nan") for name, weight in state.items()}, broken / "model.safetensors", PT)
    with pytest.raises(TrainingError, match="eval_loss of the classifier to start from is nan"):
        train(broken, DENSE, splits, tmp_path / "out", RECIPE, progress=False)
    assert not (tmp_path / "out").exists()


def test_the_estimator_trains_nothing(dense: Path) -> None:
    documents = labelled_documents(60)
    texts, labels = [document.text for document in documents], [str(document.label) for document in documents]
    estimator = tokensieve.TokensieveClassifier(
        str(dense), config=LEARNED, epochs=0, max_length=32, validation_fraction=0.25
    )
    assert estimator.fit(texts, labels).score(texts, labels) > 0.9


def test_nothing_to_train_needs_a_classifier(base: Path, splits: DataSplits, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"epochs=0 trains nothing and needs a whole .* train one first"):
        train(base, DENSE, splits, tmp_path / "out", replace(RECIPE, epochs=0), progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("changes", [{}, {"lora_rank": 2}, {"bf16": True}], ids=["plain", "lora", "bf16"])
def test_a_run_that_was_cut_off_keeps_the_start(
    dense: Path, misleading: DataSplits, tmp_path: Path, changes: dict[str, Any]
) -> None:
    recipe = replace(RECIPE, learning_rate=1e-2, epochs=3, **changes)

    with pytest.raises(KeyboardInterrupt):
        train(dense, LEARNED, misleading, tmp_path / "out", recipe, progress=False, callbacks=[CutOff(8)])
    record = train(dense, LEARNED, misleading, tmp_path / "out", recipe, progress=False, resume=True)
    assert record["resumed_from"] and record["best"]["epoch"] == 0
    assert_same(tmp_path / "out", dense)
    assert_same_head(tmp_path / "out", dense, LEARNED, misleading, tmp_path)
    whole = train(dense, LEARNED, misleading, tmp_path / "whole", recipe, progress=False)
    kept = json.loads((tmp_path / "out" / "training.json").read_text(encoding="utf-8"))["best"]
    assert kept["eval_loss"] == pytest.approx(whole["best"]["eval_loss"], abs=1e-6)
