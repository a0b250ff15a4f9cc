"""Marking words by the exact gradient: how much the answer moves with each token, read with all tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from tokensieve.cascade.build import compress
from tokensieve.data.tokenize import Encodings
from tokensieve.errors import ConfigError
from tokensieve.explain.words import Word
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.gradients import token_gradients


class Gradients:
    """The gradients of some encoders, each with its weights and all tokens.

    Args:
        stages: the encoders, as `tokensieve.cascade.build.stages_of` gives them.
    """

    def __init__(self, stages: Sequence[TokensieveForSequenceClassification]) -> None:
        self.stages = stages
        self._whole: dict[int, Any] = {}

    def of(self, stage: int, encodings: Encodings) -> dict[int, float]:
        """Position -> norm of the gradient of one document, as a multiple of its mean without special tokens.

        Args:
            stage: number of the encoder.
            encodings: of one document.

        Raises:
            ConfigError: the encoder has int8 weights, through which there is no gradient.
        """
        model = self.stages[stage]
        if model.config.int8:
            raise ConfigError("gradient: there is none through int8 weights; explain the float32 classifier")
        if stage not in self._whole:
            self._whole[stage] = compress(model, replace(model.settings, prune=None, defer=None))
        inputs = {"input_ids": encodings.input_ids, "special_tokens_mask": encodings.special_tokens_mask}
        if encodings.token_type_ids is not None:
            inputs["token_type_ids"] = encodings.token_type_ids
        tensors: dict[str, Any] = {name: torch.tensor(rows, device=model.device) for name, rows in inputs.items()}
        found = token_gradients(self._whole[stage], **tensors)[0].tolist()
        text = [own for own, special in zip(found, encodings.special_tokens_mask[0], strict=True) if not special]
        mean = sum(text) / len(text) if text else 0.0
        return {position: own / mean if mean else 0.0 for position, own in enumerate(found)}


def overlap_of_words(words: Sequence[Word]) -> float | None:
    """The share of the words that survived which are among as many of those with the highest score.

    None: all survived or none, or they have no scores.
    """
    scored = [word for word in words if word.score is not None]
    survivors = sum(word.survives for word in scored)
    if survivors in (0, len(scored)):
        return None
    best = sorted(scored, key=lambda word: -(word.score or 0.0))[:survivors]
    return sum(word.survives for word in best) / survivors
