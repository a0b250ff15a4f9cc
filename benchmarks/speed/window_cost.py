"""What attention costs in a local layer of ModernBERT-base, at two lengths -> results/window/<name>.json.

    python benchmarks/speed/window_cost.py --threads 1

The layer's attention is timed with its projections and without them (the window alone); rounds are interleaved. The bar
of both is 2.3 times the time for twice the tokens. `--shape modernbert-tiny --lengths 128 256` tries it out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from statistics import median

import torch

from tokensieve.backbones.source import source_config
from tokensieve.kernels.window import Rows, attend_within
from tokensieve.model.attention import SelfAttention
from tokensieve.model.positions import Places, rotations
from tokensieve.tokens import Tokens
from tokensieve_bench.backbone import SHAPES, shape_config
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS
from tokensieve_bench.rounds import time_interleaved

BAR = 2.3
WINDOW_ALONE = "window alone"


def main() -> None:
    """Time, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="modernbert-base")
    parser.add_argument("--lengths", type=int, nargs=2, default=[4096, 8192])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--name", default="modernbert-base")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    works = {f"{what}, {length}": call for length in arguments.lengths for what, call in calls(arguments.shape, length)}
    with torch.inference_mode():
        timed = time_interleaved(works, arguments.rounds, print)
    short, long = arguments.lengths
    ratios = {
        what: median(timed[f"{what}, {long}"]) / median(timed[f"{what}, {short}"]) for what in ("layer", WINDOW_ALONE)
    }
    record = {
        "shape": arguments.shape,
        "lengths": arguments.lengths,
        "seconds": timed,
        "ratio": ratios,
        "bar": BAR,
        "machine": machine(arguments.threads),
    }
    target = RESULTS / "window" / f"{arguments.name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for what, ratio in ratios.items():
        print(
            f"{what}: {ratio:.2f} times the time for twice the tokens ({'within' if ratio <= BAR else 'above'} {BAR})"
        )


def calls(shape: str, length: int) -> list[tuple[str, Callable[[], object]]]:
    """A local layer's attention on one document of random vectors, and the window's part of it."""
    config = source_config(shape_config(shape), shape)
    blocks = config.block
    torch.manual_seed(0)
    layer = SelfAttention(config, blocks.local_layers[0]).eval()
    values, origin = torch.randn(length, config.hidden_size), torch.arange(length)
    tokens = Tokens(values, (length,), origin, torch.zeros(length, dtype=torch.bool), (0,))
    width = config.hidden_size // config.num_attention_heads
    base = blocks.local_rotary_base or blocks.rotary_base
    assert base is not None
    assert blocks.window is not None
    rotation = rotations(base, width, length, values.device)
    places = Places(longest=length, rotation=rotation, local_rotation=rotation)
    heads = values.unflatten(1, (config.num_attention_heads, width))
    rows = Rows(origin.unsqueeze(0), (length,))
    return [
        ("layer", partial(layer, tokens, None, places, [True])),
        (WINDOW_ALONE, partial(attend_within, blocks.window, heads, heads, heads, rows, None)),
    ]


if __name__ == "__main__":
    main()
