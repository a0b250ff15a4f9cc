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
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch

from tokensieve.backbones.loading import load_config
from tokensieve.cascade.words_first import WordsFirst, WordsFirstSettings
from tokensieve.checks import read_object
from tokensieve.data.documents import Document
from tokensieve.data.splits import DataSplits
from tokensieve.errors import CheckpointError, ConfigError, DataError
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.runtime.bag_of_words import is_bag_of_words
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.frontier import Frontier, Point, pareto
from tokensieve.runtime.load import load, words_first_of
from tokensieve.runtime.words_first import engine_like
from tokensieve.training.compare import compare
from tokensieve.training.dense_first import dense_folder
from tokensieve.training.files.checkpoints import write_json
from tokensieve.training.files.output import (
    OURS,
    RECORD,
    check_output,
    folder_in_the_making,
    open_to_others,
    read_record,
)
from tokensieve.training.fits.bag import fit_bag, targets_of, texts_of
from tokensieve.tune.candidates import Candidate, Workshop, recipe_of
from tokensieve.tune.compose import Composition, ask_stages, ask_words, compositions
from tokensieve.tune.goal import Goal
from tokensieve.tune.measure import TEXTS, timings
from tokensieve.tune.plot import write_plot
from tokensieve.words import WordsClassifier

logger = logging.getLogger(__name__)

MOST_TIMED = 12
"""Points that are timed together, at most: those between are known by their neighbours."""
FEW = 300
"""Fewer validation documents give intervals of several points."""


@dataclass(frozen=True)
class Entry:
    """A row of the table: a candidate at some thresholds.

    Attributes:
        name: of the candidate, with the bag of words ahead if there is one.
        classifier: loaded.
        candidate: its folder.
        words: the bag of words ahead; None: there is none.
        point: thresholds and figures.
    """

    name: str
    classifier: Classifier
    candidate: Candidate
    words: WordsClassifier | None
    point: Point


@dataclass(frozen=True)
class Tuned:
    """The result of `tune`.

    Attributes:
        entries: what was timed of all candidates, the slowest first.
        chosen: what was written: its name, and its frontier.
        frontier: of the chosen candidate.
        met: whether the chosen point meets the goal.
    """

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
        DataError: no validation documents, or other labels than the model's.
    """
    place, place_of_dense = device or torch.device("cpu"), _dense_of(model, dense)
    check_output(output, overwrite, sources=(model, place_of_dense))
    _check_documents(model, splits)
    record = read_record(Path(model) / RECORD) if (Path(model) / RECORD).is_file() else {}
    yardstick = load(place_of_dense, device=str(place))
    recipe = recipe_of(record, yardstick.engine.max_length)
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
    return Tuned(tuple(entries), best.name, frontier, goal.is_met(frontier.points[frontier.chosen]))


class Search:
    """Finds the entries of candidates, and times them.

    Args:
        dense: the yardstick.
        splits: documents.
        goal: what is asked for.
        words: the bag of words.
        metric: the score, as `compare` takes it.
    """

    def __init__(self, dense: Classifier, splits: DataSplits, goal: Goal, words: WordsClassifier, metric: str) -> None:
        self.dense, self.documents, self.goal, self.words, self.metric = dense, splits.validation, goal, words, metric
        self.truth = targets_of(splits, splits.validation)
        self.kind = words.problem_type
        self.say = ask_words(words, self.documents)
        self.texts = texts_of(_spread(self.documents, TEXTS))
        answers = ask_stages(dense, self.documents)
        self.dense_logits, self.dense_seconds = answers.logits[-1].float().numpy(), answers.seconds[-1]

    def entries(self, candidate: Candidate) -> list[Entry]:
        """The compositions of a candidate that no other one of it beats, alone and behind the bag of words."""
        plain = load(candidate.folder, device=str(self.dense.model.device))
        answers = ask_stages(plain, self.documents)
        found = []
        for words in (None, self.words):
            say = None if words is None else self.say
            made = list(compositions(answers, say, torch.from_numpy(self.truth), self.kind))
            name = candidate.name if words is None else f"words -> {candidate.name}"
            classifier = _behind(plain, words, made[0].words)
            found += [Entry(name, classifier, candidate, words, point) for point in self._points(made)]
        logger.info("%s: %d points", candidate.name, len(found))
        return found

    def timed(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries that no other one beats, with their measured speed, the slowest first."""
        ahead = pareto([(1 / entry.point.speed, entry.point.interval[0]) for entry in entries])
        chosen = self._thinned([entries[row] for row in ahead])
        pairs = [(entry.classifier, entry.point) for entry in chosen]
        found = timings(self.dense, pairs, self.texts, self.goal.latency_ms is not None)
        points = [replace(entry.point, **timing._asdict()) for entry, timing in zip(chosen, found, strict=True)]
        rows = [replace(entry, point=point) for entry, point in zip(chosen, points, strict=True)]
        return sorted(rows, key=lambda entry: entry.point.speed)

    def frontier(self, entries: Sequence[Entry]) -> Frontier:
        """The frontier of one classifier's entries, measured, with the point that the goal chooses."""
        points = [entry.point for entry in self.timed(entries)]
        measured = {
            "goal": str(self.goal),
            "metric": self.metric,
            "documents": len(self.documents),
            "dense_score": compare(self.dense_logits, self.dense_logits, self.truth, self.metric).floor,
            "dense_documents_per_second": points[0].documents_per_second / points[0].speed,
            "dtype": entries[0].classifier.dtype,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        return Frontier(tuple(points), self.goal.best(points), measured)

    def _points(self, made: Sequence[Composition]) -> list[Point]:
        scores = [compare(own.logits.numpy(), self.dense_logits, self.truth, "accuracy").floor for own in made]
        kept = pareto([(own.seconds, score) for own, score in zip(made, scores, strict=True)])
        return [self._point(made[row]) for row in kept]

    def _point(self, own: Composition) -> Point:
        """A point with the speed that the stages' seconds let expect."""
        found = compare(own.logits.numpy(), self.dense_logits, self.truth, self.metric)
        return Point(
            defer_below=own.defer_below,
            words=own.words,
            shares=own.shares,
            documents_per_second=len(self.documents) / own.seconds,
            speed=self.dense_seconds / own.seconds,
            score=found.floor,
            difference=found.difference,
            interval=found.interval,
        )

    def _thinned(self, entries: list[Entry]) -> list[Entry]:
        """At most `MOST_TIMED` of them: evenly spread, and the one that the goal chooses by the expected speed."""
        if len(entries) <= MOST_TIMED:
            return entries
        rows = {round(row) for row in np.linspace(0, len(entries) - 1, MOST_TIMED - 1)}
        if self.goal.latency_ms is None:
            rows.add(self.goal.best([entry.point for entry in entries]))
        return [entries[row] for row in sorted(rows)]


def _behind(plain: Classifier, words: WordsClassifier | None, rule: WordsFirstSettings | None) -> Classifier:
    """The classifier behind a bag of words, or without the one that it has."""
    first = None if words is None or rule is None else WordsFirst(words, rule)
    return Classifier(engine_like(plain.engine, plain.model, first))


def _spread(documents: Sequence[Document], most: int) -> list[Document]:
    """At most so many documents, evenly spread, since files are often sorted by label."""
    rows = np.linspace(0, len(documents) - 1, min(most, len(documents)))
    return [documents[round(row)] for row in rows]


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
