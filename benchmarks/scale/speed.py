"""One worker against several on a local Ray cluster, each with its own CPU -> results/scale/speed.json.

    python benchmarks/scale/speed.py benchmarks/configs/scale/workers.json --data DATA --model FOLDER

FOLDER is a classifier of `tokensieve train` or `tokensieve quantize`. Rounds are interleaved. The clock starts when as
many parts are complete as there are workers, and the parts after these count. So all that counts is timed, and the
start of Ray and of the workers is not in it; it is in the seconds of the command. The record has the seconds and
documents of each part. The machine has to have a core for each worker. The process that reads the rows shares them.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from local import Run, command, parts_of, read_config, write_rows

from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS
from tokensieve_bench.report.scale import speed_table


def main() -> None:
    """Measure, write, print."""
    parser = read_config()
    parser.add_argument("--model", type=Path, required=True)
    arguments = parser.parse_args()
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    rounds = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows = write_rows(folder, arguments.data / config["data"], config["speed_rows"])
        for number in range(config["rounds"]):
            order = [1, config["workers"]] if number % 2 == 0 else [config["workers"], 1]
            own = {
                str(count): _run(arguments.model, rows, folder / f"{number}-{count}", count, config) for count in order
            }
            rounds.append(own)
            print(json.dumps(own))
    record = {"config": config, "model": arguments.model.name, "rounds": rounds, "machine": machine(config["threads"])}
    target = RESULTS / "scale" / "speed.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print("\n".join(speed_table(record)))


def _run(model: Path, rows: Path, output: Path, workers: int, config: dict[str, Any]) -> dict[str, Any]:
    """Documents and seconds that count, the seconds of the whole command, and the parts that all follows from."""
    options = ["--ray", "local", "--workers", workers, "--threads", config["threads"]]
    begun = time.monotonic()
    Run(command("predict", "--model", model, "--input", rows, "--output", output, *options), config["threads"]).finish()
    seconds = time.monotonic() - begun
    parts = list(parts_of(output))
    told = [[when - parts[0][0], documents] for when, documents in parts]
    return {**counted(parts, workers), "command_seconds": seconds, "parts": told}


def counted(parts: list[tuple[float, int]], workers: int) -> dict[str, Any]:
    """The documents of all parts but each worker's first, and the seconds from the last of these to the last part.

    N workers end their first parts at about the same time, so that the work on none of these is timed as a whole.

    Args:
        parts: when each was complete, and its documents; in the order of completion.
        workers: that made them.

    Raises:
        SystemExit: there are too few parts.
    """
    if len(parts) <= workers:
        raise SystemExit(f"{len(parts)} parts for {workers} workers: give more rows (speed_rows of the config)")
    return {
        "documents": sum(documents for _, documents in parts[workers:]),
        "seconds": parts[-1][0] - parts[workers - 1][0],
    }


if __name__ == "__main__":
    main()
