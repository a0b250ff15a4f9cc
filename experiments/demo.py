"""What `tokensieve demo` measured, with commit and processor -> results/demo/stdlib-128.json."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "build" / "demo" / "demo.json"
TARGET = ROOT / "results" / "demo" / "stdlib-128.json"


def main() -> None:
    """Publish the last run of the demonstration in this checkout."""
    record = json.loads(SOURCE.read_text(encoding="utf-8"))
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    record = {"commit": commit, "processor": _processor(), "cores": os.cpu_count(), "seed": 0, **record}
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    main()
