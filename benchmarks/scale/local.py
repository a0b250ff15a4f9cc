"""Parts that the scripts of this folder share: many short rows, and a command whose memory is watched."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tokensieve.data import load_splits

_WORKER = re.compile(r"worker \d+: process (\d+) on ")
_BETWEEN = 0.5  # seconds between two looks at the memory


def write_rows(folder: Path, data: Path, rows: int) -> Path:
    """The training documents of a set over and over, each with a number of its own behind it."""
    texts = [document.text for document in load_splits(data).train]
    place = folder / f"rows-{rows}.jsonl"
    with open(place, "w", encoding="utf-8") as file:
        for number in range(rows):
            file.write(json.dumps({"id": number, "text": f"{texts[number % len(texts)]} {number}"}) + "\n")
    return place


def train_words(folder: Path, data: Path, documents: int | None = None) -> Path:
    """A bag of words by `tokensieve train`, of a set or of its first documents."""
    most = [] if documents is None else ["--max-documents", documents]
    options = ["--data", data, "--preset", "words", *most, "--output", folder]
    subprocess.run(command("train", *options), check=True, capture_output=True, env=environment(1))
    return folder


def command(*arguments: object) -> list[str]:
    """The command line of this checkout."""
    return [sys.executable, "-m", "tokensieve", *map(str, arguments)]


def environment(threads: int) -> dict[str, str]:
    """So many threads in every process."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}


class Run:
    """A command with its children, watched until it ends.

    Attributes:
        said: lines of its stderr.
        workers: processes that told of themselves, in this order.
        peaks: most bytes of the command's own process, of any one worker, and of all processes together.
        code: exit status.
    """

    def __init__(self, arguments: list[str], threads: int) -> None:
        self.said: list[str] = []
        self.workers: list[int] = []
        self.peaks = {"driver": 0, "worker": 0, "together": 0}
        self.process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment(threads))
        self.code: int | None = None

    def finish(self, on_worker: Callable[[int], None] = lambda _: None) -> Run:
        """Read what it says until it ends; `on_worker` is called with each worker's process."""
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        assert self.process.stderr is not None
        try:
            for line in self.process.stderr:
                self.said.append(line)
                if found := _WORKER.search(line):
                    self.workers.append(int(found[1]))
                    on_worker(self.workers[-1])
        finally:
            self.code = self.process.wait()
            watcher.join()
        if self.code:
            raise SystemExit("".join(self.said[-5:]))
        return self

    def _watch(self) -> None:
        """Resident memory. Together, pages that processes share are counted once (PSS)."""
        while self.process.poll() is None:
            with suppress(psutil.Error):
                driver = psutil.Process(self.process.pid)
                self._note("driver", driver.memory_info().rss)
                total = 0
                for one in (driver, *driver.children(recursive=True)):
                    with suppress(psutil.Error):
                        total += one.memory_full_info().pss
                        if one.pid in self.workers:
                            self._note("worker", one.memory_info().rss)
                self._note("together", total)
            time.sleep(_BETWEEN)

    def _note(self, name: str, size: int) -> None:
        self.peaks[name] = max(self.peaks[name], size)


def parts_of(folder: Path) -> Iterator[tuple[float, int]]:
    """When each part was complete, and its documents; in the order of completion."""
    found: list[tuple[float, int]] = []
    for part in folder.glob("part-*.jsonl"):
        with open(part, "rb") as file:
            found.append((part.stat().st_mtime, sum(1 for _ in file)))
    yield from sorted(found)


def read_config() -> Any:
    """The parser that the scripts have in common."""
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    return parser
