"""Publish what `tokensieve demo` measured, with its commit and processor -> results/demo/stdlib-128.json."""

from __future__ import annotations

import json

from tokensieve_bench.places import RESULTS, ROOT

SOURCE = ROOT / "build" / "demo" / "demo.json"
TARGET = RESULTS / "demo" / "stdlib-128.json"


def main() -> None:
    """Publish the last run of the demonstration in this checkout; its record says with what it was made.

    Raises:
        SystemExit: there is none, or one of a version that did not say.
    """
    record = json.loads(SOURCE.read_text(encoding="utf-8")) if SOURCE.is_file() else {}
    if "machine" not in record:
        raise SystemExit(f"{SOURCE}: no record that names its machine: run `make demo` first")
    record = {key: record["machine"][key] for key in ("commit", "processor", "cores")} | record
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
