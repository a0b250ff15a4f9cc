"""Documents by which a contender with int8 activations finds their ranges."""

from __future__ import annotations

from collections.abc import Sequence

from tokensieve.data.tokenize import encode
from tokensieve_bench.contenders.contender import Setting
from tokensieve_bench.work import random_ids

_TEXTS = 300  # NNCF's default size of a calibration set
_RANDOM = 16  # random ids are all alike, so few do


def calibration_ids(setting: Setting) -> Sequence[Sequence[int]]:
    """Ids of single documents: the benchmark's first texts, or random ids where it has no texts."""
    backbone, length = setting.backbone, setting.max_length or setting.backbone.ours.longest_document
    if setting.texts:
        ids: Sequence[Sequence[int]] = encode(backbone.tokenizer, list(setting.texts[:_TEXTS]), length).input_ids
        return ids
    return random_ids(backbone, _RANDOM, length, backbone.seed)
