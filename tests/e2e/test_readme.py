"""What the README promises a newcomer: its options are there, and its links lead somewhere.

That its blocks run is tested with those of the guides (`tests/pages/test_snippets.py`).
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return [
        text for own, text in re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE) if own == language
    ]


def test_every_option_is_one_of_the_command(tmp_path: Path) -> None:
    for line in blocks("bash")[1].splitlines():
        name, *options = re.findall(r"(?<=tokensieve )\w+|--[\w-]+", line)
        command = [str(Path(sys.executable).with_name("tokensieve")), name, "--help"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env={"COLUMNS": "200"})
        assert [option for option in options if option not in shown.stdout] == []


def test_links_lead_somewhere() -> None:
    for page in (*map(ROOT.joinpath, ("README.md", "benchmarks/README.md")), *(ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_it_stays_short() -> None:
    lines = README.splitlines()
    assert len(lines) <= 120
    assert max(line.count("|") for line in lines if line.startswith("|")) <= 7, "six columns"
