"""Our models with int8 weights: ranges of activations come from the benchmark's own documents."""

from __future__ import annotations

from typing import Any

import torch

from tokensieve.cascade.build import EncoderClassifier
from tokensieve.model.batch import check_batch
from tokensieve.model.int8 import in_int8
from tokensieve.quantize.ranges import names_of, ranges_of
from tokensieve.runtime.micro_batches import read_batch
from tokensieve_bench.contenders.calibration import calibration_ids
from tokensieve_bench.contenders.contender import Setting

INT8 = "int8"


def quantized(model: EncoderClassifier, setting: Setting) -> EncoderClassifier:
    """The model with int8 weights and activations; these have the ranges of the benchmark's documents."""
    ids = calibration_ids(setting)

    def read(stage: Any) -> None:
        for row in ids:
            words = torch.tensor([list(row)])
            read_batch(stage, check_batch(stage.config, words, torch.ones_like(words)))

    names = names_of(model)
    with torch.inference_mode():
        found = ranges_of(model, names, read)
    made: EncoderClassifier = in_int8(model, names, found)
    return made
