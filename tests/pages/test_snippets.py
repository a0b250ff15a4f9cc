"""Every block of the tutorial, of the guides and of the README runs, page by page, in order, as a reader runs it.

The guides go on with the files of docs/start.md, so that page runs first, and each guide gets a copy of its folder.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pages.snippets import RUN, SHOWN, blocks, environment, run
from support.packages import needed

ROOT = Path(__file__).resolve().parents[2]
START = ROOT / "docs" / "start.md"
GUIDES = [ROOT / "docs" / "choose.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]
READ = [ROOT / "README.md", START, *GUIDES]
REASONS = {
    "installs packages",
    "needs GPUs",
    "needs a GPU",
    "needs the hub",
    "reads a checkpoint from the hub",
    "takes a quarter of an hour, and needs a clone",
    "takes minutes, and is a run of its own in CI",
}
"""Why a block cannot run here. Nothing else is a reason."""

each_guide = pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)


@dataclass
class Reader:
    """Somebody who has read docs/start.md: the folder, and the commands in it."""

    folder: Path
    environment: dict[str, str]
    port: int

    def read(self, page: Path, folder: Path) -> list[str]:
        """Run the blocks of a page. The port of its server is one that is free."""
        return run(page.read_text(encoding="utf-8").replace("8080", str(self.port)), folder, self.environment)


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory, default_model_dir: Path) -> Iterator[dict[str, str]]:
    """The environment of a reader; what the pages leave running ends with it."""
    folder = tmp_path_factory.mktemp("commands")
    place = folder / "socket"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    own = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("prepared.py")), str(place)], env=own, start_new_session=True
    )
    try:
        while not place.exists():
            assert server.poll() is None, "the process that runs the commands did not start"
            time.sleep(0.1)
        yield {**environment(folder, place, port), "PYTHONPATH": paths}
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


@pytest.fixture(scope="module")
def reader(commands: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Runs docs/start.md, start to end."""
    found = Reader(tmp_path_factory.mktemp("start"), commands, int(commands["PORT"]))
    printed = "\n".join(found.read(START, found.folder))
    assert "saved in news-classifier" in printed
    assert re.search(r"^accuracy +1\.0000", printed, re.MULTILINE)
    assert "['sport']" in printed
    assert re.search(r"\[\w+\]", printed), "words that survived stand in brackets"
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)  # a page may start Ray several times
@each_guide
def test_a_guide_runs(page: Path, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if page.stem == "more-machines":
        needed("ray")
    if page.stem == "spark":
        pytest.importorskip("pyspark", reason="spark.md needs a package that no extra brings")
    reader: Reader = request.getfixturevalue("reader")
    folder = tmp_path / "folder"
    shutil.copytree(reader.folder, folder)
    printed = reader.read(page, folder)
    wanted = [block for block in blocks(page.read_text(encoding="utf-8")) if block.language in RUN]
    assert len(printed) == len([block for block in wanted if block.reason is None and block.file is None])


@pytest.mark.slow
def test_the_readme_runs(commands: dict[str, str], tmp_path: Path) -> None:
    """On files as a reader has them: the Python example, then its twin on the command line."""
    texts = {"sport": "The striker scored in half number {}.", "business": "Shares of company {} rose on Monday."}
    rows = [(texts[label].format(number), label) for number in range(8) for label in texts]
    for name in ("news.csv", "test.csv"):
        with open(tmp_path / name, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    with gzip.open(tmp_path / "mail.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text, _ in rows)
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = (block.text for block in blocks(page) if block.language == "python")
    assert len(code.splitlines()) <= 12
    by_python, by_commands = run(page, tmp_path, commands)
    assert re.search(r"^\['(sport|business)'\]$", by_python, re.MULTILINE)
    assert re.search(r"^accuracy +[01]\.", by_commands, re.MULTILINE)
    with open(tmp_path / "labels.csv", newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(rows)


@pytest.mark.parametrize("page", READ, ids=lambda page: page.stem)
def test_every_block_has_a_language_and_a_reason_if_it_is_not_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = list(blocks(text))
    assert len(found) == text.count("\n```") // 2
    for block in found:
        assert block.language in (*RUN, *SHOWN), f"{page.name}:{block.line}"
        assert block.reason is None or block.reason in REASONS, f"{page.name}:{block.line}: {block.reason}"
        assert block.mark in ("", "fails") or block.mark.startswith(("not run: ", "file: ")), block.mark


def test_most_blocks_run() -> None:
    """So a page cannot opt out of the test as a whole."""
    found = [block for page in READ for block in blocks(page.read_text(encoding="utf-8")) if block.language in RUN]
    assert len([block for block in found if block.reason is not None]) < len(found) / 5


def test_a_block_that_fails_is_told(tmp_path: Path) -> None:
    for page in ("```bash\nfalse\n```\n", "<!-- fails -->\n```bash\ntrue\n```\n"):
        with pytest.raises(AssertionError, match=r"line [12]: exit status"):
            run(page, tmp_path, dict(os.environ))
    assert run("<!-- not run: needs a GPU -->\n```bash\nfalse\n```\n```text\nfalse\n```\n", tmp_path, {}) == []


def test_a_file_that_the_reader_saves(tmp_path: Path) -> None:
    page = "<!-- file: a.txt -->\n```text\nsaved\n```\n\n```bash\ncat a.txt\n```\n"
    assert run(page, tmp_path, dict(os.environ)) == ["saved\n"]
