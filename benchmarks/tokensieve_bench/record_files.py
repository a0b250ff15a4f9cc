"""Records on disk: one JSON file, or a folder of files where a record has runs.

A folder NAME/ takes the place of NAME.json, so that no file grows with the number of variants. `common.json` has all
but the runs. Beside it lies a file for each variant, or for each seed where a run has no variant: {"runs": [...]}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COMMON = "common.json"

Record = dict[str, Any]
Run = Mapping[str, Any]


def is_record(place: Path) -> bool:
    """Whether there is a record at a path, which is given without .json."""
    return (place / COMMON).is_file() or _file(place).is_file()


def read_record(place: Path) -> Record:
    """The record at a path, with its runs in the order of the config's variants, then of seeds.

    Args:
        place: without .json; where a folder and a file are there, the folder counts.
    """
    if not (place / COMMON).is_file():
        record: Record = json.loads(_file(place).read_text(encoding="utf-8"))
        return record
    record = json.loads((place / COMMON).read_text(encoding="utf-8"))
    runs = [run for file in _run_files(place) for run in json.loads(file.read_text(encoding="utf-8"))["runs"]]
    return {**record, "runs": in_order(runs, record["config"]["variants"])}


def write_record(place: Path, record: Record) -> None:
    """Write a record with runs as a folder, in which files of other runs go.

    Raises:
        SystemExit: two variants have the same file name.
    """
    files: dict[str, list[Run]] = {}
    for run in record["runs"]:
        files.setdefault(file_of(run), []).append(run)
    for name, runs in files.items():
        if len({run.get("variant") for run in runs}) > 1:
            raise SystemExit(f"{name}: two variants have this file name: rename one in the config")
    place.mkdir(parents=True, exist_ok=True)
    for name, runs in files.items():
        text = ",\n  ".join(json.dumps(run) for run in runs)
        write_whole(place / name, f'{{"runs": [\n  {text}\n]}}\n')
    write_fields(place / COMMON, {key: value for key, value in record.items() if key != "runs"})
    for file in _run_files(place):
        if file.name not in files:
            file.unlink()


def file_of(run: Run) -> str:
    """The name of the file that has a run: that of its variant, or without one its seed's.

    Raises:
        SystemExit: nothing is left of the variant's name, or it is that of the file that all share.
    """
    if "variant" not in run:
        return f"seed{run['seed']}.json"
    name = re.sub(r"[^\w.=]+", "-", run["variant"]).strip("-.") + ".json"
    if name in (COMMON, ".json"):
        raise SystemExit(f"the variant {run['variant']!r} gives no file name: rename it in the config")
    return name


def in_order(runs: list[Record], variants: Mapping[str, Any]) -> list[Record]:
    """Runs by the place of their variant in a config, then by seed."""
    places = {variant: place for place, variant in enumerate(variants)}
    return sorted(runs, key=lambda run: (places.get(run.get("variant", ""), len(places)), run["seed"]))


def _file(place: Path) -> Path:
    return place.with_name(f"{place.name}.json")


def _run_files(place: Path) -> list[Path]:
    return sorted(file for file in place.glob("*.json") if file.name != COMMON)


def write_fields(file: Path, record: Mapping[str, Any]) -> None:
    """Write a record with a line for each of its fields, in a folder that is made if need be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n  ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in record.items())
    write_whole(file, f"{{\n  {lines}\n}}\n")


def write_whole(file: Path, text: str) -> None:
    """Write a file as a whole: a writer that is killed leaves the old one."""
    part = file.with_name(f"{file.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
