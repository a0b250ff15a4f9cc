"""`--preset words`: a bag of words alone is trained, described, evaluated and predicted with as any classifier."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tokensieve
from e2e.conftest import LABELS, Cli, labelled_rows, listing, write_rows
from tokensieve.errors import CheckpointError, ConfigError, InputError

TRAIN = ("train", "--preset", "words", "--data", "data.jsonl", "--output", "bag")


@pytest.fixture
def bag(cli: Cli, work: Path) -> dict[str, Any]:
    write_rows(work / "data.jsonl", labelled_rows(90))
    write_rows(work / "test.jsonl", labelled_rows(60, seed=1))
    record: dict[str, Any] = cli(*TRAIN, "--json").json()
    return record


def test_from_training_to_labels(cli: Cli, work: Path, bag: dict[str, Any]) -> None:
    assert {file.name for file in Path("bag").iterdir()} == {
        *("README.md", "training.json", "words.json", "words.safetensors")
    }
    assert bag["preset"] == "words"
    assert sum(bag["documents"].values()) == 90
    assert bag["scores"]["accuracy"] > 0.9
    bag["rows"]["train"].pop("examples")
    assert json.loads(Path("bag/training.json").read_text(encoding="utf-8")) == bag
    scores = cli("evaluate", "--model", "bag", "--data", "test.jsonl", "--json").json()
    assert scores["accuracy"] > 0.9
    assert scores["kept_tokens"] == []
    assert scores["temperature"] == bag["calibration"]["temperature"]
    cli("predict", "--model", "bag", "--input", "test.jsonl", "--output", "out.csv", "--json").json()
    predicted = [line.split(",")[1] for line in Path("out.csv").read_text(encoding="utf-8").splitlines()[1:]]
    right = sum(label == row["label"] for label, row in zip(predicted, labelled_rows(60, 1), strict=True))
    assert right / 60 == pytest.approx(scores["accuracy"])


def test_what_is_said_to_people(cli: Cli, work: Path, bag: dict[str, Any]) -> None:
    said = cli(*TRAIN, "--overwrite").out.splitlines()
    assert said[-1] == "saved in bag"
    assert said[0].startswith("a bag of ")
    assert "tokens" not in cli("evaluate", "--model", "bag", "--data", "test.jsonl").out
    described = cli("info", "--model", "bag").out
    assert "no encoder" in described
    assert cli("info", "--model", "bag", "--json").json()["plan"] is None
    assert "no encoder" in cli("info", "--model", "bag", "--length", "99").error()
    assert "by a bag of words" in cli("predict", "--model", "bag", "--input", "test.jsonl").err
    card = Path("bag/README.md").read_text(encoding="utf-8")
    assert "no encoder" in card
    assert "tokensieve.load" in card


def test_in_python(bag: dict[str, Any]) -> None:
    classifier = tokensieve.load("bag")
    assert set(classifier.predict(["film", "court"])) <= set(LABELS)
    assert classifier.predict_proba(["film", "law"]).sum(1) == pytest.approx(np.ones(2), abs=1e-6)
    [result] = classifier.results(["the film film"])
    assert result.kept == ()
    assert result.tokens is None
    assert classifier.predict([]) == []
    for refused in (lambda: classifier.encode(["film"]), lambda: classifier.results(["film"], tokens=True)):
        with pytest.raises(ConfigError, match="no encoder"):
            refused()
    with pytest.raises(InputError, match="pair"):
        classifier.predict([("film", "law")])
    with pytest.raises(ConfigError, match="max_length"):
        tokensieve.load("bag", max_length=5)


def test_a_broken_folder(bag: dict[str, Any]) -> None:
    Path("bag/words.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"words\.safetensors"):
        tokensieve.load("bag")


def test_predictions_go_on(cli: Cli, work: Path, bag: dict[str, Any]) -> None:
    write_rows(work / "many.jsonl", labelled_rows(2500))
    asked = ("predict", "--model", "bag", "--input", "many.jsonl", "--output", "out.jsonl", "--resume")
    cli(*asked)
    whole = Path("out.jsonl").read_text(encoding="utf-8")
    assert len(whole.splitlines()) == 2500
    classifier = tokensieve.load("bag")
    from tokensieve.data import read_documents

    documents = list(read_documents("many.jsonl", label_column=None))
    rest = [pair for window in classifier.engine.stream_windows(documents, skip=1500) for pair in window]
    assert [document.line for document, _ in rest] == list(range(1501, 2501))
    last = json.loads(whole.splitlines()[-1])
    assert list(last["probabilities"].values()) == pytest.approx(rest[-1][1].probabilities)


def test_several_labels_and_pairs(cli: Cli, work: Path) -> None:
    rows = [
        {"text": f"{row['text']} {'good' * (place % 3 == 0)}", "other": "the law", "label": row["label"]}
        for place, row in enumerate(labelled_rows(90))
    ]
    lists = [{**row, "label": [row["label"], *["good"] * ("good" in row["text"])]} for row in rows]
    write_rows(work / "data.jsonl", lists)
    record = cli(*TRAIN, "--multi-label", "--json").json()
    assert len(record["calibration"]["thresholds"]) == 4
    assert set(tokensieve.load("bag").predict(["film good"])[0]) == {"film", "good"}
    write_rows(work / "data.jsonl", rows)
    assert cli(*TRAIN, "--pair-column", "other", "--overwrite", "--json").json()["pairs"]
    assert len(tokensieve.load("bag").predict([("film", "the law")])) == 1
    assert "--pair-column" in cli("predict", "--model", "bag", "--input", "data.jsonl").error()


@pytest.mark.parametrize(
    "options", [("--model", "base"), ("--keep", "0.5"), ("--epochs", "2"), ("--set", "train.teacher=base")]
)
def test_what_only_an_encoder_has_is_refused(cli: Cli, work: Path, options: tuple[str, ...]) -> None:
    write_rows(work / "data.jsonl", labelled_rows(30))
    assert "a bag of words has no" in cli(*TRAIN, *options).error()
    assert "bag" not in listing(work)


def test_without_validation(cli: Cli, work: Path) -> None:
    write_rows(work / "data.jsonl", labelled_rows(30))
    record = cli(*TRAIN, "--set", "data.validation_fraction=0", "--json").json()
    assert record["scores"] is None
    assert record["calibration"] is None


def test_a_folder_of_somebodys_is_not_replaced(cli: Cli, work: Path, bag: dict[str, Any]) -> None:
    assert "--overwrite" in cli(*TRAIN).error()
    Path("bag/note.txt").touch()
    assert "note.txt" in cli(*TRAIN, "--overwrite").error()
