"""Figures of an evaluation against hand counts; predictions written to part files; peak memory."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tokensieve import ConfigError, DataError, TokensieveError
from tokensieve.data import Document
from tokensieve.memory import peak_memory_bytes
from tokensieve.metrics import accuracy_and_f1, report_per_class
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.evaluate import evaluate
from tokensieve.runtime.part import part_file
from tokensieve.runtime.predict import is_prediction, output_format, write_predictions


def labelled(texts: list[str], labels: list[str]) -> list[Document]:
    pairs = zip(texts, labels, strict=True)
    return [Document(text, label, "here", line) for line, (text, label) in enumerate(pairs, 1)]


def test_scores_by_hand() -> None:
    scores = accuracy_and_f1([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 2])
    assert scores["accuracy"] == scores["f1_micro"] == pytest.approx(4 / 6)
    assert scores["f1_macro"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    report = report_per_class([0, 0, 0, 1, 1], [0, 0, 1, 1, 0], ["a", "b", "absent"])
    assert report["a"] == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "support": 3})
    assert report["b"] == pytest.approx({"precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2, "support": 2})
    assert report["absent"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}


def test_an_evaluation_is_the_predictions_scored(classifier: Classifier, some_texts: list[str]) -> None:
    predicted = classifier.predict(some_texts)
    wrong = [classifier.labels[(classifier.labels.index(label) + 1) % 3] for label in predicted]
    truth = predicted[:30] + wrong[30:]
    results = classifier.results(some_texts)
    truncated, classifier.engine.truncated = classifier.engine.truncated // 2, 0
    scores = evaluate(classifier, labelled(some_texts, truth))
    assert scores["accuracy"] == scores["f1_micro"] == 0.75
    assert scores["documents"] == 40
    assert scores["truncated"] == truncated > 0
    assert scores["mean_length"] == pytest.approx(sum(result.length for result in results) / 40)
    by_hand = [sum(result.kept[step] for result in results) / 40 for step in range(len(results[0].kept))]
    assert scores["kept_tokens"] == pytest.approx(by_hand)
    assert scores["documents_per_second"] == pytest.approx(40 / scores["seconds"])
    assert {name: row["support"] for name, row in scores["classes"].items()} == {
        name: truth.count(name) for name in classifier.labels
    }
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_an_evaluation_twice_counts_once(classifier: Classifier, some_texts: list[str]) -> None:
    documents = labelled(some_texts, ["film"] * 40)
    first, second = evaluate(classifier, documents), evaluate(classifier, documents)
    assert first["truncated"] == second["truncated"] > 0


def test_nothing_to_evaluate_on(classifier: Classifier) -> None:
    with pytest.raises(DataError, match="no document"):
        evaluate(classifier, [])


@pytest.mark.parametrize("label", ["unheard-of", None])
def test_a_label_that_the_classifier_does_not_know(classifier: Classifier, label: Any) -> None:
    with pytest.raises(TokensieveError, match=label or "line 2: the document has no label"):
        evaluate(classifier, [Document("film", "film", "here", 1), Document("film", label, "here", 2)])


def test_peak_memory_is_that_of_the_process() -> None:
    peak = peak_memory_bytes(torch.device("cpu"))
    assert 50e6 < peak < 1e12
    block = torch.ones(30_000_000)
    assert peak_memory_bytes(torch.device("cpu")) >= peak
    del block
    assert peak_memory_bytes(torch.device("cpu")) >= 120e6


@pytest.mark.parametrize(
    ("path", "kind", "expected"),
    [
        ("-", None, "jsonl"),
        ("-", "csv", "csv"),
        ("a.jsonl", None, "jsonl"),
        ("a.ndjson", None, "jsonl"),
        ("a.csv", None, "csv"),
        ("a.CSV", None, "csv"),
        ("a.csv.gz", None, "csv"),
        ("a.jsonl.gz", None, "jsonl"),
        ("some.folder/a.txt", "csv", "csv"),
    ],
)
def test_output_formats(path: str, kind: str | None, expected: str) -> None:
    assert output_format(path, kind) == expected


@pytest.mark.parametrize(("path", "kind"), [("a.txt", None), ("a", None), ("a.gz", None), ("-", "tsv"), ("a.csv", "x")])
def test_output_formats_that_cannot_be_written(path: str, kind: str | None) -> None:
    with pytest.raises(ConfigError, match=r"\.jsonl or \.csv"):
        output_format(path, kind)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_part_file_leaves_nothing_on_an_error(tmp_path: Path, name: str, error: type[BaseException]) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(error), part_file(tmp_path / name, is_prediction) as out:
        out.write("half")
        assert (tmp_path / f"{name}.part").exists()
        raise error
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b""


def test_a_part_file_takes_its_name_at_the_end(tmp_path: Path) -> None:
    for name, opener in (("a.csv", open), ("a.csv.gz", gzip.open)):
        with part_file(tmp_path / name, is_prediction) as out:
            out.write("whole ü\n")
            assert not (tmp_path / name).exists()
        with opener(tmp_path / name, "rt", encoding="utf-8") as written:
            assert written.read() == "whole ü\n"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.csv", "a.csv.gz"]


@pytest.mark.parametrize("name", ["absent/a.csv", ".", "file/a.csv"])
def test_part_files_that_have_no_place(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="folder"), part_file(tmp_path / name, is_prediction):
        pass


@pytest.mark.parametrize("tokens", [False, True])
def test_records_in_both_formats_say_the_same(classifier: Classifier, some_texts: list[str], tokens: bool) -> None:
    documents = labelled(some_texts, ["film"] * 40)
    written = {}
    for kind in ("jsonl", "csv"):
        out = io.StringIO(newline="")
        assert write_predictions(classifier, documents, out, kind, tokens=tokens) == 40  # type: ignore[arg-type]
        written[kind] = out.getvalue()
    rows = list(csv.DictReader(io.StringIO(written["csv"])))
    records = [json.loads(line) for line in written["jsonl"].splitlines()]
    assert [record["line"] for record in records] == list(range(1, 41))
    assert [record["label"] for record in records] == classifier.predict(some_texts)
    for record, row in zip(records, rows, strict=True):
        assert (str(record["line"]), record["label"]) == (row["line"], row["label"])
        assert record["probabilities"] == {name: float(row[f"probability:{name}"]) for name in classifier.labels}
        assert ("tokens" in record) == ("tokens" in row) == tokens
        if tokens:
            assert record["tokens"] == row["tokens"].split(" ")
            assert record["joined"] == [int(place) for place in row["joined"].split(" ")]


def test_predictions_that_the_user_has_added_to_are_not_replaced(tmp_path: Path) -> None:
    own = {
        "a.csv": "line,label,probability:x,probability:y\n",
        "b.csv": 'line,labels,"probability:a, b",tokens,joined\n',
        "c.jsonl": '{"line": 1, "label": "x", "probabilities": {"x": 1.0}}\n',
        "d.jsonl": '{"line": 1, "labels": [], "probabilities": {}, "tokens": [], "joined": null}\n',
    }
    added = {
        "a.csv": "line,label,probability:x,corrected\n",
        "b.csv": "line,label,corrected,probability:x\n",
        "c.jsonl": '{"line": 1, "label": "x", "probabilities": {"x": 1.0}, "corrected": "y"}\n',
        "d.csv": "line,label,tokens,joined\n",
    }
    for texts, is_own in ((own, True), (added, False)):
        for name, text in texts.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
            with open(tmp_path / name, encoding="utf-8") as file:
                assert is_prediction(file) is is_own, name


def test_a_file_that_is_write_protected_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renaming another file to its name asks for the right to write to the folder alone."""
    path = tmp_path / "a.csv"
    path.write_text("line,label,probability:x\n")
    monkeypatch.setattr("tokensieve.runtime.part.os.access", lambda place, mode: place != path)
    with pytest.raises(ConfigError, match=r"a\.csv is write-protected.*another file"), part_file(path, is_prediction):
        pass
    assert path.read_text() == "line,label,probability:x\n"


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_two_runs_do_not_write_one_file(tmp_path: Path, name: str) -> None:
    """Of documents on standard input, whose runs cannot be resumed: records of both got into the file."""
    pytest.importorskip("fcntl")
    with part_file(tmp_path / name, is_prediction) as out:
        out.write("first\n")
        out.flush()
        with (
            pytest.raises(ConfigError, match=rf"{name}\.part is being written by another run: wait"),
            part_file(tmp_path / name, is_prediction) as second,
        ):
            second.write("second\n")
        out.write("still the first\n")
    opener = gzip.open if name.endswith(".gz") else open
    with opener(tmp_path / name, "rt", encoding="utf-8") as written:
        assert written.read() == "first\nstill the first\n"
    assert [file.name for file in tmp_path.iterdir()] == [name]
