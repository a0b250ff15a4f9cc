"""What the README promises a newcomer: its example runs as it stands, and its links lead somewhere."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return [
        text for own, text in re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE) if own == language
    ]


def rows(count: int) -> list[dict[str, str]]:
    texts = {"sport": "The striker scored in half number {}.", "business": "Shares of company {} rose on Monday."}
    return [{"text": texts[label].format(n), "label": label} for n in range(count) for label in texts]


def write(path: Path, count: int) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(rows(count))


@pytest.mark.slow
@pytest.mark.usefixtures("default_model_dir")
def test_the_example_runs(tmp_path: Path) -> None:
    """On 40 documents; then the command-line twin reads what it saved."""
    write(tmp_path / "news.csv", 20)
    (code,) = blocks("python")
    assert len(code.splitlines()) <= 12
    run = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 280, "check": False}
    done = subprocess.run([sys.executable, "-c", code], **run)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("['sport']", "['business']")
    write(tmp_path / "test.csv", 3)
    (line,) = (line for line in blocks("bash")[1].splitlines() if line.startswith("tokensieve evaluate"))
    command = [str(Path(sys.executable).with_name("tokensieve")), *line.split()[1:]]
    done = subprocess.run(command, **run)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    assert re.search(r"^accuracy +[01]\.", done.stdout, re.MULTILINE)


def test_every_option_is_one_of_the_command(tmp_path: Path) -> None:
    for line in blocks("bash")[1].splitlines():
        name, *options = re.findall(r"(?<=tokensieve )\w+|--[\w-]+", line)
        command = [str(Path(sys.executable).with_name("tokensieve")), name, "--help"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env={"COLUMNS": "200"})
        assert [option for option in options if option not in shown.stdout] == []


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_it_stays_short() -> None:
    lines = README.splitlines()
    assert len(lines) <= 120
    assert max(line.count("|") for line in lines if line.startswith("|")) <= 7, "six columns"
