"""The blocks of a page, as a reader runs them: in order, in one folder.

Marks stand in a comment on the line above a block, and the page's source shows them:

    <!-- not run: REASON -->    the block cannot run here
    <!-- fails -->              the block shows an error: it has to fail
    <!-- file: NAME -->         the reader saves the block under this name
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RUN = ("bash", "python")
SHOWN = ("text", "json", "{toctree}", "{from-source}", "{eval-rst}", "{include}")
"""Languages of blocks that nobody runs."""
_BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One block of a page.

    Attributes:
        language: as on the fence, without arguments of a directive.
        text: what stands between the fences.
        line: where it begins, from 1.
        mark: the comment above it; "": none.
    """

    language: str
    text: str
    line: int
    mark: str

    @property
    def file(self) -> str | None:
        """The name under which the reader saves it."""
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else None

    @property
    def reason(self) -> str | None:
        """Why it cannot run here."""
        return self.mark.removeprefix("not run: ") if self.mark.startswith("not run: ") else None


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    for found in _BLOCK.finditer(page):
        line = page.count("\n", 0, found.start("text"))
        language = found["language"].split(" ")[0]
        yield Block(language, found["text"], line, found["mark"] or "")


def run(page: str, folder: Path, environment: dict[str, str]) -> list[str]:
    """Save and run the blocks of a page in a folder; what each block that ran has printed.

    Raises:
        AssertionError: a block failed, or did not fail where it should.
    """
    printed = []
    for block in blocks(page):
        if block.file is not None:
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.language in RUN and block.reason is None:
            printed.append(_run(block, folder, environment))
    return printed


def _run(block: Block, folder: Path, environment: dict[str, str]) -> str:
    """What a block printed. Its output goes to a file, so that a server that it leaves running does not hold us up."""
    if block.language == "bash":
        command = ["bash", "-euo", "pipefail", "-c", block.text]
    else:
        command = ["python", "-c", block.text]
    output = folder / ".output"
    with open(output, "wb") as file:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            timeout=280,
        )
    text = output.read_text(encoding="utf-8", errors="replace")
    wanted = block.mark == "fails"
    assert (done.returncode != 0) == wanted, f"line {block.line}: exit status {done.returncode}\n{block.text}\n{text}"
    return text


def environment(shims: Path, socket: Path, port: int) -> dict[str, str]:
    """The commands of a reader, answered by a process that has imported the package already (`prepared`)."""
    for name in ("tokensieve", "python"):
        shim = shims / name
        shim.write_text(f"#!{sys.executable} -ISs\n" + _SHIM.format(name=name), encoding="utf-8")
        shim.chmod(0o755)
    own = {"PATH": f"{shims}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return {**os.environ, **own, "SNIPPETS": str(socket), "PORT": str(port), "OMP_NUM_THREADS": "1"}


_SHIM = """
import array, json, os, signal, socket, sys

place = socket.socket(socket.AF_UNIX)
place.connect(os.environ["SNIPPETS"])
asked = json.dumps({{"argv": ["{name}", *sys.argv[1:]], "cwd": os.getcwd(), "environment": dict(os.environ)}}).encode()
descriptors = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
place.sendmsg([len(asked).to_bytes(4, "big")], descriptors)
place.sendall(asked)
answers = place.makefile("r")
process = int(answers.readline())
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, lambda number, _: os.kill(process, number))
sys.exit(int(answers.readline() or 1))
"""
