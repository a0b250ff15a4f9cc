"""`tokensieve predict --shard` and `tokensieve merge`: shards in any order, joined, are the bytes of one process."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from e2e.conftest import Cli, heed_interrupts, labelled_rows, listing, untouched, write_rows
from support.folders import change_config

PREDICT = ("predict", "--model", "model", "--device", "cpu", "--threads", "1")
ROWS = labelled_rows(10_000)  # three parts


@pytest.fixture
def data(work: Path) -> Path:
    write_rows(work / "data.jsonl", ROWS)
    return work


@pytest.mark.parametrize(("kind", "flags"), [("jsonl", ()), ("csv", ("--tokens", "--output-format", "csv"))])
def test_shards_joined_are_one_process(cli: Cli, data: Path, kind: str, flags: tuple[str, ...]) -> None:
    asked = (*PREDICT, "--input", "data.jsonl", *flags)
    cli(*asked, "--output", f"whole.{kind}")
    for shard in ("3/3", "1/3"):
        assert cli(*asked, "--output", "out", "--shard", shard).code == 0
    lacking = cli("merge", "--input", "out", "--output", f"joined.{kind}").error()
    assert f"1 of 3 parts are missing, the first is part-000001.{kind}" in lacking
    outcome = cli(*asked, "--output", "out", "--shard", "2/3")
    assert "all 3 parts are complete" in outcome.err
    assert cli("merge", "--input", "out", "--output", f"joined.{kind}").code == 0
    assert (data / f"joined.{kind}").read_bytes() == (data / f"whole.{kind}").read_bytes()
    assert cli("merge", "--input", "out").out.encode() == (data / f"whole.{kind}").read_bytes()
    assert listing(data / "out") == {"manifest.json", *(f"part-00000{number}.{kind}" for number in range(3))}


def test_a_second_start_does_nothing(cli: Cli, data: Path) -> None:
    asked = (*PREDICT, "--input", "data.jsonl", "--output", "out", "--json")
    first = cli(*asked, "--shard", "1/1").json()
    assert first["written"] == 10_000
    assert first["parts"] == {"made": 3, "complete": 3, "all": 3}
    before = {name: (data / "out" / name).stat().st_mtime_ns for name in listing(data / "out")}
    second = cli(*asked, "--shard", "1/2").json()
    assert second["written"] == 0
    assert second["parts"] == {"made": 0, "complete": 3, "all": 3}
    assert second["rows"] == first["rows"]
    assert {name: (data / "out" / name).stat().st_mtime_ns for name in listing(data / "out")} == before


def test_another_run_is_refused(cli: Cli, data: Path) -> None:
    asked = (*PREDICT, "--input", "data.jsonl", "--output", "out", "--shard", "1/3")
    cli(*asked)
    before = untouched(data / "out")
    assert "--tokens (then False, now True)" in cli(*asked, "--tokens").error()
    with open(data / "data.jsonl", "a") as file:
        file.write('{"text": "one more"}\n')
    assert "changed since it was begun: the input. Go on as it was begun" in cli(*asked).error()
    write_rows(data / "data.jsonl", ROWS)
    real = (data / "model").resolve()
    (data / "model").unlink()
    shutil.copytree(real, data / "model")
    change_config(data / "model", calibration_temperature=2.0)
    assert "changed since it was begun: the model. Go on as it was begun" in cli(*asked).error()
    assert untouched(data / "out") == before


def test_a_killed_shard_goes_on(cli: Cli, data: Path) -> None:
    """SIGKILL while the second part is made: the first stays as it is, and the second is begun again."""
    asked = [*PREDICT, "--input", "data.jsonl", "--output", "out", "--shard", "1/1"]
    process = subprocess.Popen([sys.executable, "-m", "tokensieve", *asked], stderr=subprocess.DEVNULL)
    try:
        half_made = data / "out" / "part-000001.jsonl.part"
        deadline = time.monotonic() + 120
        while not half_made.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
    finally:
        process.kill()
        process.wait()
    first = (data / "out" / "part-000000.jsonl").stat().st_mtime_ns
    assert not (data / "out" / "part-000001.jsonl").exists()
    cli(*asked)
    assert (data / "out" / "part-000000.jsonl").stat().st_mtime_ns == first
    cli(*PREDICT, "--input", "data.jsonl", "--output", "whole.jsonl")
    assert cli("merge", "--input", "out").out.encode() == (data / "whole.jsonl").read_bytes()
    assert listing(data / "out") == {"manifest.json", *(f"part-00000{number}.jsonl" for number in range(3))}


def test_an_interrupted_shard_says_what_it_keeps(data: Path) -> None:
    asked = [*PREDICT, "--input", "data.jsonl", "--output", "out", "--shard", "1/1"]
    command = [sys.executable, "-m", "tokensieve", *asked]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
    try:
        deadline = time.monotonic() + 120
        while not (data / "out" / "part-000000.jsonl").exists():
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 143
    assert "Traceback" not in said
    assert (
        "new parts: the same command goes on with the others" in said
        or not (data / "out" / "part-000001.jsonl").exists()
    )


def test_a_folder_of_files_is_one_input(cli: Cli, work: Path) -> None:
    (work / "mails" / "old").mkdir(parents=True)
    (work / "mails" / "_SUCCESS").touch()
    names = {"old/a.parquet": 3000, "old/b.csv": 2000, "z.jsonl": 500}
    for seed, (name, count) in enumerate(names.items()):
        write_rows(work / "mails" / name, labelled_rows(count, seed=seed))
    asked = (*PREDICT, "--input", "mails", "--output-format", "csv")
    cli(*asked, "--output", "whole.csv")
    with open(work / "whole.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [
        (name, line + (2 if name.endswith("csv") else 1)) for name, count in names.items() for line in range(count)
    ]
    assert [(row["source"], int(row["line"])) for row in rows] == expected
    for shard in ("1/2", "2/2"):
        cli(*asked, "--output", "out", "--shard", shard)
    assert cli("merge", "--input", "out", "--output", "joined.csv").code == 0
    assert (work / "joined.csv").read_bytes() == (work / "whole.csv").read_bytes()
    assert cli(*asked, "--output", "whole.csv").code == 0, "a file with a column for the source is ours, too"
    os.rename(work / "mails" / "z.jsonl", work / "mails" / "y.jsonl")
    assert "the input" in cli(*asked, "--output", "out", "--shard", "1/2").error()


def test_bad_rows_are_counted_once_by_each_shard(cli: Cli, work: Path) -> None:
    rows = [json.dumps({"text": "" if number % 1000 == 7 else "a good film"}) for number in range(9000)]
    (work / "data.jsonl").write_text("\n".join(rows))
    asked = (*PREDICT, "--input", "data.jsonl", "--output", "out")
    assert "empty text" in cli(*asked, "--shard", "1/2").error()
    skipping = [cli(*asked, "--on-bad-rows", "skip", "--json", "--shard", shard).json() for shard in ("1/2", "2/2")]
    assert [found["rows"]["rejected"] for found in skipping] == [9, 9]
    assert sum(found["written"] for found in skipping) == 8991
    lines = [json.loads(line)["line"] for line in cli("merge", "--input", "out").out.splitlines()]
    assert lines == [number for number in range(1, 9001) if (number - 1) % 1000 != 7]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--shard", "0/2"), "give I/N with I from 1 to N"),
        (("--shard", "1/2", "--input", "-"), "give a file or a folder"),
        (("--shard", "1/2", "--output", "-"), "name it with --output"),
        (("--shard", "1/2", "--restart"), "parts are never thrown away"),
        (("--shard", "1/2", "--batch-tokens", "auto"), "give a number"),
        (("--shard", "1/2", "--output", "good.jsonl"), "give a folder, existing or not"),
        (("--workers", "2"), "give --ray ADDRESS"),
        (("--workers", "2:0.5"), "give --ray ADDRESS"),
    ],
)
def test_what_cannot_be_sharded(cli: Cli, work: Path, flags: tuple[str, ...], message: str) -> None:
    assert message in cli(*PREDICT, "--input", "good.jsonl", "--output", "out", *flags).error()
    assert not (work / "out").exists()


def test_merging_to_another_format(cli: Cli, work: Path) -> None:
    cli(*PREDICT, "--input", "good.jsonl", "--output", "out", "--shard", "1/1")
    assert "the parts are jsonl" in cli("merge", "--input", "out", "--output", "joined.csv").error()
    (work / "mine.jsonl").write_text('{"text": "mine"}\n')
    assert "is no output of tokensieve" in cli("merge", "--input", "out", "--output", "mine.jsonl").error()
    assert "no manifest.json" in cli("merge", "--input", ".", "--output", "joined.jsonl").error()
