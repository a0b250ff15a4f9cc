"""Training in two stages, where the settings start from a trained classifier: dense first, then reduced, taught by it.

The dense classifier stays beside the output, as `output`.dense: the fallback, and what the other is compared with.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokensieve.config import PTCConfig
from tokensieve.data.splits import DataSplits
from tokensieve.training.importance import why_no_start
from tokensieve.training.output import check_output
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train

logger = logging.getLogger(__name__)


def train_in_stages(
    base: str | Path,
    settings: PTCConfig,
    splits: DataSplits,
    output: str | Path,
    recipe: Recipe | None = None,
    **options: Any,
) -> dict[str, Any]:
    """`train`, after a dense stage by the same recipe where the settings need a trained classifier and `base` is none.

    With a learned score the classifier that it starts from is also the teacher, unless the recipe names another.

    Args:
        base: folder or hub name of the checkpoint to start from.
        settings: the reduction settings.
        splits: training, validation and test documents; the last are not looked at.
        output: folder to make; a dense stage makes `output`.dense beside it.
        recipe: of every stage; None: the paper's.
        options: as `train` takes them.

    Returns:
        The record of the last stage.

    Raises:
        TokensieveError: as `train`.
    """
    recipe = recipe or Recipe()
    if settings.score != "learned" or settings.pruning == "none":
        return train(base, settings, splits, output, recipe, **options)
    reason = why_no_start(base, settings, splits.label_names)
    if reason is not None:
        check_output(output, options.get("overwrite", False), options.get("resume", False))
        logger.info("first a dense classifier, %s, as %s", dense_folder(output), reason.partition(":")[0])
        dense = PTCConfig(pruning="none", pooling=settings.resolved_pooling)
        alone = replace(recipe, teacher=None, tighten=0.0)
        train(base, dense, splits, dense_folder(output), alone, **options, keep_finished=True)
        base = dense_folder(output)
    recipe = recipe if recipe.teacher else replace(recipe, teacher=str(base))
    return train(base, settings, splits, output, recipe, **options)


def dense_folder(output: str | Path) -> Path:
    """Where the dense stage leaves its classifier."""
    path = Path(output).resolve()
    return path.with_name(path.name + ".dense")
