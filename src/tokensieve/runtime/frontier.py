"""The frontier of a classifier: what it reaches in speed and score by its thresholds alone, as frontier.json holds it.

`tokensieve tune` measures it. `load(folder, speed=...)` moves along it: the weights stay, the thresholds change.
"""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tokensieve.backbones.loading import file_in
from tokensieve.cascade.configuration import CascadeConfig
from tokensieve.cascade.words_first import WordsFirstSettings
from tokensieve.checks import SHARE, check_values, is_number, list_of, number, read_object, shown
from tokensieve.errors import CheckpointError, ConfigError
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.precision import AUTO
from tokensieve.runtime.words_first import engine_like

logger = logging.getLogger(__name__)

FRONTIER = "frontier.json"
FORMAT = 1
NAMED = ("accurate", "balanced", "fastest")
"""Names of points: the surest score, the point that was chosen when the frontier was measured, the highest speed."""

_POSITIVE = number(lambda value: value > 0, "a number above 0")
_DIFFERENCE = number(lambda value: -1 <= value <= 1, "a number in [-1, 1]")
_CHECKS = {
    "defer_below": SHARE.or_none(),
    "documents_per_second": _POSITIVE,
    "speed": _POSITIVE,
    "latency_ms": _POSITIVE.or_none(),
    "score": SHARE,
    "difference": _DIFFERENCE,
    "interval": list_of(_DIFFERENCE, "numbers in [-1, 1]"),
}


@dataclass(frozen=True)
class Point:
    """Thresholds, and what they come to.

    Attributes:
        defer_below: confidence below which the encoder defers to the second one; None: there is no second one.
        words: the rule of the bag of words ahead; None: there is none.
        shares: of the measured documents, those that each stage answers, by name of the stage.
        documents_per_second: from text to label, tokenizing included, of the documents of a sorted stream.
        speed: times the dense encoder, by the median of paired rounds.
        score: on the validation documents.
        difference: the score less that of the dense encoder on the same documents, in [-1, 1].
        interval: of the difference, 95 %.
        latency_ms: the 95th percentile of documents that are read one at a time; None: it was not measured.
    """

    defer_below: float | None
    words: WordsFirstSettings | None
    shares: Mapping[str, float]
    documents_per_second: float
    speed: float
    score: float
    difference: float
    interval: tuple[float, float]
    latency_ms: float | None = None

    def apply(self, classifier: Classifier) -> None:
        """Set the thresholds of a classifier whose frontier this point is of."""
        config, first = classifier.model.config, classifier.engine.words_first
        if isinstance(config, CascadeConfig):
            config.defer_below = self.defer_below
        if first is not None and self.words is not None:
            first.set_rule(self.words)

    def view(self, classifier: Classifier) -> Classifier:
        """The same classifier at these thresholds: it shares the weights, and the given one stays as it is."""
        model, first = classifier.model, classifier.engine.words_first
        if isinstance(model.config, CascadeConfig):
            model = copy.copy(model)  # modules and tensors are the same
            model.config = copy.copy(model.config)
        other = Classifier(engine_like(classifier.engine, model, copy.copy(first)))
        self.apply(other)
        return other

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self) | {"interval": list(self.interval)}


@dataclass(frozen=True)
class Frontier:
    """Points of one classifier, and the measurement that they come from.

    Attributes:
        points: the slowest first.
        chosen: number of the point that was chosen.
        measured: metric, documents, score and speed of the dense encoder, machine and versions.
    """

    points: tuple[Point, ...]
    chosen: int
    measured: Mapping[str, Any]

    def at(self, speed: str | float, most: float | None = None) -> Point:
        """The point that has a name of `NAMED`, or that reaches a speed with the surest score.

        Args:
            speed: the name; or how many times as fast as the dense encoder the point is at least: 8, "8" or "8x".
            most: points that are faster are left out, unless all are; None: none is.

        Raises:
            ConfigError: neither a name nor a number above 0, or no point is as fast.
        """
        points = [point for point in self.points if most is None or point.speed <= most] or [self.points[0]]
        if speed == "balanced":
            chosen = self.points[self.chosen]
            return chosen if chosen in points else max(points, key=lambda point: point.speed)
        if speed == "accurate":
            return max(points, key=lambda point: (point.interval[0], point.speed))
        if speed == "fastest":
            return max(points, key=lambda point: point.speed)
        wanted = times(speed)
        if found := [point for point in points if point.speed >= wanted]:
            return max(found, key=lambda point: (point.interval[0], point.speed))
        fastest = self.at("fastest", most)
        if most is not None and wanted <= self.at("fastest").speed:
            raise ConfigError(f"speed={shown(speed)}: here at most {fastest.speed:.1f} times is given: ask for less")
        raise ConfigError(
            f"speed={shown(speed)}: the fastest thresholds of this classifier are {fastest.speed:.1f} times as fast as "
            "its dense encoder: ask for less, or tune it anew for that speed (tokensieve tune --target-speed)"
        )

    def write(self, folder: Path) -> None:
        """Write frontier.json into a folder in the making."""
        record = {
            "format_version": FORMAT,
            "chosen": self.chosen,
            "points": [point.to_dict() for point in self.points],
            "measured": dict(self.measured),
        }
        (folder / FRONTIER).write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def times(speed: object) -> float:
    """A speed-up: 8 of 8, "8" or "8x".

    Raises:
        ConfigError: no number above 0.
    """
    text = str(speed).strip().lower().removesuffix("x")
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise ConfigError(f"speed={shown(speed)}: give {', '.join(NAMED)}, or times the dense encoder's speed, as 8x")
    return found


def read_frontier(path: str | Path) -> Frontier:
    """The frontier in a classifier's folder, or on a hub.

    Raises:
        CheckpointError: it is not there, or cannot be used.
    """
    file = file_in(path, FRONTIER)
    if file is None:
        raise CheckpointError(
            f"{path}: has no {FRONTIER}, so its speed cannot be chosen: measure it with "
            f"'tokensieve tune --model {path} --data DOCUMENTS --output FOLDER'"
        )
    try:
        record = read_object(Path(file))
        if (version := record.get("format_version")) != FORMAT:
            raise ValueError(f"format_version is {shown(version)}, and this tokensieve reads {FORMAT}")
        points = tuple(_point(own) for own in record["points"])
        chosen = record["chosen"]
        if type(chosen) is not int or not 0 <= chosen < len(points):
            raise ValueError(f"chosen is {shown(chosen)}, of {len(points)} points")
        if not isinstance(record["measured"], dict):
            raise ValueError("measured is no object")
        return Frontier(points, chosen, record["measured"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        told = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise CheckpointError(f"{file}: cannot be used ({told}); tune the classifier again") from error


def tuned_dtype(path: str | Path, dtype: str, speed: str | float | None) -> str:
    """The type in which to read a folder of float weights.

    For "auto" it is the one in which its frontier was measured. So it is for the default, float32, if a speed is asked
    for: the type is a part of each point. A warning is logged where a folder that was measured in bfloat16 is read in
    another type.

    Raises:
        CheckpointError: as `read_frontier`, if there is a frontier.
    """
    if file_in(path, FRONTIER) is None:
        return dtype
    measured = read_frontier(path).measured.get("dtype")
    if dtype == AUTO or (dtype == "float32" and speed is not None):
        return AUTO if measured == "bfloat16" else "float32" if measured == "float32" else dtype
    if measured == "bfloat16" and dtype != measured:
        logger.warning("%s: tuned in bfloat16, and read in %s: its speeds are those of dtype=auto", path, dtype)
    return dtype


def _point(record: Mapping[str, Any]) -> Point:
    check_values(record, _CHECKS)
    words, shares = record["words"], record["shares"]
    if not isinstance(shares, dict) or not all(map(is_number, shares.values())):
        raise ValueError("shares is no object of numbers")
    low, high = record["interval"]
    point = Point(**{**record, "words": None, "interval": (low, high)})
    if words is None:
        return point
    limits = words["thresholds"]
    rule = {**words, "thresholds": None if limits is None else tuple(limits)}
    return replace(point, words=WordsFirstSettings(**rule))


def frontier_of(classifier: Classifier, path: str | Path) -> Frontier:
    """The frontier of a classifier that was loaded from a folder.

    Raises:
        CheckpointError: as `read_frontier`, or the frontier is of a classifier with other stages.
    """
    frontier, stages = read_frontier(path), set(classifier.engine.stages)
    if wrong := next((point for point in frontier.points if not set(point.shares) <= stages), None):
        raise CheckpointError(
            f"{path}: {FRONTIER} has the stages {', '.join(sorted(wrong.shares))}, and the classifier "
            f"{', '.join(sorted(stages))}: tune the classifier again"
        )
    return frontier


def choose_speed(classifier: Classifier, path: str | Path, speed: str | float) -> None:
    """Set a loaded classifier's thresholds to those of a point of its frontier.

    Raises:
        CheckpointError: as `frontier_of`.
        ConfigError: as `Frontier.at`.
    """
    frontier_of(classifier, path).at(speed).apply(classifier)


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Numbers of the (seconds, value) that no other one beats in both, the slowest first; of equal ones the first."""
    order = sorted(range(len(points)), key=lambda row: (points[row][0], -points[row][1], row))
    kept: list[int] = []
    for row in order:
        if not kept or points[row][1] > points[kept[-1]][1]:
            kept.append(row)
    return kept[::-1]
