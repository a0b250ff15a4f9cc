"""Search: each candidate's thresholds that no other ones beat, and their speed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from tokensieve.cascade.words_first import WordsFirst, WordsFirstSettings
from tokensieve.data.documents import Document
from tokensieve.data.splits import DataSplits
from tokensieve.data.weights import weights_of
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.frontier import Frontier, Point, pareto
from tokensieve.runtime.load import load
from tokensieve.runtime.words_first import engine_like
from tokensieve.training.compare import Comparison, Thresholds, compare, score
from tokensieve.training.fits.bag import targets_of, texts_of
from tokensieve.tune.candidates import Candidate
from tokensieve.tune.compose import Composition, ask_stages, ask_words, compositions
from tokensieve.tune.goal import Goal
from tokensieve.tune.measure import TEXTS, timings
from tokensieve.words import WordsClassifier

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

MOST_TIMED = 12
"""Points that are timed together, at most: those between are known by their neighbours."""


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


class Search:
    """Finds the entries of candidates, and times them.

    Args:
        dense: the yardstick; a bag of words ahead of it is left out.
        splits: documents.
        goal: what is asked for.
        words: the bag of words.
        metric: the score, as `compare` takes it.
    """

    def __init__(self, dense: Classifier, splits: DataSplits, goal: Goal, words: WordsClassifier, metric: str) -> None:
        self.dense = _behind(dense, None, None)
        self.documents, self.goal, self.words, self.metric = splits.validation, goal, words, metric
        self.truth, self.weights = targets_of(splits, splits.validation), weights_of(splits.validation)
        self.kind = words.problem_type
        self.say = ask_words(words, self.documents)
        self.texts = texts_of(_spread(self.documents, TEXTS))
        answers = ask_stages(dense, self.documents)
        self.dense_logits = (answers.logits[-1].float() / answers.temperature).numpy()
        self.dense_thresholds, self.dense_seconds = answers.thresholds, answers.seconds[-1]

    def entries(self, candidate: Candidate) -> list[Entry]:
        """The compositions of a candidate that no other one of it beats, alone and behind the bag of words."""
        plain = load(candidate.folder, device=str(self.dense.model.device), dtype=candidate.dtype)
        answers = ask_stages(plain, self.documents)
        truth, weights = torch.from_numpy(self.truth), None if self.weights is None else torch.from_numpy(self.weights)
        found = []
        for words in (None, self.words):
            say = None if words is None else self.say
            made = list(compositions(answers, say, truth, self.kind, weights))
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
            "dense_score": self._score(self.dense_logits, self.dense_thresholds),
            "dense_documents_per_second": points[0].documents_per_second / points[0].speed,
            "dtype": entries[0].classifier.dtype,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        }
        return Frontier(tuple(points), self.goal.best(points), measured)

    def _points(self, made: Sequence[Composition]) -> list[Point]:
        kept = pareto([(own.seconds, self._score(own.logits.numpy(), own.thresholds)) for own in made])
        return [self._point(made[row]) for row in kept]

    def _score(self, logits: NDArray[np.float32], thresholds: Thresholds) -> float:
        """The score that the goal is about."""
        return score(logits, self.truth, self.metric, self.weights, thresholds)

    def _point(self, own: Composition) -> Point:
        limits = (own.thresholds, self.dense_thresholds)
        found = compare(own.logits.numpy(), self.dense_logits, self.truth, self.metric, self.weights, limits)
        return expected_point(own, found, len(self.documents), self.dense_seconds)

    def _thinned(self, entries: list[Entry]) -> list[Entry]:
        """At most `MOST_TIMED` of them: evenly spread, and the one that the goal chooses by the expected speed."""
        if len(entries) <= MOST_TIMED:
            return entries
        rows = {round(row) for row in np.linspace(0, len(entries) - 1, MOST_TIMED - 1)}
        if self.goal.latency_ms is None:
            rows.add(self.goal.best([entry.point for entry in entries]))
        return [entries[row] for row in sorted(rows)]


def expected_point(own: Composition, found: Comparison, documents: int, dense_seconds: float) -> Point:
    """A point with the speed that the stages' seconds let expect.

    Args:
        own: thresholds, and what they are expected to come to.
        found: its score beside that of the dense encoder.
        documents: how many were scored.
        dense_seconds: of the dense encoder for them.
    """
    return Point(
        defer_below=own.defer_below,
        words=own.words,
        shares=own.shares,
        documents_per_second=documents / own.seconds,
        speed=dense_seconds / own.seconds,
        score=found.floor,
        difference=found.difference,
        interval=found.interval,
    )


def _behind(plain: Classifier, words: WordsClassifier | None, rule: WordsFirstSettings | None) -> Classifier:
    """The classifier behind a bag of words, or without the one that it has."""
    first = None if words is None or rule is None else WordsFirst(words, rule)
    return Classifier(engine_like(plain.engine, plain.model, first))


def _spread(documents: Sequence[Document], most: int) -> list[Document]:
    """At most so many documents, evenly spread, since files are often sorted by label."""
    rows = np.linspace(0, len(documents) - 1, min(most, len(documents)))
    return [documents[round(row)] for row in rows]
