"""Offline search: one setting (s, q, l) of quantile pruning for many few-shot tasks, for new tasks without training.

Source: Qi et al., "Practical token pruning for foundation models in few-shot conversational virtual assistant systems"
(arXiv 2408.11799), by its abstract: a setting is found once by a search over many intent tasks. Differs in that the
meaning of s (least number of tokens), q (quantile) and l (layer) is inferred, and that the choice may go by FLOPs.

And a token that leaves may be merged into a similar one (m), which the source does not do.

A document's vector depends on no other document. So each (q, l, m) encodes all documents once, and every s follows from
these vectors and the unpruned ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from statistics import fmean, median
from typing import Any, Literal, NamedTuple

import numpy as np

from tokensieve.data.documents import Document
from tokensieve.errors import ConfigError
from tokensieve.runtime.classifier import scaled
from tokensieve.runtime.results import Embedded
from tokensieve.runtime.sentences import SentenceEncoder
from tokensieve.tune.configurations import Configuration, Encoders, Grid
from tokensieve.tune.few_shot import FewShotTask
from tokensieve.tune.measure import paired_ratios

Cost = Literal["flops", "seconds"]
MOST_TIMED = 12
"""Configurations that are timed, at most: those with the fewest FLOPs among those within the tolerance."""
ROUNDS = 5
TEXTS = 256
"""Most texts of a round, of all tasks together."""


@dataclass(frozen=True)
class Trial:
    """What one configuration does to every task.

    Attributes:
        configuration: None: nothing is pruned.
        right: by shots, then by task: how many draws get each test document right, [T].
        flops: by task, FLOPs of its test documents.
    """

    configuration: Configuration | None
    right: Mapping[int, Mapping[str, np.ndarray]]
    flops: Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """A configuration beside the unpruned encoder.

    Attributes:
        configuration: None: nothing is pruned.
        changes: by task, points of mean accuracy less that of the unpruned encoder.
        flops: share of the unpruned encoder's FLOPs, the mean of the tasks.
        seconds: share of the unpruned encoder's time, from text to vector; None: not timed.
    """

    configuration: Configuration | None
    changes: Mapping[str, float]
    flops: float
    seconds: float | None = None

    @property
    def change(self) -> float:
        """Mean of the tasks, in points."""
        return fmean(self.changes.values())

    def is_within(self, tolerance: float, every_task: bool) -> bool:
        """Whether it loses at most so many points on average, and on every task if asked for."""
        found = [self.change, *self.changes.values()] if every_task else [self.change]
        return min(found) >= -tolerance - 1e-9  # sums of floats


class _Read(NamedTuple):
    """Documents as an encoder reads them: vectors [N, d] of length 1, tokens [N], FLOPs [N]."""

    vectors: np.ndarray
    lengths: np.ndarray
    flops: np.ndarray


def trials(
    encoders: Encoders,
    tasks: Sequence[FewShotTask],
    encoded: Sequence[Configuration],
    min_lengths: Sequence[int],
    shots: Sequence[int],
) -> Iterator[Trial]:
    """Try the unpruned encoder first, then each configuration with every s.

    Args:
        encoders: of the checkpoint.
        tasks: with as many shots as are asked for.
        encoded: configurations with an s of 0, such as `Grid.without_length` gives.
        min_lengths: values of s.
        shots: numbers of shots.
    """
    documents = [document for task in tasks for document in task.documents]
    dense = _read(encoders.by(None), documents)
    yield _trial(None, dense, tasks, shots)
    for configuration in encoded:
        pruned = _read(encoders.by(configuration), documents)
        for least in min_lengths:
            long = dense.lengths >= least
            mixed = _Read(
                np.where(long[:, None], pruned.vectors, dense.vectors),
                dense.lengths,
                np.where(long, pruned.flops, dense.flops),
            )
            yield _trial(configuration._replace(min_length=least), mixed, tasks, shots)


def row_of(trial: Trial, dense: Trial, shots: int, tasks: Sequence[FewShotTask]) -> Row:
    """A trial beside that of the unpruned encoder, on some of its tasks."""
    changes = {
        task.name: 100 * float(np.mean(trial.right[shots][task.name] - dense.right[shots][task.name])) / len(task.draws)
        for task in tasks
    }
    flops = fmean(trial.flops[task.name] / dense.flops[task.name] for task in tasks)
    return Row(trial.configuration, changes, flops)


def choose(rows: Sequence[Row], tolerance: float, by: Cost = "flops", every_task: bool = False) -> Row:
    """The cheapest row within the tolerance; the unpruned encoder is among the rows, and always is.

    Args:
        rows: of a search; by seconds, those that were not timed are left out.
        tolerance: points that may be lost.
        by: "flops" or "seconds".
        every_task: the tolerance holds for each task, and not for their mean alone.
    """
    fit = [row for row in rows if row.is_within(tolerance, every_task) and getattr(row, by) is not None]
    return min(fit, key=lambda row: (getattr(row, by), -row.change))


def timed(encoders: Encoders, rows: Sequence[Row], tasks: Sequence[FewShotTask]) -> list[Row]:
    """The rows with the time of each, beside the unpruned encoder in rounds by turns, on texts of all tasks."""
    each = max(1, TEXTS // len(tasks))
    texts = [task.documents[place].content for task in tasks for place in _spread(task.test, each)]
    dense = encoders.by(None)
    found = []
    for row in rows:
        if row.configuration is None:
            found.append(replace(row, seconds=1.0))
            continue
        ratios = paired_ratios(encoders.by(row.configuration), dense, texts, ROUNDS)
        found.append(replace(row, seconds=median(ratios)))
    return found


def search(
    encoders: Encoders,
    tasks: Sequence[FewShotTask],
    grid: Grid,
    *,
    shots: int,
    tolerance: float,
    by: Cost = "seconds",
    every_task: bool = False,
    progress: Any = None,
) -> tuple[list[Row], Row]:
    """Try the grid on all tasks, and choose.

    Args:
        encoders: of the checkpoint.
        tasks: of which each has its own name.
        grid: the configurations.
        shots: documents a label.
        tolerance: points that may be lost.
        by: what is to be least: "seconds", which are measured here, or "flops", which are counted.
        every_task: as in `choose`.
        progress: wraps the stream of configurations, such as tqdm.

    Returns:
        The rows, the unpruned encoder first; and the chosen one.

    Raises:
        ConfigError: two tasks of one name, or a layer that the encoder has not.
    """
    names = [task.name for task in tasks]
    if len(set(names)) < len(names) or not names:
        raise ConfigError(f"tasks {', '.join(names) or 'missing'}: give one or more, each with a name of its own")
    made = trials(encoders, tasks, grid.without_length(), grid.min_lengths, (shots,))
    dense = next(made)
    rest = made if progress is None else progress(made)
    rows = [row_of(trial, dense, shots, tasks) for trial in (dense, *rest)]
    if by == "seconds":
        fit = sorted((row for row in rows if row.is_within(tolerance, every_task)), key=lambda row: row.flops)
        known = {row.configuration: row for row in timed(encoders, [*fit[:MOST_TIMED], rows[0]], tasks)}
        rows = [known.get(row.configuration, row) for row in rows]
    return rows, choose(rows, tolerance, by, every_task)


def _read(encoder: SentenceEncoder, documents: Sequence[Document]) -> _Read:
    windows: list[Embedded[Document]] = list(encoder.engine.embed_windows(documents))
    lengths = [length for window in windows for length in window.lengths]
    kept = [counts for window in windows for counts in window.kept]
    vectors = np.concatenate([scaled(window.vectors, True) for window in windows])
    return _Read(vectors, np.array(lengths), np.array(encoder.flops(lengths, kept)))


def _trial(
    configuration: Configuration | None, read: _Read, tasks: Sequence[FewShotTask], shots: Sequence[int]
) -> Trial:
    right: dict[int, dict[str, np.ndarray]] = {number: {} for number in shots}
    flops = {}
    for task, (start, end) in zip(tasks, _places(tasks), strict=True):
        flops[task.name] = float(read.flops[start:end][task.test].sum())
        for number in shots:
            right[number][task.name] = task.right(read.vectors[start:end], number)
    return Trial(configuration, right, flops)


def _places(tasks: Sequence[FewShotTask]) -> list[tuple[int, int]]:
    """Where the documents of each task begin and end among those of all."""
    return list(pairwise([0, *accumulate(len(task.documents) for task in tasks)]))


def _spread(places: np.ndarray, most: int) -> list[int]:
    rows = np.linspace(0, len(places) - 1, min(most, len(places)))
    return [int(places[round(row)]) for row in rows]
