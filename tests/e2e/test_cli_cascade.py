"""`--preset cascade`: a bag of words ahead of the first stage of `fast`, from training to labels."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import pipeline

import tokensieve
from e2e.conftest import LABELS, Cli, labelled_rows, write_rows
from tokensieve import TokensieveClassifier

TRAIN = ("train", "--preset", "cascade", "--model", "base", "--data", "data.jsonl", "--output", "cascade")
SHORT = ("--epochs", "1", "--max-length", "32")


@pytest.fixture
def trained(cli: Cli, work: Path) -> dict[str, Any]:
    write_rows(work / "data.jsonl", labelled_rows(90))
    write_rows(work / "test.jsonl", labelled_rows(60, seed=1))
    record: dict[str, Any] = cli(*TRAIN, *SHORT, "--json").json()
    return record


def test_from_training_to_labels(
    cli: Cli, work: Path, trained: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert trained["recipe"]["words_first"] == 0.5
    assert trained["settings"] == tokensieve.ReductionConfig.preset("fast").to_dict() | {"defer": None}
    assert not (work / "cascade.dense" / "words_first.json").exists()
    scores = cli("evaluate", "--model", "cascade", "--data", "test.jsonl", "--json").json()
    assert list(scores["stages"]) == ["words", "encoder"]
    assert sum(scores["stages"].values()) == pytest.approx(1)
    assert scores["accuracy"] > 0.9, "the words tell"
    said = cli("evaluate", "--model", "cascade", "--data", "test.jsonl").out
    assert "answered by            words " in said
    cli("predict", "--model", "cascade", "--input", "test.jsonl", "--output", "out.jsonl", "--tokens", "--json")
    rows = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    right = [row["label"] == own["label"] for row, own in zip(rows, labelled_rows(60, seed=1), strict=True)]
    assert sum(right) / 60 == pytest.approx(scores["accuracy"])
    described = cli("info", "--model", "cascade").out
    assert "first      a bag of " in described
    assert cli("info", "--model", "cascade", "--json").json()["words_first"]["terms"] > 3
    assert cli("info", "--model", "cascade", "--sample", "test.jsonl", "--json").json()["plan"]["flops"] > 0


def test_what_is_said_to_people(cli: Cli, trained: dict[str, Any]) -> None:
    said = cli(*TRAIN, *SHORT, "--overwrite", "--set", "train.words_first=2").out
    assert "a bag of words answers " in said
    assert "accuracy of the whole" in said
    card = Path("cascade/README.md").read_text(encoding="utf-8")
    assert "--preset cascade" in card
    assert "--set train.words_first=2" in card
    cli("train", "--preset", "fast", *TRAIN[3:], *SHORT, "--overwrite", "--set", "defer=none")
    card = Path("cascade/README.md").read_text(encoding="utf-8")
    assert "--preset fast" in card, "the other one would put a bag of words ahead"


def test_transformers_reads_the_encoder_and_says_so(trained: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        classify = pipeline("text-classification", model="cascade", device="cpu")
    assert "encoder alone" in caplog.text
    assert classify("the film")[0]["label"] in LABELS


def test_options_that_leave_the_bag_out(cli: Cli, work: Path, handed_over: dict[str, Any]) -> None:
    write_rows(work / "data.jsonl", labelled_rows(90))
    cli(*TRAIN, "--set", "train.words_first=none")
    assert handed_over["recipe"].words_first is None
    cli(*TRAIN)
    assert handed_over["recipe"].words_first == 0.5
    cli("train", "--preset", "balanced", *TRAIN[3:], "--set", "train.words_first=0.1")
    assert handed_over["recipe"].words_first == 0.1
    cli("train", "--preset", "fast", *TRAIN[3:])
    assert handed_over["recipe"].words_first is None


def test_an_estimator(work: Path) -> None:
    rows = labelled_rows(90)
    texts, labels = [row["text"] for row in rows], [row["label"] for row in rows]
    estimator = TokensieveClassifier("base", preset="cascade", epochs=1, max_length=32, device="cpu")
    estimator.fit(texts, labels)
    assert estimator.classifier_.engine.stages[0] == "words"
    assert estimator.score(texts, labels) > 0.9
    estimator.save("saved")
    again = TokensieveClassifier.load("saved", device="cpu")
    assert again.predict_proba(texts) == pytest.approx(estimator.predict_proba(texts), abs=1e-6)
    assert again.classifier_.engine.stages[0] == "words"


def test_a_folder_that_lacks_a_file(cli: Cli, trained: dict[str, Any]) -> None:
    Path("cascade/words.json").unlink()
    said = cli("predict", "--model", "cascade", "--input", "test.jsonl", "--output", "out.jsonl").error()
    assert "words.json is missing" in said
