"""Data sets derived from others, for configs/accuracy/worth.json -> build/data/<set>/{train,validation,test}.jsonl.

    python benchmarks/words/worth_sets.py --data DATA

- `banking77-5shot`, `-10shot`, `clinc150-5shot`, `-10shot`: the published few-shot file is all that training gets.
  There is no validation file, so that validation documents are carved off these few. The test split is whole.
- `legal_clause_pairs`: two clauses of a contract, and whether they have the same label of legal_clauses. It is made
  here and is no benchmark that others report. See `clause_pairs`.

The same data gives the same files. A folder that this script did not make is left as it is, and stops it.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from tokensieve_bench.places import DERIVED

FEW_SHOT = {f"{data}-{shots}shot": (data, shots) for data in ("banking77", "clinc150") for shots in (5, 10)}
PAIRS = "legal_clause_pairs"
SIZES = {"train": 1500, "validation": 400, "test": 2000}
"""Pairs of each split; each is made of the clauses of the same split of legal_clauses."""
MARK = "derived.json"
"""Lies in every folder that this script makes."""
SEED = 0

Row = dict[str, Any]


def main() -> None:
    """All sets, or those that are named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--into", type=Path, default=DERIVED, help="default: build/data")
    parser.add_argument("--set", action="append", choices=[*FEW_SHOT, PAIRS], help="this one (repeatable)")
    arguments = parser.parse_args()
    for name in arguments.set or [*FEW_SHOT, PAIRS]:
        write_set(arguments.into / name, derived(name, arguments.data))
        print(arguments.into / name)


def derived(name: str, data: Path) -> dict[str, list[Row]]:
    """The rows of each split of a set."""
    if name == PAIRS:
        clauses = {split: rows_of(data / "legal_clauses" / f"{split}.jsonl.gz") for split in SIZES}
        return clause_pairs(clauses, SIZES)
    origin, shots = FEW_SHOT[name]
    files = {"train": f"train_{shots}shot", "test": "test"}
    return {split: rows_of(data / origin / f"{file}.jsonl.gz") for split, file in files.items()}


def clause_pairs(clauses: dict[str, list[Row]], sizes: dict[str, int], seed: int = SEED) -> dict[str, list[Row]]:
    """Pairs of clauses with the label "same" or "different", by turns, of each split.

    A clause is the first text of at most one pair and the second of at most one. The second text of a pair of different
    labels is a random clause of another label. So the labels of second texts are spread as those of the clauses, and
    no text alone tells the answer. A text that an earlier split has is left out of the later ones.

    Args:
        clauses: rows with "text" and "label" by split.
        sizes: pairs by split.
        seed: of the choice.
    """
    made, known = {}, set[str]()
    for split, size in sizes.items():
        own = {row["text"]: row for row in clauses[split] if row["text"] not in known}
        known |= own.keys()
        made[split] = _pairs(list(own.values()), size, Random(f"{seed} {split}"))
    return made


def _pairs(clauses: Sequence[Row], size: int, random: Random) -> list[Row]:
    firsts, seconds = (random.sample(clauses, len(clauses)) for _ in range(2))
    pairs: list[Row] = []
    for first in firsts:
        if len(pairs) == size:
            return pairs
        same = len(pairs) % 2 == 0
        for place, second in enumerate(seconds):
            if (second["label"] == first["label"]) == same and second["text"] != first["text"]:
                del seconds[place]
                label = "same" if same else "different"
                pairs.append({"text": first["text"], "pair": second["text"], "label": label})
                break
    if len(pairs) < size:
        raise SystemExit(f"{len(clauses)} clauses give {len(pairs)} pairs, and {size} are asked for: ask for fewer")
    return pairs


def rows_of(file: Path) -> list[Row]:
    """Text and label of each line."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return [{key: row[key] for key in ("text", "label")} for row in map(json.loads, lines)]


def write_set(folder: Path, splits: dict[str, list[Row]]) -> None:
    """Write a file a split.

    Raises:
        SystemExit: the folder holds something that this script did not write.
    """
    if folder.exists() and not (folder / MARK).is_file():
        raise SystemExit(f"{folder}: it is there and has no {MARK}, so this script did not make it: move it away")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text(json.dumps({"made_by": "benchmarks/words/worth_sets.py"}) + "\n", encoding="utf-8")
    for split, rows in splits.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
