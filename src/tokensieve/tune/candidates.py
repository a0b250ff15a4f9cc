"""Candidates: classifiers made of a trained dense one, each in a folder, in float32, bfloat16 and int8.

Nothing is trained on labels. Scores are fitted to the dense classifier's gradients, the head's last layer is refitted,
and, if asked for, norms and biases are distilled from its document vectors.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from tokensieve.backbones.loading import load_config
from tokensieve.config import ReductionConfig
from tokensieve.data.splits import DataSplits
from tokensieve.errors import ConfigError
from tokensieve.kernels.int8.instructions import has_int8
from tokensieve.quantize.quantize import quantize
from tokensieve.runtime.precision import is_native
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train

logger = logging.getLogger(__name__)

PRESETS = ("balanced", "fast", "fastest")
"""Presets that are made of a dense classifier. Thresholds reach what lies between them."""
DEFERRED_LOSS = 0.5
"""Points that the first stage of a preset with two may be expected to lose; thresholds are chosen anew afterwards."""


@dataclass(frozen=True)
class Candidate:
    """An encoder.

    Attributes:
        name: for people.
        folder: of the classifier.
        dtype: that it is read in, as `load` takes it; int8 weights are read as such.
    """

    name: str
    folder: Path
    dtype: str = "float32"


@dataclass(frozen=True)
class Workshop:
    """How candidates are made.

    Attributes:
        splits: documents; the test documents are not read.
        folder: where their folders are made.
        recipe: of the dense classifier's run: seed, length, score.
        feature_epochs: of feature distillation; 0: none, in a fraction of the time.
        device: that computes.
        progress: show bars.
    """

    splits: DataSplits
    folder: Path
    recipe: Recipe
    feature_epochs: int
    device: torch.device
    progress: bool

    def candidates(self, model: Path) -> Iterator[Candidate]:
        """The classifier itself; if it is dense, the presets made of it; and each of them in the faster types.

        These are bfloat16 and, on a CPU, int8, where there are instructions for them.
        """
        for candidate in self._encoders(model):
            yield candidate
            if load_config(candidate.folder).int8 is not None:
                continue
            if is_native(torch.bfloat16, self.device):
                yield Candidate(f"{candidate.name}, bfloat16", candidate.folder, "bfloat16")
            if self.device.type == "cpu" and has_int8():
                yield from self._quantized(candidate)

    def _encoders(self, model: Path) -> Iterator[Candidate]:
        if load_config(model).settings.prune is not None:
            yield Candidate("the classifier", model)
            return
        yield Candidate("dense", model)
        for preset in PRESETS:
            logger.info("%s: made of the dense classifier", preset)
            yield Candidate(preset, self._preset(model, preset))

    def _preset(self, dense: Path, preset: str) -> Path:
        settings, output = ReductionConfig.preset(preset), self.folder / preset
        pooled = replace(settings, pooling=load_config(dense).settings.resolved_pooling)
        recipe = replace(
            self.recipe,
            epochs=0,
            feature_epochs=self.feature_epochs,
            max_expected_loss=DEFERRED_LOSS if settings.defer is not None else None,
        )
        options: dict[str, Any] = {"device": self.device, "progress": self.progress}
        train(str(dense), pooled, self.splits, output, recipe, **options)
        return output

    def _quantized(self, candidate: Candidate) -> Iterator[Candidate]:
        documents = [replace(own, label=None) for own in (*self.splits.validation, *self.splits.unlabelled)]
        output = self.folder / f"{candidate.folder.name}-int8"
        try:
            quantize(candidate.folder, output, documents)
        except ConfigError as error:  # the gate, with its figures
            logger.info("%s: no candidate in int8: %s", candidate.name, error)
            return
        yield Candidate(f"{candidate.name}, int8", output)


def recipe_of(record: dict[str, Any], max_length: int) -> Recipe:
    """What candidates take from the recipe of the dense classifier's run: the rest trains on labels.

    Args:
        record: of that run; empty, if there is none.
        max_length: of the dense classifier.
    """
    names = ("seed", "select", "class_weights", "calibrate", "batch_size")
    found = record.get("recipe")
    known = {name: value for name, value in found.items() if name in names} if isinstance(found, Mapping) else {}
    return replace(Recipe.from_record(known), max_length=max_length, floors="none")
