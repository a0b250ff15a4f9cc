"""Methods of token reduction on frozen vision hosts at the same FLOPs -> results/vision/HOST/ROW.json, a file a job.

    python benchmarks/vision/convert_focus.py vit_s_focus.onnx
    python benchmarks/vision/train_small.py --images IMAGES
    python benchmarks/vision/compare.py benchmarks/configs/vision/compare.json --images IMAGES --threads 1
    python benchmarks/vision/compare.py benchmarks/configs/vision/compare.json --images IMAGES --threads 1 --time

Each row's schedule is made so strong that the body costs the config's shares of the dense body's FLOPs. A row that
cannot reach a share is told, and left out. The score is that of logistic regression on the frozen vectors, 5-fold over
all images; its record says which images it gets right, so that the report compares each row with dense on the same
images. Jobs that have a record are not repeated. --row, --share and --host pick some. --time adds the seconds, beside
dense in interleaved rounds, to the records that have none; run it on an idle machine. `make leaderboard` makes the
table.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tokensieve import ReductionConfig
from tokensieve.errors import ConfigError
from tokensieve.model.images import check_images
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS, ROOT
from tokensieve_bench.record_files import write_whole
from tokensieve_bench.rounds import time_interleaved
from tokensieve_bench.runs import chosen
from tokensieve_bench.vision import DENSE, ImageSet, body_of, features, flops_share, probed, read_images, settings_at


@dataclass(frozen=True)
class Job:
    """A row on a host at a share of the FLOPs; "1" for dense."""

    host: str
    row: str
    share: str
    settings: ReductionConfig

    @property
    def record(self) -> Path:
        """The file that its figures go to."""
        name = re.sub(r"[^\w.]+", "-", f"{self.row}-at-{self.share}")
        return RESULTS / "vision" / self.host / f"{name}.json"


def main() -> None:
    """All jobs that have no record; with --time the seconds that are missing."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    config["shares"] = chosen("--share", arguments.share, config["shares"])
    rows = chosen("--row", arguments.row, ["dense", *config["rows"]])
    for host in chosen("--host", arguments.host, config["hosts"]):
        own = config["hosts"][host]
        folder = ROOT / own["checkpoint"]
        if not (folder / "config.json").is_file():
            raise SystemExit(f"{folder}: no checkpoint: run the script that makes it (benchmarks/README.md)")
        images = read_images(arguments.images, own["side"])
        jobs = list(jobs_of(config, host, folder, images, rows))
        if arguments.time:
            time_all(jobs, config, folder, images)
        else:
            for job in jobs:
                if not job.record.is_file():
                    measure(job, config, folder, images, arguments.threads)


def jobs_of(config: dict[str, Any], host: str, folder: Path, images: ImageSet, rows: list[str]) -> Iterator[Job]:
    """The jobs of a host."""
    dense = body_of(folder, DENSE)
    (length,) = check_images(dense.config, images.pixels[:1]).lengths
    if "dense" in rows:
        yield Job(host, "dense", "1", DENSE)
    for row, record in config["rows"].items():
        for share in config["shares"] if row in rows else ():
            try:
                yield Job(host, row, f"{share:g}", settings_at(record, dense, length, share))
            except ConfigError as error:
                print(f"{host}: {row}: {error}", flush=True)


def measure(job: Job, config: dict[str, Any], folder: Path, images: ImageSet, threads: int) -> None:
    """Score a row, and write its record."""
    print(f"{job.host}: {job.row} at {job.share}", flush=True)
    model = body_of(folder, job.settings)
    vectors, kept = features(model, images.pixels, config["timed"]["batch"])
    right = probed(vectors, images.labels, **config["probe"])
    record = {
        "host": job.host,
        "row": job.row,
        "share": job.share,
        "settings": job.settings.to_dict(),
        "images": len(right),
        "probe": config["probe"],
        "accuracy": float(right.mean()),
        "right": "".join(str(int(own)) for own in right),
        "flops": flops_share(model, kept, images.pixels),
        "kept": [round(sum(step) / len(kept), 2) for step in zip(*kept, strict=True)],
        "machine": machine(threads),
    }
    _write(job, record)


def time_all(jobs: list[Job], config: dict[str, Any], folder: Path, images: ImageSet) -> None:
    """Seconds of each job but dense, beside dense: pixels to vectors, in batches, in interleaved rounds."""
    timed, dense = config["timed"], body_of(folder, DENSE)
    pixels = images.pixels[:: max(1, len(images.pixels) // timed["images"])][: timed["images"]]
    for job in jobs:
        if job.row == "dense" or not job.record.is_file():
            continue
        record = json.loads(job.record.read_text(encoding="utf-8"))
        if record.get("seconds") is None:
            works = {"dense": dense, "own": body_of(folder, job.settings)}
            calls = {name: partial(features, own, pixels, timed["batch"]) for name, own in works.items()}
            rounds = time_interleaved(calls, timed["rounds"])
            on = machine(torch.get_num_threads())
            _write(job, record | {"seconds": rounds, "timed_images": len(pixels), "timed_on": on})


def _write(job: Job, record: dict[str, Any]) -> None:
    job.record.parent.mkdir(parents=True, exist_ok=True)
    write_whole(job.record, json.dumps(record, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--images", type=Path, required=True, help="folder SPLIT/CLASS/*.jpg")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--row", action="append", help="this one alone (repeatable)")
    parser.add_argument("--share", type=float, action="append", help="this one of the config's alone (repeatable)")
    parser.add_argument("--host", action="append", help="this one alone (repeatable)")
    parser.add_argument("--time", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
