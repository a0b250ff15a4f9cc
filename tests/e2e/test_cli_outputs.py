"""What the user has is never overwritten: not the input by its own predictions, nor any file that is not ours."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.conftest import Cli, labelled_rows, untouched, write_rows

PREDICT = ("predict", "--model", "model", "--device", "cpu")
TOKENSIEVE = str(Path(sys.executable).with_name("tokensieve"))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.jsonl.gz", "a.csv.gz"])
@pytest.mark.parametrize("way", ["itself", "dotted", "absolute", "symlink", "hard link", "link to the input"])
@pytest.mark.parametrize("flag", ["", "--resume", "--restart"])
def test_the_output_is_not_the_input(cli: Cli, work: Path, name: str, way: str, flag: str) -> None:
    source = write_rows(work / name, labelled_rows(6))
    given, target = name, name
    if way == "dotted":
        target = f"./{name}"
    elif way == "absolute":
        target = str(source)
    elif way == "symlink":
        (work / f"link-{name}").symlink_to(name)
        target = f"link-{name}"
    elif way == "hard link":
        os.link(source, work / f"hard-{name}")
        target = f"hard-{name}"
    elif way == "link to the input":
        (work / f"link-{name}").symlink_to(name)
        given = f"link-{name}"
    before = untouched(work)
    line = cli(*PREDICT, "--input", given, "--output", target, *[flag] if flag else []).error()
    assert f"output {target} is the input" in line and "name another file" in line
    assert untouched(work) == before


@pytest.mark.parametrize(
    "name",
    [
        "good.jsonl",
        "notes.csv",
        "notes.csv.gz",
        "table.jsonl",
        "model/config.json",
        "model/training.jsonl",
        "half.jsonl.gz",
    ],
)
def test_a_file_of_the_users_is_not_overwritten(cli: Cli, work: Path, name: str) -> None:
    write_rows(work / "data.jsonl", labelled_rows(6))
    (work / "notes.csv").write_text("line,label\n1,mine\n")
    (work / "notes.csv.gz").write_bytes(gzip.compress(b"text,label\n"))
    (work / "half.jsonl.gz").write_bytes(gzip.compress(b"something" * 100)[:20])
    (work / "table.jsonl").write_text('{"line": 1, "text": "mine"}\n')
    (work / "model" / "training.jsonl").write_bytes(b"\xff\xfe\x00")
    before = untouched(work) | untouched(work / "model")
    kind = ("--output-format", "jsonl") if name.endswith(".json") else ()
    for source in ("data.jsonl", "-"):
        line = cli(*PREDICT, "--input", source, "--output", name, *kind, stdin='{"text": "film"}').error()
        assert f"output {name} exists and is no output of tokensieve" in line
    assert untouched(work) | untouched(work / "model") == before
    (work / "model" / "training.jsonl").unlink()


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.csv.gz", "out.jsonl.gz"])
def test_predictions_of_before_are_replaced(cli: Cli, work: Path, name: str) -> None:
    write_rows(work / "data.jsonl", labelled_rows(6))
    for source in ("good.jsonl", "data.jsonl"):
        assert cli(*PREDICT, "--input", source, "--output", name, "--json").json()["written"] in (24, 6)
    (work / "empty.csv").touch()
    assert cli(*PREDICT, "--input", "data.jsonl", "--output", "empty.csv").code == 0


@pytest.mark.parametrize("redirect", ["<a.jsonl --output a.jsonl", "--input a.jsonl >>a.jsonl", "<a.jsonl 1<>a.jsonl"])
def test_what_the_shell_connects_is_looked_at(work: Path, redirect: str) -> None:
    """Appended to the file that it reads, a run would never end."""
    write_rows(work / "a.jsonl", labelled_rows(6))
    before = untouched(work)
    command = f"{TOKENSIEVE} {' '.join(PREDICT)} {redirect}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "is the input, which would be overwritten" in done.stderr
    assert untouched(work) == before


def test_training_next_to_folders_of_the_users(cli: Cli, work: Path) -> None:
    """OUTPUT.old was deleted without a word."""
    for name in ("clf.old", "clf.tmp", "clf.dense"):
        (work / name).mkdir()
        (work / name / "notes.txt").write_text("n")
    train = ("train", "--model", "base", "--data", "good.jsonl", "--epochs", "1", "--max-length", "32", "--json")
    assert cli(*train, "--output", "clf").code == 0
    assert cli(*train, "--output", "clf", "--overwrite").code == 0
    assert all((work / name / "notes.txt").read_text() == "n" for name in ("clf.old", "clf.tmp", "clf.dense"))
    (work / "clf" / "notes.txt").write_text("n")
    line = cli(*train, "--output", "clf", "--overwrite").error()
    assert "clf holds notes.txt, which tokensieve did not write" in line
    assert (work / "clf" / "model.safetensors").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of the system")
def test_a_disk_that_is_full(work: Path) -> None:
    """A limit on the size of files stands in for it: weights, of all files, do not fit."""
    command = (
        f"trap '' XFSZ; ulimit -f 20; {TOKENSIEVE} train --model base --data good.jsonl --epochs 1 --max-length 32 "
        "--output clf"
    )
    before = {path.name for path in work.iterdir()}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.split("\n") if "error:" in line]
    assert "clf.part" in line and "raise the limit" in line and "unexpected" not in line
    assert {path.name for path in work.iterdir()} == before
