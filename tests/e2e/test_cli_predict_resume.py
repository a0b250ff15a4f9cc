"""`tokensieve predict --resume`: killed, ended or failed, and then continued to the very file of one run."""

import csv
import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from e2e.conftest import Cli, Outcome, heed_interrupts, labelled_rows, listing, untouched, write_rows
from support.folders import change_config, read_config
from support.packages import needed
from tokensieve.runtime.engine import Engine

TOKENSIEVE = str(Path(sys.executable).with_name("tokensieve"))
PREDICT = ("predict", "--model", "model", "--device", "cpu", "--input", "data.jsonl")
CutOff = Callable[..., Outcome]


def content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def documents_done(state: Path) -> int:
    try:
        done: int = json.loads(state.read_text())["documents"]
    except FileNotFoundError:
        return 0
    return done


def end(process: subprocess.Popen[str], number: signal.Signals, state: Path, documents: int) -> str:
    """Send the signal once the state counts so many documents; what came out on stderr."""
    deadline = time.monotonic() + 120
    while documents_done(state) < documents:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    return said


@pytest.mark.parametrize(
    ("name", "flags", "ends"),
    [
        ("out.jsonl", (), [(signal.SIGKILL, 1024), (signal.SIGKILL, 3072)]),
        ("out.csv.gz", ("--tokens",), [(signal.SIGKILL, 2048), (signal.SIGTERM, 3072)]),
        ("out.csv", (), [(signal.SIGINT, 1)]),
    ],
)
def test_ended_and_resumed(
    cli: Cli, work: Path, name: str, flags: tuple[str, ...], ends: list[tuple[signal.Signals, int]]
) -> None:
    """A process of its own, ended when its state has come so far, once from outside and once after resuming."""
    write_rows(work / "data.jsonl", labelled_rows(8000))
    whole = cli(*PREDICT, *flags, "--output", f"whole.{name}", "--json").json()
    part, state = work / f"{name}.part", work / f"{name}.part.json"
    for number, documents in ends:
        command = [TOKENSIEVE, *PREDICT, *flags, "--output", name, "--resume"]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
        )
        try:
            said = end(process, number, state, documents)
        finally:
            process.kill()
        assert documents <= documents_done(state) < 8000
        assert not (work / name).exists()
        assert [
            line for line in said.split("\n") if line.endswith("continue with --resume")
        ] or number is signal.SIGKILL
        assert "Traceback" not in said
    with open(part, "ab") as file:
        file.write(b'7001,"a half-writ')
    done = documents_done(state)
    outcome = cli(*PREDICT, *flags, "--output", name, "--resume")
    assert outcome.code == 0, outcome.err
    assert f"resuming after {done} documents" in outcome.err
    assert "8000 documents classified" in outcome.err
    assert whole["written"] == 8000
    assert content(work / name) == content(work / f"whole.{name}")
    assert not part.exists()
    assert not state.exists()


@pytest.fixture
def cut_off(cli: Cli, work: Path, monkeypatch: pytest.MonkeyPatch) -> CutOff:
    """`cut_off("--output", name)` predicts `data.jsonl` (50 rows, 8 a window) until the disk is full, in the fourth."""
    rows = [*labelled_rows(49), {"text": "film " * 100, "label": "film"}]
    rows[5] = {"text": "law " * 100, "label": "law"}
    write_rows(work / "data.jsonl", rows)
    monkeypatch.setattr("tokensieve.runtime.windows._WINDOW_DOCUMENTS", 8)
    classify = Engine._classify

    def run(*args: str, windows: int = 3) -> Outcome:
        calls = 0

        def fail_at_last(*given: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > windows:
                raise OSError(28, "No space left on device")
            return classify(*given, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Engine, "_classify", fail_at_last)
            return cli(*PREDICT, *args)

    return run


def whole(cli: Cli, name: str, *flags: str) -> tuple[bytes, dict[str, Any]]:
    """The file and the counts of a run in one go."""
    counts = cli(*PREDICT, *flags, "--output", f"whole.{name}", "--json").json()
    found = content(Path(f"whole.{name}"))
    Path(f"whole.{name}").unlink()
    return found, counts


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.gz", "out.csv", "out.csv.gz"])
@pytest.mark.parametrize("tokens", [(), ("--tokens",)])
def test_an_error_in_the_middle(cli: Cli, cut_off: CutOff, work: Path, name: str, tokens: tuple[str, ...]) -> None:
    expected, counts = whole(cli, name, *tokens)
    before = listing(work)
    failed = cut_off("--output", name, "--json", *tokens)
    assert "No space left" in failed.error()
    assert [line for line in failed.err.splitlines() if "--resume" in line and "24 documents" in line]
    assert listing(work) - before == {f"{name}.part", f"{name}.part.json"}
    resumed = cli(*PREDICT, "--output", name, "--json", "--resume", *tokens)
    assert resumed.json() == counts
    assert counts["truncated"] == 2
    assert counts["rows"]["read"] == 50
    assert content(work / name) == expected
    assert listing(work) - before == {name}


@pytest.mark.parametrize(
    ("name", "options"), [("data.json", ()), ("lines.json", ()), ("data.csv", ("--delimiter", ";"))]
)
def test_other_inputs_in_the_middle(cli: Cli, cut_off: CutOff, work: Path, name: str, options: tuple[str, ...]) -> None:
    """Places in an array are as fixed as lines, with a record that is left out among them."""
    rows = [{"text": row["text"].replace(";", ","), "label": row["label"]} for row in labelled_rows(50)]
    rows[9] = {"text": " ", "label": "film"}
    if name == "data.json":
        text = json.dumps(rows, indent=1)
    elif name == "lines.json":
        text = "\n\n" + "".join(json.dumps(row) + "\n" for row in rows)
    else:
        text = "text;label\n" + "".join(f"{row['text']};{row['label']}\n" for row in rows)
    (work / name).write_text(text, encoding="utf-8")
    way = ("--input", name, "--on-bad-rows", "skip", *options)
    expected, counts = whole(cli, "out.jsonl", *way)
    assert "24 documents" in cut_off("--output", "out.jsonl", "--json", *way).err
    if options:
        line = cli(*PREDICT, "--output", "out.jsonl", "--resume", *way, "--delimiter", "|").error()
        assert "--delimiter (then ;, now |)" in line
    assert cli(*PREDICT, "--output", "out.jsonl", "--json", "--resume", *way).json() == counts
    assert content(work / "out.jsonl") == expected
    first = {"data.json": 1, "lines.json": 3, "data.csv": 2}[name]
    lines = [json.loads(line)["line"] for line in expected.splitlines()]
    assert lines == [first + n for n in range(50) if n != 9]


def test_an_error_in_the_first_window_leaves_nothing(cut_off: CutOff, work: Path) -> None:
    before = listing(work)
    failed = cut_off("--output", "out.jsonl", windows=0)
    failed.error()
    assert "--resume" not in failed.err
    assert listing(work) == before


def test_a_bad_row_may_be_skipped_on_resuming(cli: Cli, cut_off: CutOff, work: Path) -> None:
    with open(work / "data.jsonl", "a") as file:
        file.write('{"text": ""}\n{"text": "law"}\n')
    failed = cli(*PREDICT, "--output", "out.jsonl")
    assert "line 51" in failed.error()
    assert "48 documents" in failed.err
    resumed = cli(*PREDICT, "--output", "out.jsonl", "--resume", "--on-bad-rows", "skip", "--json").json()
    assert (content(work / "out.jsonl"), resumed) == whole(cli, "out.jsonl", "--on-bad-rows", "skip")
    assert resumed["rows"]["rejected"] == 1


def test_a_part_is_not_thrown_away_unasked(cli: Cli, cut_off: CutOff, work: Path) -> None:
    expected, _ = whole(cli, "out.csv")
    cut_off("--output", "out.csv").error()
    before = untouched(work)
    for source in (("--input", "data.jsonl"), ("--input", "-"), ("--on-bad-rows", "skip")):
        line = cli(*PREDICT, "--output", "out.csv", *source, stdin='{"text": "film"}').error()
        assert all(hint in line for hint in ("out.csv.part", "24 documents", "--resume", "--restart"))
        assert untouched(work) == before
    cli(*PREDICT, "--output", "out.csv", "--restart", "--json").json()
    assert content(work / "out.csv") == expected
    assert not list(work.glob("*.part*"))


def test_a_restart_from_a_stream(cli: Cli, cut_off: CutOff, work: Path) -> None:
    """What it writes cannot be resumed, nor be taken for what was thrown away."""
    cut_off("--output", "out.jsonl").error()
    outcome = cli(*PREDICT, "--output", "out.jsonl", "--restart", "--input", "-", stdin='{"text": "film"}\n{"text": 1}')
    assert "line 2" in outcome.error()
    assert not list(work.glob("*.part*"))


@pytest.mark.parametrize("way", ["", "--resume", "--restart"])
@pytest.mark.parametrize("name", ["out.csv.part", "out.csv.part.json"])
@pytest.mark.parametrize("source", ["data.jsonl", "-"])
def test_a_part_of_the_users_is_refused(
    cli: Cli, cut_off: CutOff, work: Path, way: str, name: str, source: str
) -> None:
    (work / name).write_text("a file of the user's\n")
    before = untouched(work)
    flags = [way] if way and not (way == "--resume" and source == "-") else []
    line = cli(*PREDICT, "--input", source, "--output", "out.csv", *flags, stdin='{"text": "film"}').error()
    assert f"{name} is in the way" in line and "move it" in line
    assert untouched(work) == before


def test_nothing_to_resume(cli: Cli, cut_off: CutOff, work: Path) -> None:
    expected, counts = whole(cli, "out.csv")
    for _ in range(2):  # the second time the output of the first is there
        outcome = cli(*PREDICT, "--output", "out.csv", "--resume", "--json")
        assert outcome.json() == counts
        assert outcome.err.splitlines() == ["nothing to resume for out.csv: starting from the beginning"]
        assert content(work / "out.csv") == expected


@pytest.mark.parametrize(
    "flags",
    [
        "--offload-embeddings",
        "--batch-tokens 20",
        "--threads 1",
        "--on-bad-rows skip",
        "--input ./data.jsonl",
        "--max-length 64",
    ],
)
def test_what_may_differ(cli: Cli, cut_off: CutOff, work: Path, flags: str) -> None:
    cut_off("--output", "out.jsonl").error()
    expected, _ = whole(cli, "out.jsonl")
    cli(*PREDICT, "--output", "out.jsonl", "--resume", "--json", *flags.split()).json()
    for found, one in zip(content(work / "out.jsonl").splitlines(), expected.splitlines(), strict=True):
        assert json.loads(found)["line"] == json.loads(one)["line"]
        assert json.loads(found)["probabilities"] == pytest.approx(json.loads(one)["probabilities"], abs=1e-5)


@pytest.mark.parametrize("flag", ["auto", "20"])
def test_a_budget_chosen_is_kept(
    cli: Cli, cut_off: CutOff, work: Path, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    """On another day another one would be the fastest, and the last digits would be others: MKL's, not oneDNN's."""
    monkeypatch.setattr("tokensieve.kernels.linear.onednn_pays", lambda: False)
    expected, counts = whole(cli, "out.jsonl", "--batch-tokens", "20")
    other, _ = whole(cli, "out.jsonl", "--batch-tokens", "60")
    assert other != expected, "digits that are the same for any budget would prove nothing here"
    choices = iter([None, 20, 60, 60])
    monkeypatch.setattr("tokensieve.runtime.engine.fastest_budget", lambda *_: next(choices))
    monkeypatch.setattr("tokensieve.runtime.engine.BATCH_TOKENS", 20)  # until it is chosen
    cut_off("--output", "out.jsonl", "--batch-tokens", flag, windows=1).error()
    state = json.loads((work / "out.jsonl.part.json").read_text())
    assert (state["documents"], state["batch_tokens"]) == (8, None if flag == "auto" else 20)
    if flag == "auto":
        cut_off("--output", "out.jsonl", "--batch-tokens", flag, "--resume", windows=2).error()
        state = json.loads((work / "out.jsonl.part.json").read_text())
        assert (state["documents"], state["batch_tokens"]) == (24, 20)
    resumed = cli(*PREDICT, "--output", "out.jsonl", "--resume", "--json", "--batch-tokens", "auto").json()
    assert (content(work / "out.jsonl"), resumed) == (expected, counts)
    assert resumed["batch_tokens"] == 20


def test_a_type_that_the_processor_chose_is_kept(
    cli: Cli, cut_off: CutOff, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a processor that would choose another one, no second half in another precision is added."""
    monkeypatch.setattr("tokensieve.runtime.precision.cpu_instructions", lambda: {"avx512_bf16"})
    cut_off("--output", "out.jsonl", "--dtype", "auto").error()
    monkeypatch.setattr("tokensieve.runtime.precision.cpu_instructions", lambda: set())
    line = cli(*PREDICT, "--output", "out.jsonl", "--dtype", "auto", "--resume").error()
    assert "--dtype (then bfloat16, now float32)" in line
    cli(*PREDICT, "--output", "out.jsonl", "--dtype", "bfloat16", "--resume", "--json").json()


def one_more_row(work: Path) -> None:
    with open(work / "data.jsonl", "a") as file:
        file.write('{"text": "film"}\n')


def one_other_row(work: Path) -> None:
    data = (work / "data.jsonl").read_text()
    (work / "data.jsonl").write_text(data.replace("goal", "good", 1))


def other_model(work: Path, min_length: int = 3, **changes: Any) -> None:
    folder = shutil.copytree((work / "model").resolve(), work / "changed")
    reduction = read_config(folder)["reduction"] | {"min_length": min_length}
    change_config(folder, reduction=reduction, **changes)
    (work / "model").unlink()
    folder.rename(work / "model")


@pytest.mark.parametrize(
    ("change", "flags", "told"),
    [
        (one_more_row, "", ["the input"]),
        (one_other_row, "", ["the input"]),
        (other_model, "", ["the model"]),
        (partial(other_model, min_length=0, calibration_temperature=2.0), "", ["the model"]),
        (None, "--tokens", ["--tokens", "False", "True"]),
        (None, "--output-format csv", ["--output-format", "jsonl", "csv"]),
        (None, "--input-format txt", ["--input-format", "jsonl", "txt"]),
        (None, "--text-column label", ["--text-column", "text", "label"]),
        (None, "--max-length 32", ["--max-length", "64", "32"]),
        (None, "--dtype bfloat16", ["--dtype", "float32", "bfloat16"]),
        (one_other_row, "--max-length 32", ["the input", "--max-length"]),
    ],
)
def test_what_must_not_differ(cli: Cli, cut_off: CutOff, work: Path, change: Any, flags: str, told: list[str]) -> None:
    cut_off("--output", "out.jsonl").error()
    if change is not None:
        change(work)
    before = untouched(work)
    line = cli(*PREDICT, "--output", "out.jsonl", "--resume", *flags.split()).error()
    assert [hint for hint in [*told, "out.jsonl.part", "--restart"] if hint not in line] == [], line
    assert untouched(work) == before


def test_a_data_set(cli: Cli, cut_off: CutOff, work: Path) -> None:
    """A folder that `datasets` wrote: its files are what is compared."""
    datasets = needed("datasets")
    rows = [json.loads(line) for line in (work / "data.jsonl").read_text().splitlines()]
    datasets.Dataset.from_list(rows).save_to_disk(str(work / "set"))
    expected, counts = whole(cli, "out.csv", "--input", "set")
    cut_off("--output", "out.csv", "--input", "set").error()
    shutil.move(work / "set", work / "aside")
    datasets.Dataset.from_list(rows[::-1]).save_to_disk(str(work / "set"))
    assert "the input" in cli(*PREDICT, "--output", "out.csv", "--input", "set", "--resume").error()
    resumed = cli(*PREDICT, "--output", "out.csv", "--input", "aside", "--resume", "--json").json()
    assert (content(work / "out.csv"), resumed) == (expected, counts)


def test_labels_and_pairs(cli: Cli, cut_off: CutOff, work: Path) -> None:
    """Of a multi-label model and text pairs: the second text counts, in the records and in the fingerprint."""
    with open(work / "data.jsonl", "w") as file:
        file.writelines(json.dumps(row | {"other": row["text"][::-1]}) + "\n" for row in labelled_rows(50))
    other_model(work, problem_type="multi_label_classification", thresholds=[0.3, 0.34, 0.5])
    pairs = ("--pair-column", "other")
    expected, counts = whole(cli, "out.csv", *pairs)
    cut_off("--output", "out.csv", *pairs).error()
    line = cli(*PREDICT, "--output", "out.csv", "--resume").error()
    assert "--pair-column (then other, now None)" in line
    resumed = cli(*PREDICT, "--output", "out.csv", "--resume", "--json", *pairs).json()
    assert (content(work / "out.csv"), resumed) == (expected, counts)
    found = list(csv.DictReader(io.StringIO(expected.decode())))
    assert {"", "law|sport"} <= {row["labels"] for row in found}, "none and several"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        ("--input - --output out.csv", "input that is a stream"),
        ("--input pipe.jsonl --output out.csv", "input that is a stream"),
        ("--output -", "output -"),
        ("--output pipe.jsonl", "output pipe.jsonl"),
        (f"--output {os.devnull} --output-format csv", f"output {os.devnull}"),
    ],
)
def test_a_stream_is_not_resumed(cli: Cli, cut_off: CutOff, work: Path, flags: str, hint: str) -> None:
    os.mkfifo(work / "pipe.jsonl")
    before = listing(work)
    line = cli(*PREDICT, "--resume", *flags.split()).error()
    assert "--resume" in line
    assert hint in line
    assert "give a file" in line
    assert listing(work) == before


def test_both_at_once(cli: Cli, cut_off: CutOff, work: Path) -> None:
    cut_off("--output", "out.csv").error()
    before = untouched(work)
    line = cli(*PREDICT, "--output", "out.csv", "--resume", "--restart").error()
    assert "--resume and --restart" in line
    assert untouched(work) == before


def test_a_restart_that_cannot_begin_throws_nothing_away(cli: Cli, cut_off: CutOff, work: Path) -> None:
    cut_off("--output", "out.csv").error()
    before = untouched(work)
    cli(*PREDICT, "--output", "out.csv", "--restart", "--model", "absent").error()
    assert untouched(work) == before
