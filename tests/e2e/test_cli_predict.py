"""`tokensieve predict`: every input, every output, order and counts kept."""

import csv
import gzip
import io
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

import tokensieve
from e2e.conftest import LABELS, Cli, labelled_rows, listing, write_rows
from support.folders import change_config

TEXTS = [row["text"] for row in labelled_rows(24)]
PREDICT = ("predict", "--model", "model", "--device", "cpu")


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def expected(texts: list[str]) -> list[str]:
    return tokensieve.load("model", device="cpu").predict(texts)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "jsonl.gz", "tsv.gz", "parquet"])
def test_every_input(cli: Cli, work: Path, kind: str) -> None:
    write_rows(work / f"data.{kind}", labelled_rows(24, text="body"))
    outcome = cli(*PREDICT, "--input", f"data.{kind}", "--text-column", "body")
    found = records(outcome.out)
    assert [record["label"] for record in found] == expected(TEXTS)
    first = 2 if "sv" in kind else 1
    assert [record["line"] for record in found] == list(range(first, first + 24))
    assert all(record["probabilities"].keys() == set(LABELS) for record in found)
    assert all(sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-5) for record in found)
    assert all(max(record["probabilities"], key=record["probabilities"].get) == record["label"] for record in found)


def test_plain_text_is_a_document_a_line(cli: Cli, work: Path) -> None:
    (work / "data.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    assert [record["label"] for record in records(cli(*PREDICT, "--input", "data.txt").out)] == expected(TEXTS)


@pytest.mark.parametrize(("kind", "named"), [("jsonl", False), ("jsonl", True), ("csv", True), ("txt", True)])
def test_standard_input(cli: Cli, work: Path, kind: str, named: bool) -> None:
    if kind == "txt":
        data = "\n".join(TEXTS).encode()
    else:
        data = write_rows(work / f"data.{kind}", labelled_rows(24)).read_bytes()
    flags = ("--input", "-", "--input-format", kind) if named else ()
    outcome = cli(*PREDICT, *flags, stdin=data)
    assert [record["label"] for record in records(outcome.out)] == expected(TEXTS)


@pytest.mark.parametrize("name", ["out.jsonl", "out.ndjson", "out.jsonl.gz", "out.csv", "out.csv.gz"])
@pytest.mark.parametrize("tokens", [False, True])
def test_every_output(cli: Cli, work: Path, name: str, tokens: bool) -> None:
    flags = ("--tokens",) if tokens else ()
    outcome = cli(*PREDICT, "--input", "good.jsonl", "--output", name, "--json", *flags)
    assert outcome.json()["written"] == 24
    assert outcome.err == ""
    text = gzip.decompress(Path(name).read_bytes()).decode() if name.endswith("gz") else Path(name).read_text("utf-8")
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(text))) if "csv" in name else records(text)
    assert [row["label"] for row in rows] == expected(TEXTS)
    assert all(("tokens" in row, "joined" in row) == (tokens, tokens) for row in rows)
    assert not list(work.glob("*.part"))


def test_csv_on_stdout(cli: Cli, work: Path) -> None:
    outcome = cli(*PREDICT, "--input", "good.jsonl", "--output-format", "csv")
    rows = list(csv.reader(io.StringIO(outcome.out)))
    assert rows[0] == ["line", "label", *(f"probability:{label}" for label in LABELS)]
    assert [row[1] for row in rows[1:]] == expected(TEXTS)


def test_surviving_tokens(cli: Cli, work: Path) -> None:
    results = tokensieve.load("model", device="cpu").results(TEXTS, tokens=True)
    found = records(cli(*PREDICT, "--input", "good.jsonl", "--tokens").out)
    assert [tuple(record["tokens"]) for record in found] == [result.tokens for result in results]
    assert [tuple(record["joined"]) for record in found] == [result.joined for result in results]
    assert any(len(record["tokens"]) < len(text.split()) for record, text in zip(found, TEXTS, strict=True))


def test_an_input_larger_than_a_window(cli: Cli, work: Path) -> None:
    rows = [{"text": ("film " * (number % 5 + 1)).strip()} for number in range(2500)]
    write_rows(work / "data.jsonl", rows)
    outcome = cli(*PREDICT, "--input", "data.jsonl", "--output", "out.jsonl", "--json")
    assert outcome.json()["written"] == 2500
    found = records((work / "out.jsonl").read_text())
    assert [record["line"] for record in found] == list(range(1, 2501))
    of_length = expected([row["text"] for row in rows[:5]])
    assert [record["label"] for record in found] == of_length * 500


BAD = [
    '{"text": ""}',
    '{"text": null}',
    '{"text": 7}',
    "{broken",
    '["list"]',
    '{"body": "film"}',
    '{"text": "a\\u0000b"}',
]


def test_bad_rows_skipped_are_reported_with_their_lines(cli: Cli, work: Path) -> None:
    lines = [json.dumps({"text": text}) for text in TEXTS]
    for place, bad in enumerate(BAD):
        lines.insert(3 * place, bad)
    data = "\n".join(lines).encode() + b'\n{"text": "\xff"}\n'
    outcome = cli(*PREDICT, "--on-bad-rows", "skip", "--json", "--output", "out.jsonl", stdin=data)
    counts = outcome.json()
    found = records((work / "out.jsonl").read_text())
    assert len(found) == counts["written"] == counts["rows"]["used"] == 24
    assert counts["rows"]["read"] == 24 + counts["rows"]["rejected"] == 24 + len(BAD) + 1
    assert sum(counts["rows"]["reasons"].values()) == counts["rows"]["rejected"]
    rejected = {example["line"] for example in counts["rows"]["examples"]}
    assert rejected | {record["line"] for record in found} == set(range(1, 33))
    assert [record["label"] for record in found] == expected(TEXTS)
    assert {example["source"] for example in counts["rows"]["examples"]} == {"<stdin>"}


@pytest.mark.parametrize("bad", BAD)
def test_the_first_bad_row_stops_all(cli: Cli, work: Path, bad: str) -> None:
    data = "\n".join([*(json.dumps({"text": text}) for text in TEXTS), bad, bad])
    before = listing(work)
    line = cli(*PREDICT, "--output", "out.jsonl", stdin=data).error()
    assert "<stdin>, line 25" in line
    assert "--on-bad-rows skip" in line
    assert listing(work) == before


def test_counts_for_people(cli: Cli, work: Path) -> None:
    data = "\n".join(json.dumps({"text": "film " * length}) for length in (1, 62, 63, 100)) + '\n{"text": ""}\n'
    outcome = cli(*PREDICT, "--on-bad-rows", "skip", stdin=data)
    assert len(outcome.out.splitlines()) == 4
    assert "5 records read, 4 used, 1 rejected" in outcome.err
    assert "<stdin>, line 5: empty text" in outcome.err
    assert "4 documents classified, 2 truncated; in float32, by batches of at most 4096 tokens" in outcome.err


def test_counts_for_machines_stay_out_of_the_records(cli: Cli, work: Path) -> None:
    outcome = cli(*PREDICT, "--input", "good.jsonl", "--json")
    assert len(records(outcome.out)) == 24
    assert json.loads(outcome.err) == {
        "written": 24,
        "truncated": 0,
        "batch_tokens": 4096,
        "dtype": "float32",
        "rows": {"read": 24, "used": 24, "rejected": 0, "reasons": {}, "examples": []},
    }


@pytest.mark.parametrize(
    "flags", ["--batch-tokens 1", "--batch-tokens 100000", "--batch-tokens auto", "--threads 1", "--max-length 64"]
)
def test_settings_of_the_run_change_no_answer(cli: Cli, work: Path, flags: str) -> None:
    found = records(cli(*PREDICT, "--input", "good.jsonl", *flags.split()).out)
    assert [record["label"] for record in found] == expected(TEXTS)


def test_a_budget_chosen_is_told(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(work / "many.jsonl", [{"text": "film law " * 31}] * 140)
    auto = (*PREDICT, "--input", "many.jsonl", "--output", "out.csv", "--batch-tokens", "auto")
    assert cli(*auto, "--json").json()["batch_tokens"] in (1024, 2048, 4096, 8192)
    monkeypatch.setattr("tokensieve.runtime.engine.fastest_budget", lambda *_: 777)
    assert cli(*auto, "--json").json()["batch_tokens"] == 777
    assert "140 documents classified, 0 truncated; in float32, by batches of at most 777 tokens" in cli(*auto).err


@pytest.mark.parametrize("native", [True, False])
def test_a_type_of_the_processors_choice(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.setattr("tokensieve.runtime.precision.cpu_instructions", lambda: {"amx_bf16"} if native else set())
    outcome = cli(*PREDICT, "--input", "good.jsonl", "--output", "out.csv", "--dtype", "auto", "--json")
    assert outcome.json()["dtype"] == ("bfloat16" if native else "float32")
    assert outcome.err == ""
    outcome = cli(*PREDICT, "--input", "good.jsonl", "--output", "out.csv", "--dtype", "bfloat16", "--json")
    assert outcome.json()["dtype"] == "bfloat16"
    assert [line.partition(":")[0] for line in outcome.err.splitlines()] == ["dtype=bfloat16"] * (not native)
    assert cli("info", "--model", "model", "--length", "9", "--json").json()["auto"]["dtype"] == (
        "bfloat16" if native else "float32"
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_types(cli: Cli, work: Path, dtype: str) -> None:
    found = records(cli(*PREDICT, "--input", "good.jsonl", "--dtype", dtype).out)
    same = sum(record["label"] == label for record, label in zip(found, expected(TEXTS), strict=True))
    assert same >= 20


def test_text_beyond_ascii(cli: Cli, work: Path, save_classifier: Any) -> None:
    """In the label, in the input and in the output: UTF-8 as it is, no escapes."""
    folder = shutil.copytree((work / "model").resolve(), work / "other")
    change_config(folder, id2label={"0": "кино", "1": "法律", "2": 'a,"b" c'})
    for kind in ("jsonl", "csv"):
        cli("predict", "--model", "other", "--output", f"o.{kind}", "--json", stdin='{"text": "Ünï 🎬 film"}').json()
    (found,) = records((work / "o.jsonl").read_text(encoding="utf-8"))
    assert set(found["probabilities"]) == {"кино", "法律", 'a,"b" c'}
    assert "法律" in (work / "o.jsonl").read_text(encoding="utf-8")
    (row,) = csv.DictReader(io.StringIO((work / "o.csv").read_text(encoding="utf-8")))
    assert float(row['probability:a,"b" c']) == found["probabilities"]['a,"b" c']


def test_a_stdout_of_another_encoding(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, or under LC_ALL=C with UTF-8 mode off: no letter of a label may end the run."""
    folder = shutil.copytree((work / "model").resolve(), work / "other")
    change_config(folder, id2label={"0": "кино", "1": "法律", "2": "спорт"})
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", narrow)
    outcome = cli("predict", "--model", "other", stdin='{"text": "film"}')
    assert outcome.code == 0, outcome.err
    narrow.flush()
    (found,) = records(narrow.buffer.getvalue().decode())  # type: ignore[attr-defined]
    assert found["label"] in {"кино", "法律", "спорт"}


def test_an_output_of_an_earlier_run_stays_until_the_end(cli: Cli, work: Path) -> None:
    earlier = '{"line": 1, "label": "film", "probabilities": {"film": 1.0}}\n'
    (work / "out.jsonl").write_text(earlier)
    cli(*PREDICT, "--output", "out.jsonl", stdin='{"text": "film"}\n{"text": ""}').error()
    assert (work / "out.jsonl").read_text() == earlier
    cli(*PREDICT, "--output", "out.jsonl", "--json", stdin='{"text": "film"}').json()
    assert len(records((work / "out.jsonl").read_text())) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_or_device_is_not_replaced_by_a_file(cli: Cli, work: Path) -> None:
    """`--output /dev/null` run by root must not cost the machine its null device."""
    os.mkfifo(work / "pipe.jsonl")
    reader = os.open(work / "pipe.jsonl", os.O_RDONLY | os.O_NONBLOCK)
    cli(*PREDICT, "--output", "pipe.jsonl", stdin='{"text": "film"}')
    os.close(reader)
    assert stat.S_ISFIFO((work / "pipe.jsonl").stat().st_mode)
