"""`tokensieve export`: a folder that transformers reads without tokensieve, or one line that says why not."""

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.conftest import Cli, listing

READ_WITHOUT_US = """
import sys
sys.modules["tokensieve"] = None  # an import of it fails
from transformers import pipeline
print(*[found["label"] for found in pipeline("text-classification", "out")(["the good film", "a law of the court"])])
"""


@pytest.fixture
def dense(save_classifier: Callable[..., Path], work: Path) -> Path:
    """A dense classifier with its family's own head, beside those of `work`."""
    return save_classifier(work / "dense", pruning="none", pooling="host")


def test_transformers_reads_it_without_tokensieve(cli: Cli, work: Path, dense: Path) -> None:
    record = cli("export", "--model", "dense", "--output", "out", "--format", "transformers", "--json").json()
    assert record.pop("largest_difference") < 1e-5
    assert record == {"output": "out", "format": "transformers", "not_exported": {}}
    command = [sys.executable, "-c", READ_WITHOUT_US]
    found = subprocess.run(command, capture_output=True, text=True, cwd=work, timeout=240)
    assert found.returncode == 0, found.stderr
    (work / "texts.csv").write_text("text\nthe good film\na law of the court\n")
    ours = cli("predict", "--model", "dense", "--input", "texts.csv", "--output", "labels.csv")
    assert ours.code == 0, ours.err
    lines = (work / "labels.csv").read_text().splitlines()
    place = lines[0].split(",").index("label")
    assert found.stdout.split() == [line.split(",")[place] for line in lines[1:]]


def test_people_are_told_what_was_written(cli: Cli, dense: Path) -> None:
    outcome = cli("export", "--model", "dense", "--output", "out", "--format", "transformers")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("out: transformers; its logits differ from the model's by ")


@pytest.mark.parametrize(
    ("args", "hints"),
    [
        ("--model model --output out --format transformers", ("model", "combine=combining-module", "onnx")),
        ("--model dense --output out --format gguf", ("'gguf'", "'transformers', 'onnx'")),
        ("--model dense --output model --format transformers", ("model", "not empty", "overwrites nothing")),
        ("--model dense --output out --format transformers --stage 2", ("dense", "stage=2", "no cascade")),
        ("--model base --output out --format transformers", ("base", "'bert'", "tokensieve")),
        ("--model absent --output out --format onnx", ("absent",)),
    ],
)
@pytest.mark.usefixtures("dense")
def test_errors(cli: Cli, work: Path, args: str, hints: tuple[str, ...]) -> None:
    before = listing(work)
    line = cli("export", *shlex.split(args)).error()
    assert [hint for hint in hints if hint not in line] == [], line
    assert len(line) < 600
    assert listing(work) == before


def test_usage(cli: Cli, work: Path) -> None:
    outcome = cli("export", "--model", "model", "--output", "out")
    assert outcome.code == 2
    assert "--format" in outcome.err
