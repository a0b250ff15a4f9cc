"""PruMerge on a frozen vision tower: how many tokens stay, what a probe reads in them, and what it costs.

    python benchmarks/vision/convert_focus.py vit_s_focus.onnx
    python benchmarks/vision/prumerge.py benchmarks/configs/vision/prumerge.json --images IMAGES
    python benchmarks/vision/prumerge.py benchmarks/configs/vision/prumerge.json --images IMAGES --time

The features are those that enter the tower's last layer, as in LLaVA. The score is that of logistic regression on the
mean of the visual tokens, 5-fold over all images; a language model would read the tokens themselves. A row "at random"
keeps as many, by random numbers in place of attention. -> results/vision/prumerge.json. --time adds the seconds of the
tower and of each row's reduction in interleaved rounds; run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean, median, quantiles
from typing import Any

import numpy as np
import torch
from transformers import AutoModel

from tokensieve.multimodal import VisionSignals, reduce_visual_tokens
from tokensieve.multimodal.signals import read_tower
from tokensieve.tokens import Tokens
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS, ROOT
from tokensieve_bench.record_files import write_whole
from tokensieve_bench.rounds import time_interleaved
from tokensieve_bench.vision import ImageSet, probed, read_images

RECORD = RESULTS / "vision" / "prumerge.json"


def main() -> None:
    """Score all rows; or time those of the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--images", type=Path, required=True, help="folder SPLIT/CLASS/*.jpg")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--most", type=int, help="this many of the images; the record goes nowhere, and is printed")
    parser.add_argument("--time", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    tower = AutoModel.from_pretrained(ROOT / config["host"]).eval()
    images = read_images(arguments.images, config["side"], arguments.most)
    if arguments.time:
        record = json.loads(RECORD.read_text(encoding="utf-8"))
        record |= timed(config, tower, images) | {"timed_on": machine(arguments.threads)}
    else:
        record = scored(config, tower, images) | {"machine": machine(arguments.threads)}
    text = json.dumps(record, indent=1) + "\n"
    if arguments.most:
        print(text)
    else:
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        write_whole(RECORD, text)


@torch.no_grad()
def scored(config: dict[str, Any], tower: Any, images: ImageSet) -> dict[str, Any]:
    """Counts, and what the probe gets right, of all tokens and of each row."""
    rows = {"all": None, **config["rows"]}
    vectors: dict[str, list[torch.Tensor]] = {name: [] for name in rows}
    counts: dict[str, list[int]] = {name: [] for name in rows}
    for number, part in enumerate(images.pixels.split(config["batch"])):
        by_heads = signals_of(config, tower, part)
        for name, row in rows.items():
            tokens = None if row is None else reduced(row, by_heads, number)
            values = by_heads["one"].hidden if tokens is None else tokens.values.split(list(tokens.lengths))
            vectors[name] += [own.mean(0) for own in values]
            counts[name] += map(len, values)
    found = {}
    for name in rows:
        right = probed(torch.stack(vectors[name]).numpy(), images.labels, **config["probe"])
        print(f"{name}: {fmean(counts[name]):.1f} tokens, {right.mean():.3f}", flush=True)
        found[name] = {**spread(counts[name]), **score(right)}
    return {"config": config, "images": len(images.labels), "rows": found}


def signals_of(config: dict[str, Any], tower: Any, pixels: torch.Tensor) -> dict[str, VisionSignals]:
    """What the tower tells, by whole vectors and by the mean of heads."""
    read = read_tower(tower, pixels, config["layer"])
    return {"one": read.signals("one"), "mean": read.signals("mean")}


def reduced(row: dict[str, Any], by_heads: dict[str, VisionSignals], seed: int) -> Tokens:
    """The tokens that a row keeps of a batch."""
    settings = {key: value for key, value in row.items() if key not in ("heads", "random")}
    hidden, attention, keys = by_heads[row.get("heads", "one")]
    if row.get("random"):
        attention = torch.rand(attention.shape, generator=torch.Generator().manual_seed(seed))
    return reduce_visual_tokens(hidden, attention, keys, **settings)


def spread(counts: list[int]) -> dict[str, float]:
    """Mean, least, quartiles and most of the counts of images."""
    first, middle, third = quantiles(counts, n=4)
    return {"tokens": fmean(counts), "least": min(counts), "first_quartile": first, "median": middle,
            "third_quartile": third, "most": max(counts)}  # fmt: skip


def score(right: np.ndarray) -> dict[str, Any]:
    """Accuracy, and which images are right."""
    return {"accuracy": float(right.mean()), "right": "".join(str(int(own)) for own in right)}


@torch.no_grad()
def timed(config: dict[str, Any], tower: Any, images: ImageSet) -> dict[str, Any]:
    """Seconds of every round for some images, of the tower and of each row's reduction behind it.

    "milliseconds" are the medians of these for one image.
    """
    pixels = images.pixels[: config["timed"]["images"]]
    by_heads = signals_of(config, tower, pixels)
    works: dict[str, Callable[[], Any]] = {"tower": partial(tower, pixels)}
    for name, row in config["rows"].items():
        if not row.get("random"):
            works[name] = partial(reduced, row, by_heads, 0)
    seconds = time_interleaved(works, config["timed"]["rounds"])
    return {
        "timed_images": len(pixels),
        "seconds": seconds,
        "milliseconds": {name: 1000 * median(own) / len(pixels) for name, own in seconds.items()},
    }


if __name__ == "__main__":
    main()
