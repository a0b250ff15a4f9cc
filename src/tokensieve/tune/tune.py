"""tune(): a trained classifier and labelled documents -> the classifier that meets a goal, with its frontier.

1. Candidates are made (`candidates`), and each stage of each answers the validation documents once.
2. Thresholds are composed (`compose`); those that another composition beats in time and score are left out.
3. What is left is timed in interleaved rounds beside the dense encoder (`measure`), and the goal chooses a candidate.
4. The frontier of this candidate is timed once more, point by point, and the goal chooses a point of it.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import torch

from tokensieve.backbones.loading import load_config
from tokensieve.cascade.words_first import WordsFirst
from tokensieve.checks import read_object
from tokensieve.data.splits import DataSplits
from tokensieve.data.weights import check_weights
from tokensieve.errors import CheckpointError, ConfigError, DataError
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.runtime.bag_of_words import is_bag_of_words
from tokensieve.runtime.frontier import Frontier
from tokensieve.runtime.load import load, words_first_of
from tokensieve.training.dense_first import dense_folder
from tokensieve.training.files.checkpoints import write_json
from tokensieve.training.files.output import (
    OURS,
    check_output,
    folder_in_the_making,
    open_to_others,
    record_in,
)
from tokensieve.training.fits.bag import fit_bag
from tokensieve.tune.candidates import Workshop, recipe_of
from tokensieve.tune.goal import Goal
from tokensieve.tune.plot import write_plot
from tokensieve.tune.search import Entry, Search

logger = logging.getLogger(__name__)

FEW = 300
"""Fewer validation documents give intervals of several points."""


@dataclass(frozen=True)
class Tuned:
    """The result of `tune`.

    Attributes:
        candidates: names of all that were tried.
        entries: what was timed of them, the slowest first.
        chosen: what was written: its name, and its frontier.
        frontier: of the chosen candidate.
        met: whether the chosen point meets the goal.
    """

    candidates: tuple[str, ...]
    entries: tuple[Entry, ...]
    chosen: str
    frontier: Frontier
    met: bool


def tune(
    model: str | Path,
    splits: DataSplits,
    output: str | Path,
    goal: Goal,
    *,
    dense: str | Path | None = None,
    feature_epochs: int = 0,
    device: torch.device | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Tuned:
    """Choose among what can be made of a trained classifier, and write it with its frontier.

    Args:
        model: folder of a classifier that `tokensieve train` made, float32; a dense one has the most candidates.
        splits: the documents of its training: the training documents fit scores and the bag of words, the validation
            documents choose. Test documents are not read.
        output: folder to make.
        goal: what is asked for.
        dense: folder of the dense classifier that speed and score are compared with; None: the classifier itself if it
            is dense, else the folder `model`.dense that training left beside it.
        feature_epochs: epochs of feature distillation of each preset; 0: none.
        device: that computes; None: CPU.
        overwrite: replace `output` if it is there.
        progress: show bars on stderr.

    Raises:
        ConfigError: `output` is in the way, or there is no dense classifier to compare with.
        CheckpointError: `model` cannot be used.
        DataError: no validation documents, weights by which nothing can be fitted, or other labels than the model's.
    """
    place, place_of_dense = device or torch.device("cpu"), _dense_of(model, dense)
    check_output(output, overwrite, sources=(model, place_of_dense))
    _check_documents(model, splits)
    yardstick = load(place_of_dense, device=str(place))
    recipe = recipe_of(record_in(model), yardstick.engine.max_length)
    parent = Path(output).resolve().parent
    with tempfile.TemporaryDirectory(prefix=f".{Path(output).name}.", suffix=".tune", dir=parent) as folder:
        workshop = Workshop(splits, Path(folder), recipe, feature_epochs, place, progress)
        first = words_first_of(model, splits.label_names)
        words = fit_bag(splits, recipe) if first is None else first.words
        search = Search(yardstick, splits, goal, words, recipe.compared_by)
        every = [entry for own in workshop.candidates(Path(model)) for entry in search.entries(own)]
        entries = search.timed(every)
        best = entries[goal.best([entry.point for entry in entries])]
        frontier = search.frontier([entry for entry in every if entry.classifier is best.classifier])
        _write(Path(output), best, frontier)
    tried = tuple(dict.fromkeys(entry.name for entry in every))
    return Tuned(tried, tuple(entries), best.name, frontier, goal.is_met(frontier.points[frontier.chosen]))


def _dense_of(model: str | Path, dense: str | Path | None) -> Path:
    """The dense classifier to compare with.

    Raises:
        ConfigError: there is none, or the one that is named prunes.
        CheckpointError: a folder cannot be read, or holds no float32 classifier of ours.
    """
    if is_bag_of_words(model):
        raise ConfigError(f"{model}: a bag of words has no encoder to tune: give a classifier that has one")
    config = load_config(model)
    if not isinstance(config, TokensieveConfig):
        raise CheckpointError(f"{model}: holds a {config.model_type!r} model: train a classifier of it first")
    beside = dense_folder(model)
    found = Path(dense) if dense is not None else Path(model) if config.settings.prune is None else beside
    if not found.is_dir():
        raise ConfigError(
            f"{model} prunes, and there is no dense classifier to compare it with in {found}: name one (--dense)"
        )
    if load_config(found).settings.prune is not None:
        raise ConfigError(f"{found} prunes: name a dense classifier to compare with (--dense)")
    return found


def _check_documents(model: str | Path, splits: DataSplits) -> None:
    if not splits.validation:
        raise DataError("there are no validation documents to choose by: give some, or a validation_fraction above 0")
    check_weights(splits.train, "training")
    check_weights(splits.validation, "validation")
    known = load_config(model).label_names
    if tuple(known) != splits.label_names:
        raise DataError(
            f"{model} has {len(known)} labels ({', '.join(known[:3])}...), and the data {len(splits.label_names)} "
            f"({', '.join(splits.label_names[:3])}...): give the data that it was trained on"
        )
    if len(splits.validation) < FEW:
        logger.warning(
            "%d validation documents: intervals are several points wide, and a budget is met by few candidates; give "
            "more (--set data.validation_fraction)",
            len(splits.validation),
        )


def _write(output: Path, best: Entry, frontier: Frontier) -> None:
    """Write the candidate's folder with the thresholds of the chosen point, and the frontier."""
    point = frontier.points[frontier.chosen]
    with folder_in_the_making(output) as folder:
        for file in best.candidate.folder.iterdir():
            named = any(fnmatch(file.name, pattern) for pattern in OURS)
            if named and file.is_file() and not file.name.startswith(("words", "frontier")):
                shutil.copy(file, folder / file.name)
        if point.defer_below is not None:
            config = read_object(folder / "config.json")
            write_json(folder / "config.json", config | {"defer_below": point.defer_below})
        if best.words is not None and point.words is not None:
            WordsFirst(best.words, point.words).save(folder)
        frontier.write(folder)
        write_plot(folder, frontier)
        open_to_others(folder)
