"""What `tokensieve demo` measured, with commit and processor -> results/demo/stdlib-128.json."""

from __future__ import annotations

import json
import os

from tokensieve.processor import processor_name
from tokensieve_bench.machine import commit
from tokensieve_bench.places import RESULTS, ROOT

SOURCE = ROOT / "build" / "demo" / "demo.json"
TARGET = RESULTS / "demo" / "stdlib-128.json"


def main() -> None:
    """Publish the last run of the demonstration in this checkout."""
    record = json.loads(SOURCE.read_text(encoding="utf-8"))
    record = {"commit": commit(), "processor": processor_name(), "cores": os.cpu_count(), "seed": 0, **record}
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
