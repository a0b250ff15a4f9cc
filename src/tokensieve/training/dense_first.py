"""Two runs: first a dense classifier, then the reduced one, which starts from it and learns from it.

The dense classifier stays beside the output, as `output`.dense: the fallback, and the yardstick of the reduced one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokensieve.config import ReductionConfig
from tokensieve.data.splits import DataSplits
from tokensieve.errors import ConfigError
from tokensieve.training.files.output import RECORD, can_resume, check_output, check_sources, part_of
from tokensieve.training.job import TrainingJob
from tokensieve.training.recipe import Recipe
from tokensieve.training.start import why_no_classifier
from tokensieve.training.train import check_job, train

logger = logging.getLogger(__name__)

SECOND_RATE = 0.5
"""Learning rate of the reduced run, as a multiple of the dense one's. The reduced run starts from weights that
already fit the training documents, and the same rate costs it accuracy (docs/log/2026-11-26.md)."""


def train_dense_first(
    base: str | Path,
    settings: ReductionConfig,
    splits: DataSplits,
    output: str | Path,
    recipe: Recipe | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """`train`, with a dense run before it if the settings need a trained classifier and `base` is none.

    Both runs have the same recipe. If the score is fitted to a classifier, that one is also the teacher, unless the
    recipe names another. After a dense run, the reduced one has `SECOND_RATE` times the recipe's learning rate.

    Args:
        base: folder or hub name of the checkpoint to start from.
        settings: the reduction settings.
        splits: training, validation and test documents; the last are not read.
        output: folder to make; a dense run makes `output`.dense beside it.
        recipe: of both runs, except for the learning rate of the second; None: the paper's.
        overwrite: replace `output` and what the dense run made, and discard interrupted runs.
        resume: continue in the run that was interrupted; a finished dense run is not repeated.
        options: as `train` takes them.

    Returns:
        The record of the last run.

    Raises:
        TokensieveError: as `train`.
        ConfigError: the dense run's folder is there already, or is `base`.
    """
    recipe = recipe or Recipe()
    ways: dict[str, Any] = {"overwrite": overwrite, "resume": resume}
    if not needs_a_classifier(settings):
        return train(base, settings, splits, output, recipe, **ways, **options)
    reason = why_no_classifier(base, splits.label_names)
    if reason is not None:
        dense = dense_folder(output)
        second = check_places(base, output, dense, ways)
        check_sources(output, base, recipe.teacher)
        check_place_of_teacher(recipe.teacher, output, dense)
        check_job(TrainingJob(base, settings, splits, output, recipe))  # of the reduced run, before the dense one
        logger.info("%s: first a dense one, %s", reason, dense)
        plain = ReductionConfig(prune=None, pooling=settings.resolved_pooling)
        labelled, dense_options = _without_unlabelled(splits, options)
        dense_options |= {**ways, "keep_finished": True}
        train(base, plain, labelled, dense, _recipe_of_dense(recipe), **dense_options)
        base, ways = dense, second
        recipe = replace(recipe, learning_rate=recipe.learning_rate * SECOND_RATE)
    recipe = recipe if recipe.teacher else replace(recipe, teacher=str(base))
    return train(base, settings, splits, output, recipe, **ways, **options)


def _recipe_of_dense(recipe: Recipe) -> Recipe:
    """The recipe without what belongs to the reduced run."""
    return replace(
        recipe,
        teacher=None,
        pruning_warmup=0.0,
        length_drop=0.0,
        feature_epochs=0,
        gate_epochs=0,
        max_expected_loss=None,
        words_first=None,
        floors="none",
    )


def needs_a_classifier(settings: ReductionConfig) -> bool:
    """Whether the settings' score or combining module is fitted to a trained classifier."""
    cells = (None if settings.prune is None else settings.prune.score, settings.combine)
    return any(cell is not None and cell.fitted for cell in cells)


def _without_unlabelled(splits: DataSplits, options: Mapping[str, Any]) -> tuple[DataSplits, dict[str, Any]]:
    """Splits and options of the dense run, which reads no documents without labels and does not record any."""
    tallies = {name: tally for name, tally in splits.tallies.items() if name != "unlabelled"}
    reading = options.get("reading")
    dense_options = {**options, "reading": None if reading is None else {**reading, "unlabelled": None}}
    return replace(splits, unlabelled=(), tallies=tallies), dense_options


def dense_folder(output: str | Path) -> Path:
    """Where the dense run leaves its classifier."""
    path = Path(output).resolve()
    return path.with_name(path.name + ".dense")


def check_place_of_teacher(teacher: str | None, output: str | Path, dense: Path) -> None:
    """Refuse a teacher that the dense run would replace by its own classifier before it is asked.

    Raises:
        ConfigError: names it.
    """
    check_sources(dense, teacher)
    if teacher is not None and Path(teacher).resolve() == dense:
        raise ConfigError(
            f"teacher {teacher} is where the dense stage of output {output} goes: name another output, or start from "
            f"it (--model {teacher})"
        )


def check_places(base: str | Path, output: str | Path, dense: Path, ways: dict[str, Any]) -> dict[str, Any]:
    """Refuse folders that are in the way, before anything is trained; and say how the second run treats its output.

    An `output` that is older than its dense run was to be overwritten by the run that is resumed.

    Raises:
        ConfigError: as `train_dense_first`, and as `check_output`.
    """
    if Path(base).resolve() == dense:
        raise ConfigError(
            f"model {base} is where the dense stage of output {output} goes, and has other labels than the data: "
            "name another output"
        )
    if (dense / RECORD).is_file() and not any(ways.values()):
        raise ConfigError(
            f"{dense}, which the dense stage of output {output} makes, exists: start from it (--model {dense.name}), "
            "go on with an interrupted run (--resume), or replace it (--overwrite)"
        )
    begun = [place for place in (dense / RECORD, part_of(dense)) if place.exists()]
    done = Path(output) / RECORD
    waiting = ways["resume"] and done.is_file() and not can_resume(Path(output).resolve())
    if waiting and any(place.stat().st_mtime > done.stat().st_mtime for place in begun):
        return {"overwrite": True, "resume": False}
    check_output(output, **ways)
    return ways
