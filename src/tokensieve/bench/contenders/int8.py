"""Our models with int8 weights: ranges of activations come from the benchmark's own documents."""

from __future__ import annotations

from typing import Any

import torch

from tokensieve.bench.contenders.contender import Setting
from tokensieve.cascade.build import EncoderClassifier
from tokensieve.model.batch import check_batch
from tokensieve.model.int8 import in_int8, int8_names
from tokensieve.quantize.ranges import ranges_of
from tokensieve.runtime.micro_batches import read_batch

INT8 = "int8"
_FITTED, _FITTED_RANDOM = 64, 8
"""Documents that ranges are fitted to: texts, or random words."""


def quantized(model: EncoderClassifier, setting: Setting) -> EncoderClassifier:
    """The model with int8 weights, and ranges of the setting's texts, or of random words where there are none."""
    longest = setting.max_length or model.config.longest_document
    if setting.texts:
        texts = setting.texts[:_FITTED]
        ids = [setting.backbone.tokenizer(text, truncation=True, max_length=longest)["input_ids"] for text in texts]
    else:
        first, last = setting.backbone.special_ids
        words = torch.randint(1000, model.config.vocab_size, (_FITTED_RANDOM, longest - 2)).tolist()
        ids = [[first, *row, last] for row in words]

    def read(stage: Any) -> None:
        for row in ids:
            read_batch(stage, check_batch(stage.config, torch.tensor([row]), torch.ones(1, len(row), dtype=torch.long)))

    stages = getattr(model, "stages", [model])
    names = list(dict.fromkeys(name for stage in stages for name in int8_names(stage)))
    with torch.inference_mode():
        found = ranges_of(model, names, read)
    made: EncoderClassifier = in_int8(model, names, found)
    return made
