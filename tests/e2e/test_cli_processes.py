"""What only a process of its own can show: pipes, signals, and what reaches the two streams."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.conftest import heed_interrupts, labelled_rows, write_rows

TOKENSIEVE = str(Path(sys.executable).with_name("tokensieve"))
Run = Callable[..., subprocess.CompletedProcess[str]]


def start(*args: str, **options: int) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [TOKENSIEVE, *args], text=True, preexec_fn=heed_interrupts, **pipes
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_both_streams_of_an_evaluation(run_cli: Run, work: Path) -> None:
    result = run_cli("evaluate", "--model", "model", "--data", "good.jsonl", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["documents"] == 24
    assert result.stderr == ""


def test_a_stream_flows_before_it_ends(work: Path) -> None:
    """The first window's records are out while the writer goes on; a reader that has seen enough is no error."""
    process = start("predict", "--model", "model", "--device", "cpu")
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    lines = "".join(json.dumps({"text": row["text"]}) + "\n" for row in labelled_rows(1200))
    process.stdin.write(lines)
    process.stdin.flush()
    first = json.loads(process.stdout.readline())
    assert first["line"] == 1
    process.stdout.close()
    try:
        process.stdin.write(lines)
        process.stdin.close()
    except BrokenPipeError:
        pass
    assert process.wait(60) != 0
    assert "Traceback" not in (said := process.stderr.read())
    assert "Exception ignored" not in said
    process.stderr.close()


@pytest.mark.parametrize(
    ("number", "leaves"),
    [(signal.SIGINT, set()), (signal.SIGTERM, set()), (signal.SIGKILL, {"out.jsonl.part", "out.jsonl.part.json"})],
)
def test_cut_off_in_the_middle(work: Path, number: signal.Signals, leaves: set[str]) -> None:
    """Whatever happens, the name of the output is that of a whole file; Ctrl-C leaves not even the part.

    Standard input stays open: the thread that waits for it neither holds up the end nor makes Python abort.
    """
    before = {path.name for path in work.iterdir()}
    process = start("predict", "--model", "model", "--device", "cpu", "--output", "out.jsonl")
    assert process.stdin is not None and process.stderr is not None and process.stdout is not None
    process.stdin.write('{"text": "film"}\n')
    process.stdin.flush()
    wait_for(work / "out.jsonl.part", process)
    process.send_signal(number)
    code, said = process.wait(60), process.stderr.read()
    assert code in (-number, 128 + number), said
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    assert "Traceback" not in said
    assert "unexpected" not in said
    new = {path.name for path in work.iterdir()} - before
    assert new <= leaves


def test_training_interrupted(work: Path) -> None:
    write_rows(work / "data.jsonl", labelled_rows(60))
    before = {path.name for path in work.iterdir()}
    process = start("train", "--model", "base", "--data", "data.jsonl", "--output", "out", "--max-length", "32",
                    "--epochs", "1000", stdin=subprocess.DEVNULL)  # fmt: skip
    assert process.stderr is not None and process.stdout is not None
    try:
        wait_for(work / "out.part" / "checkpoints", process)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    assert "Traceback" not in said
    assert out == ""
    left = {path.name for path in work.iterdir()} - before
    assert left <= {"out.part"}
    assert ("--resume" in said) == bool(left), "what is left is there to be resumed, and that is said"
