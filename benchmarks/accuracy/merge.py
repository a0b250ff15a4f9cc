"""Add the seeds of a record from another machine to results/accuracy/.

    python benchmarks/accuracy/merge.py ELSEWHERE/results/accuracy/cascade-imdb ...

A record is a folder, or one file NAME.json. Its seeds take the place of the same seeds in results/accuracy/NAME/; the
other seeds stay. Both have to be made of the same documents, with the same recipe and variants.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from train import made_elsewhere

from tokensieve_bench.places import RESULTS
from tokensieve_bench.record_files import Record, in_order, is_record, read_record, write_record


def main(given: list[str] | None = None) -> None:
    """Merge every record that is named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("record", nargs="+", type=Path, help="a folder, or one file NAME.json")
    for path in parser.parse_args(given).record:
        merge(path, RESULTS / "accuracy")


def merge(path: Path, into: Path) -> None:
    """Merge a record into the one of the same name.

    Raises:
        SystemExit: there is no record, or the two were made of other documents or by other settings.
    """
    place = into / path.name.removesuffix(".json")
    if path.resolve() == place.resolve():
        raise SystemExit(f"{path}: it is the record to merge into: name the one to add")
    new = read_file(path)
    here = {run["seed"] for run in new["runs"]}
    old = read_record(place) if is_record(place) else {"runs": [], "config": new["config"]}
    config = new["config"] | {"seeds": sorted({*new["config"]["seeds"], *old["config"]["seeds"]})}
    kept = list(made_elsewhere(place, config, new["truth"], here))
    if len(kept) < sum(run["seed"] not in here for run in old["runs"]):
        raise SystemExit(f"{path}: made of other documents, or by another recipe or variants, than {place}")
    write_record(place, new | {"config": config, "runs": in_order([*new["runs"], *kept], config["variants"])})


def read_file(path: Path) -> Record:
    """The record of a folder or a file."""
    if not path.exists():
        raise SystemExit(f"{path}: there is no record")
    record = read_record(path) if path.is_dir() else json.loads(path.read_text(encoding="utf-8"))
    if "runs" not in record:
        raise SystemExit(f"{path}: it has no runs, so there is nothing to merge")
    return record


if __name__ == "__main__":
    main()
