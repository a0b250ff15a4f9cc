"""A version of tokensieve in a process of its own that stays alive, for compare_versions.py."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("version_worker.py")


class Side:
    """A version in a process of its own.

    Args:
        checkout: folder with src/tokensieve.
        python: interpreter whose environment it runs in.
        threads: to compute with.

    Raises:
        SystemExit: the process fails, or imports another tokensieve.
    """

    def __init__(self, checkout: Path, python: str, threads: int) -> None:
        self.checkout, self.source = checkout.resolve(), checkout.resolve() / "src"
        if not (self.source / "tokensieve").is_dir():
            raise SystemExit(f"{checkout}: no src/tokensieve in it: give a checkout of tokensieve")
        count = str(threads)
        set_here = {"PYTHONPATH": str(self.source), "OMP_NUM_THREADS": count, "RAYON_NUM_THREADS": count}
        set_here |= {"TOKENIZERS_PARALLELISM": "true", "HF_HUB_OFFLINE": "1"}
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - it lives as long as the process
        self.process = subprocess.Popen(
            [python, str(WORKER), count],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=os.environ | set_here,
            text=True,
            encoding="utf-8",
        )
        self.about = self.ask("about") | {"commit": commit_of(self.checkout)}
        if not Path(self.about["file"]).is_relative_to(self.source):
            raise SystemExit(f"{checkout}: its process imports {self.about['file']}: leave tokensieve off its path")

    def ask(self, what: str, **options: Any) -> dict[str, Any]:
        """The answer to a request."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"do": what, **options}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.errors.seek(0)
            said = self.errors.read().strip().splitlines()[-1:] or ["it said nothing"]
            raise SystemExit(f"the process of {self.checkout} failed at {what!r}: {said[0]}")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def commit_of(checkout: Path) -> str | None:
    """Its commit, with a + where files of the package differ; None outside git."""

    def git(*arguments: str) -> str | None:
        run = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True, check=False)
        return run.stdout.strip() if run.returncode == 0 else None

    top = git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != checkout:
        return None
    return f"{git('rev-parse', 'HEAD')}{'+' if git('status', '--porcelain', '--', 'src') else ''}"
