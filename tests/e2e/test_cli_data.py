"""What --data takes beside files, and what the documents may hold: data sets, text pairs, several labels."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import LABELS, Cli, labelled_rows, listing, write_rows
from support.folders import change_config
from support.packages import needed

TRAIN = ("train", "--model", "base", "--output", "out", "--max-length", "32", "--device", "cpu", "--epochs", "1")


@pytest.fixture
def multi_label_model(save_classifier: Callable[..., Path], tmp_path: Path) -> Path:
    """A random classifier of three labels, any number of which a document may have."""
    return change_config(save_classifier(tmp_path / "several"), problem_type="multi_label_classification")


def _data_set(count: int, seed: int = 0) -> Any:
    datasets = needed("datasets")
    rows = [row | {"label": LABELS.index(row["label"])} for row in labelled_rows(count, seed)]
    classes = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(LABELS))})
    return datasets.Dataset.from_list(rows, features=classes)


def test_a_saved_data_set(cli: Cli, work: Path) -> None:
    datasets = needed("datasets")
    splits = datasets.DatasetDict(train=_data_set(24), validation=_data_set(9, 1), test=_data_set(15, 2))
    splits.save_to_disk(work / "news")
    record = cli(*TRAIN, "--data", "news", "--json").json()
    assert record["documents"] == {"train": 24, "validation": 9}
    assert (record["labels"], record["data"]) == (list(LABELS), "news")
    scores = cli("evaluate", "--model", "out", "--data", "news", "--json").json()
    assert (scores["documents"], scores["data"]) == (15, "news")
    assert cli("evaluate", "--model", "out", "--data", "news", "--split", "dev", "--json").json()["documents"] == 9
    assert cli("evaluate", "--model", "out", "--data", "news/train", "--json").json()["documents"] == 24


def test_the_name_of_a_data_set(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = needed("datasets")
    parts = datasets.DatasetDict(train=_data_set(24), test=_data_set(15, 2))
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config: parts if name == "our/news" else None)
    assert cli("evaluate", "--model", "model", "--data", "our/news:small", "--json").json()["data"] == "our/news:small"
    assert cli(*TRAIN, "--data", "our/news", "--json").json()["documents"] == {"train": 19, "validation": 5}


@pytest.mark.parametrize("command", [TRAIN, ("evaluate", "--model", "model")])
def test_a_name_without_a_connection(cli: Cli, work: Path, command: tuple[str, ...]) -> None:
    needed("datasets")
    before = listing(work)
    line = cli(*command, "--data", "our/news", "--json").error()
    for hint in ("our/news", "no such file or folder", "name:config", "save_to_disk"):
        assert hint in line
    assert listing(work) == before


def test_every_command_reads_with_a_delimiter(cli: Cli, work: Path) -> None:
    table = "".join(f"{row['text'].replace(';', ',')};{row['label']}\n" for row in labelled_rows(24))
    (work / "data.csv").write_text(f"text;label\n{table}", encoding="utf-8")
    train, way = ("--set", "data.delimiter=;"), ("--delimiter", ";")
    record = cli(*TRAIN, "--data", "data.csv", *train, "--json").json()
    assert record["documents"] == {"train": 19, "validation": 5}
    assert record["reading"]["delimiter"] == ";"
    card = (work / "out" / "README.md").read_text(encoding="utf-8")
    assert "--set 'data.delimiter=;'" in card, "the command that repeats it"
    assert cli("evaluate", "--model", "out", "--data", "data.csv", *way, "--json").json()["documents"] == 24
    predicted = cli("predict", "--model", "out", "--input", "data.csv", *way)
    assert [json.loads(line)["line"] for line in predicted.out.splitlines()] == list(range(2, 26))
    cli("info", "--model", "model", "--length", "32", "--sample", "data.csv", *way, "--json").json()
    told = ((*TRAIN, "--overwrite", "--data"), train), (("evaluate", "--model", "out", "--data"), way)
    for command, delimiter in told:
        line = cli(*command, "data.csv").error()
        assert "--delimiter ';'" in line and "--set data.delimiter=';'" in line
        assert "is JSONL: leave it out" in cli(*command, "good.jsonl", *delimiter).error()
    assert "--delimiter ';'" in cli("predict", "--model", "out", "--input", "data.csv").error()


def test_every_command_reads_json_arrays(cli: Cli, work: Path) -> None:
    rows = labelled_rows(24)
    for split, count in (("train", 24), ("test", 9)):
        (work / "news").mkdir(exist_ok=True)
        (work / "news" / f"{split}.json").write_text(json.dumps(rows[:count], indent=1), encoding="utf-8")
    assert cli(*TRAIN, "--data", "news", "--json").json()["documents"] == {"train": 19, "validation": 5}
    assert cli("evaluate", "--model", "out", "--data", "news", "--json").json()["documents"] == 9
    cli("info", "--model", "model", "--length", "32", "--sample", "news/test.json", "--json").json()
    array = json.dumps(rows)
    for outcome in (
        cli("predict", "--model", "out", "--input", "news/train.json"),
        cli("predict", "--model", "out", "--input-format", "json", stdin=array),
    ):
        assert [json.loads(line)["line"] for line in outcome.out.splitlines()] == list(range(1, 25))


def test_a_test_split_that_cannot_be_used_does_not_stop_training(cli: Cli, work: Path) -> None:
    write_rows(work / "train.jsonl", labelled_rows(24))
    write_rows(work / "test.csv", [{"text": "good", "label": "opera"}, {"text": "goal", "label": "sport"}])
    trained = cli(*TRAIN, "--data", ".", "--json")
    assert trained.json()["documents"] == {"train": 19, "validation": 5}
    (line,) = [line for line in trained.err.splitlines() if line.startswith("test split: ")]
    for hint in ("test.csv, line 2", "unknown label: 'opera'", "1 of 2 records", "evaluate' will refuse it"):
        assert hint in line
    assert "unknown label: 'opera'" in cli("evaluate", "--model", "out", "--data", ".").error()


def test_labels_that_no_document_judges(cli: Cli, work: Path) -> None:
    write_rows(work / "train.jsonl", labelled_rows(24))
    write_rows(work / "validation.jsonl", [row for row in labelled_rows(24) if row["label"] != "law"])
    trained = cli(*TRAIN, "--data", ".", "--json")
    trained.json()
    assert "no validation document has the label 'law': no score tells of it" in trained.err
    scored = cli("evaluate", "--model", "out", "--data", "validation.jsonl", "--json")
    scored.json()
    assert "no evaluated document has the label 'law'" in scored.err


def test_booleans_and_space(cli: Cli, work: Path) -> None:
    """The same labels, whatever the format of training and evaluation."""
    needed("pyarrow")
    rows = [{"text": row["text"], "label": row["label"] == "film"} for row in labelled_rows(24)]
    write_rows(work / "data.parquet", rows)
    write_rows(work / "data.jsonl", rows)
    write_rows(work / "data.csv", [row | {"label": f" {row['label']}"} for row in rows])
    assert cli(*TRAIN, "--data", "data.parquet", "--json").json()["labels"] == ["false", "true"]
    scores = [cli("evaluate", "--model", "out", "--data", f"data.{kind}", "--json").json() for kind in ("jsonl", "csv")]
    assert [score["classes"]["true"]["support"] for score in scores] == [8, 8]


def test_text_pairs(cli: Cli, work: Path) -> None:
    rows = [row | {"question": f"good {n}"} for n, row in enumerate(labelled_rows(24))]
    write_rows(work / "pairs.csv", rows)
    pairs = ("--data", "pairs.csv", "--text-column", "question", "--pair-column", "text")
    record = cli(*TRAIN, *pairs, "--json").json()
    assert record["documents"] == {"train": 19, "validation": 5}
    scores = cli("evaluate", "--model", "out", *pairs, "--json").json()
    assert scores["documents"] == 24
    words = sum(len(f"{row['question']} {row['text']}".split()) for row in rows)
    assert scores["mean_length"] == pytest.approx(words / 24 + 3), "[CLS] question [SEP] text [SEP]"
    line = cli("evaluate", "--model", "out", *pairs[:4]).error()
    assert "pairs.csv, line 2" in line and "trained on pairs" in line and "--pair-column" in line
    line = cli("evaluate", "--model", "out", *pairs[:4], "--pair-column", "passage").error()
    assert "'passage'" in line and "--pair-column" in line


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_scoring_several_labels(cli: Cli, work: Path, multi_label_model: Path, kind: str) -> None:
    lists = [["film", "law"], [], ["sport"], ["sport", "law"]] * 6
    rows = [{"text": row["text"], "label": labels} for row, labels in zip(labelled_rows(24), lists, strict=True)]
    if kind == "csv":
        rows = [row | {"label": "; ".join(row["label"])} for row in rows]
    write_rows(work / f"data.{kind}", rows)
    args = ("evaluate", "--model", multi_label_model, "--data", f"data.{kind}", "--label-separator", ";")
    scores = cli(*args, "--json").json()
    assert {name: row["support"] for name, row in scores["classes"].items()} == {"film": 6, "law": 12, "sport": 12}
    assert cli(*args, "--max-documents", "4", "--json").json()["documents"] == 4
    if kind == "csv":
        assert "'film; law'" in cli(*args[:-2]).error()


def test_lists_of_labels_for_a_model_of_single_ones(cli: Cli, work: Path) -> None:
    write_rows(work / "data.jsonl", [{"text": "good", "label": ["film"]}])
    assert "line 1: label of the wrong type" in cli("evaluate", "--model", "model", "--data", "data.jsonl").error()
    assert "--multi-label" in cli(*TRAIN, "--data", "data.jsonl").error()


def test_learning_several_labels(cli: Cli, work: Path) -> None:
    lists = [["film", "law"], [], ["sport"], ["sport", "law"]] * 6
    write_rows(work / "data.jsonl", [
        {"text": row["text"], "label": labels} for row, labels in zip(labelled_rows(24), lists, strict=True)
    ])  # fmt: skip
    record = cli(*TRAIN, "--data", "data.jsonl", "--multi-label", "--json").json()
    assert record["labels"] == list(LABELS)
    scores = cli("evaluate", "--model", "out", "--data", "data.jsonl", "--json").json()
    assert scores["classes"]["law"]["support"] == 12


def test_settings_of_data_that_is_not_there(cli: Cli, work: Path, multi_label_model: Path) -> None:
    assert "--multi-label is for documents of your own" in cli(*TRAIN, "--multi-label").error()
    assert "--pair-column is for documents of your own" in cli(*TRAIN, "--pair-column", "b").error()
    assert "data.unlabelled is for documents of your own" in cli(*TRAIN, "--set", "data.unlabelled=b.txt").error()
    assert "--pair-column" in cli("evaluate", "--model", "model", "--pair-column", "b").error()
    assert "--data" in cli("evaluate", "--model", multi_label_model).error()
    assert "label_separator" in cli(*TRAIN, "--data", "good.jsonl", "--set", "data.label_separator=").error()
