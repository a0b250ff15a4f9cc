"""A classifier of several labels a document, and of text pairs, on the command line."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tokensieve
import tokensieve.data
from support.folders import change_config, named

ROWS: list[dict[str, Any]] = [
    {"text": "the film was good", "other": "the player was not", "label": ["film", "sport"]},
    {"text": "law and judge", "other": "court", "label": []},
    {"text": "the price of a share", "other": "law " * 80, "label": ["law"]},
]
PAIRS = [(row["text"], row["other"]) for row in ROWS]


@pytest.fixture
def model(save_classifier: Callable[..., Path], tmp_path: Path) -> Path:
    """Calibrated, with thresholds at which every text has other labels."""
    folder = save_classifier(tmp_path / "model")
    change_config(folder, problem_type="multi_label_classification", calibration_temperature=2.5)
    thresholds = tokensieve.load(folder, device="cpu").predict_proba(PAIRS).mean(0).tolist()
    return change_config(folder, thresholds=thresholds)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


def test_predict_and_evaluate(model: Path, data: Path, run_cli: Any) -> None:
    classifier = tokensieve.load(model, device="cpu")
    expected = classifier.predict(PAIRS)
    assert expected != classifier.predict([row["text"] for row in ROWS]), "the second text has to count"
    predicted = run_cli("predict", "--model", model, "--input", data, "--pair-column", "other", "--device", "cpu")
    assert predicted.returncode == 0, predicted.stderr
    assert [json.loads(line)["labels"] for line in predicted.stdout.splitlines()] == expected
    options = ("evaluate", "--model", model, "--data", data, "--pair-column", "other", "--device", "cpu")
    evaluated = run_cli(*options, "--json")
    assert evaluated.returncode == 0, evaluated.stderr
    scores = json.loads(evaluated.stdout)
    assert scores["mean_labels_true"] == 1
    assert scores["mean_labels"] == pytest.approx(sum(map(len, expected)) / 3)
    assert scores["accuracy"] == pytest.approx(
        sum(found == row["label"] for found, row in zip(expected, ROWS, strict=True)) / 3
    )
    assert (scores["temperature"], scores["truncated"]) == (2.5, 1)
    lines = run_cli(*options).stdout.splitlines()
    assert f"exact match            {scores['accuracy']:.4f}" in lines
    assert f"labels per document    {scores['mean_labels']:.2f} given, 1.00 true" in lines
    before = f"before temperature scaling {scores['ece_uncalibrated']:.4f}"
    assert f"calibration error      {scores['ece']:.4f}, {before}" in lines


def test_a_broken_calibration(model: Path, data: Path, run_cli: Any) -> None:
    change_config(model, thresholds=[2.0])
    failed = run_cli("predict", "--model", model, "--input", data, "--device", "cpu")
    assert failed.returncode != 0
    assert not failed.stdout
    assert "thresholds=[2.0]" in failed.stderr
    assert "Traceback" not in failed.stderr


NAMES = ("film", "a|b", "law; order")


@pytest.mark.parametrize("separator", ["|", "; ", ";", "", " ", "b"])
@pytest.mark.parametrize("output", ["-", "out.csv", "out.csv.gz"])
def test_labels_that_a_cell_cannot_hold(model: Path, data: Path, run_cli: Any, separator: str, output: str) -> None:
    """film|a|b cannot be divided into the two labels again."""
    change_config(model, **named(*NAMES))
    options = ("predict", "--model", model, "--input", data, "--output", output, "--output-format", "csv")
    failed = run_cli(*options, "--label-separator", separator, "--pair-column", "other", "--device", "cpu")
    assert failed.returncode == 1 and not failed.stdout
    (line,) = failed.stderr.splitlines()[-1:]
    assert "label_separator" in line and "error:" in line
    assert not list(data.parent.glob("out.csv*"))


def test_labels_by_another_separator_are_read_back(model: Path, data: Path, run_cli: Any) -> None:
    change_config(model, **named(*NAMES[:2], "law, order"), thresholds=[0.0, 0.0, 1.0])
    options = ("--model", model, "--input", data, "--pair-column", "other", "--device", "cpu")
    done = run_cli("predict", *options, "--output-format", "csv", "--label-separator", ";")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["labels"] for row in rows] == ["film;a|b"] * 3
    cells = [f'"{row["text"]}","{cells["labels"]}"\n' for row, cells in zip(ROWS, rows, strict=True)]
    (data.parent / "again.csv").write_text("".join(["text,label\n", *cells]))
    again = tokensieve.data.read_documents(data.parent / "again.csv", multi_label=True, label_separator=";")
    assert [document.label for document in again] == [("film", "a|b")] * 3
