"""The scripts of benchmarks/ are commands: called by path they run."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.paths import ROOT

FOLDERS = ("accuracy", "methods", "scale", "series", "serving", "speed", "versions", "words")
SCRIPTS = [path for folder in FOLDERS for path in sorted((ROOT / "benchmarks" / folder).glob("*.py"))]
COMMANDS = [path for path in SCRIPTS if "def main(" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("script", COMMANDS, ids=lambda path: path.stem)
def test_a_script_with_a_main_runs_it(script: Path) -> None:
    assert script.read_text(encoding="utf-8").endswith('if __name__ == "__main__":\n    main()\n')


def test_merge_without_a_record_says_what_it_wants() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "accuracy" / "merge.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "record" in done.stderr
