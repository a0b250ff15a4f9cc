"""`tokensieve quantize`: from a classifier's folder to one with int8 weights that the commands serve."""

from collections.abc import Callable
from pathlib import Path

from e2e.conftest import Cli, labelled_rows, listing, write_rows
from tokensieve.quantize.quantize import _split

QUANTIZE = ("quantize", "--model", "model", "--data", "data.jsonl", "--output", "int8")
LOOSE = ("--max-labels-changed", "1", "--max-mean-change", "1")


def test_made_and_served(cli: Cli, work: Path) -> None:
    rows = labelled_rows(60)
    write_rows(work / "data.jsonl", rows)
    report = cli(*QUANTIZE, *LOOSE, "--json").json()
    assert report["type"] == "int8"
    assert (report["fitted_to"], report["documents"]) == (15, 45)
    write_rows(work / "data.jsonl", _split(rows)[1])
    assert report["bytes"] < report["bytes_float32"]
    scores = cli("evaluate", "--model", "int8", "--data", "data.jsonl", "--json").json()
    assert scores["dtype"] == "int8"
    assert scores["accuracy"] == report["accuracy"]
    assert cli("predict", "--model", "int8", "--input", "data.jsonl", "--dtype", "int8").code == 0
    assert "int8" in cli("info", "--model", "int8").out
    assert cli("info", "--model", "int8", "--json").json()["quantization"]["documents"] == 45
    said = cli(*QUANTIZE, *LOOSE, "--max-documents", "20").error()
    assert "exists" in said


def test_one_stage_of_a_cascade(cli: Cli, work: Path, save_classifier: Callable[..., Path]) -> None:
    save_classifier(work / "cascade", reread=0.4)
    write_rows(work / "data.jsonl", labelled_rows(60))
    made = cli(*QUANTIZE, *LOOSE, "--model", "cascade", "--stage", "encoder", "--json").json()
    assert made["stages"] == ["encoder"]
    assert "int8 in the encoder:" in cli("info", "--model", "int8").out
    assert cli("predict", "--model", "int8", "--input", "data.jsonl").code == 0


def test_documents_without_labels(cli: Cli, work: Path) -> None:
    write_rows(work / "data.jsonl", [{"text": row["text"]} for row in labelled_rows(30)])
    assert "accuracy" not in cli(*QUANTIZE, *LOOSE, "--unlabelled", "--json").json()


def test_refused(cli: Cli, work: Path) -> None:
    write_rows(work / "data.jsonl", labelled_rows(30))
    before = listing(work)
    assert "int8 changes too much" in cli(*QUANTIZE, "--max-mean-change", "0").error()
    assert "'second'" in cli(*QUANTIZE, "--stage", "second").error()
    assert "labels_changed=2" in cli(*QUANTIZE, "--max-labels-changed", "2").error()
    assert (
        "tokensieve quantize" in cli("evaluate", "--model", "model", "--data", "data.jsonl", "--dtype", "int8").error()
    )
    assert listing(work) == before
