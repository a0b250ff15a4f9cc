"""The command line in this process, and a folder of models and data files to use it on."""

import io
import json
import logging
import random
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.utils import logging as transformers_logging

from support.data_files import write_rows as write_rows
from tokensieve import ReductionConfig, TokensieveError
from tokensieve.cli import main
from tokensieve.training.recipe import Recipe

LABELS = ("film", "law", "sport")


def heed_interrupts() -> None:
    """For a process that Ctrl-C is to end: a shell starts background jobs, and so CI's, with the signal ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, stdout and stderr."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The one object on stdout, in strict JSON."""
        assert self.code == 0, self.err
        found: dict[str, Any] = json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        return found

    def error(self) -> str:
        """The one line of the error; nothing came out on stdout."""
        assert self.code == 1, self.err
        assert self.out == ""
        assert "Traceback" not in self.err
        (line,) = [line for line in self.err.split("\n") if "error:" in line]
        assert line.startswith("tokensieve: error: "), "it has a line of its own"
        assert self.err.endswith(line + "\n"), "it comes last"
        assert "unexpected" not in line
        return line


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """`cli("predict", "--model", folder, stdin=...)`: the command in this process, where imports are paid for once."""
    logger, threads = logging.getLogger("tokensieve"), torch.get_num_threads()
    before = logger.handlers, logger.level, logger.propagate

    def run(*args: object, stdin: str | bytes = b"") -> Outcome:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "argv", ["tokensieve", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        capsys.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        return Outcome(code, *capsys.readouterr())

    yield run
    logger.handlers, logger.level, logger.propagate = before
    torch.set_num_threads(threads)
    transformers_logging.enable_progress_bar()


def labelled_rows(count: int, seed: int = 0, text: str = "text", label: str = "label") -> list[dict[str, Any]]:
    """Rows whose label is told by one word of the text; texts have up to 16 words, some of them with commas."""
    generator = random.Random(seed)
    rows = []
    for number in range(count):
        words = generator.choices(["the", "a", "of", "good", "bad", "not", ",", "."], k=generator.randint(0, 15))
        words.insert(generator.randint(0, len(words)), ("film", "court", "goal")[number % 3])
        rows.append({text: " ".join(words), label: LABELS[number % 3]})
    return rows


def untouched(folder: Path) -> dict[str, bytes]:
    """The files of a folder with their contents, to be compared with those before."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def listing(folder: Path) -> set[str]:
    """Everything below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.fixture(scope="session")
def classifier(save_classifier: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random classifier of three labels that prunes and combines."""
    return save_classifier(tmp_path_factory.mktemp("classifier") / "model", combine_layer=3)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classifier: Path, tiny_bert_dir: Path) -> Path:
    """The current folder: `model` (a classifier), `base` (a checkpoint) and `good.jsonl` (24 labelled rows)."""
    (tmp_path / "model").symlink_to(classifier)
    (tmp_path / "base").symlink_to(tiny_bert_dir)
    write_rows(tmp_path / "good.jsonl", labelled_rows(24))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command hands to the library, which trains nothing."""
    seen: dict[str, Any] = {}

    def note(base: Any, settings: ReductionConfig, splits: Any, output: Path, recipe: Recipe, **options: Any) -> None:
        seen.update(settings=settings, recipe=recipe, splits=splits, base=base, **options)
        raise TokensieveError("seen enough")

    monkeypatch.setattr("tokensieve.training.dense_first.train_dense_first", note)
    return seen
