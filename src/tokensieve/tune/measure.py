"""Speed on this machine, in interleaved rounds beside the dense encoder: from text to label, or to vector."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median, quantiles
from typing import Any, NamedTuple

from tokensieve.runtime.classifier import Classifier, Text
from tokensieve.runtime.frontier import Point
from tokensieve.runtime.sentences import SentenceEncoder

ROUNDS = 3
TEXTS = 256
"""Most texts of a round."""
LATENCY_TEXTS = 40
"""Most texts that are read one at a time."""


class Timing(NamedTuple):
    """What rounds say of a contender."""

    documents_per_second: float
    speed: float
    latency_ms: float | None


def timings(
    dense: Classifier, contenders: Sequence[tuple[Classifier, Point]], texts: Sequence[Text], latency: bool
) -> list[Timing]:
    """The timing of each contender; all take turns with the dense encoder.

    Args:
        dense: the yardstick.
        contenders: classifiers with the thresholds to set before each turn; several may have the same classifier.
        texts: of the validation documents.
        latency: time some texts one at a time, too.
    """
    yardstick: list[float] = []
    seconds: list[list[float]] = [[] for _ in contenders]
    for number in range(ROUNDS + 1):
        spent = _seconds(dense, texts)
        if number:  # the round before warms up
            yardstick.append(spent)
        for place, (classifier, point) in enumerate(contenders):
            point.apply(classifier)
            spent = _seconds(classifier, texts)
            if number:
                seconds[place].append(spent)
    found = []
    for (classifier, point), own in zip(contenders, seconds, strict=True):
        speed = median(whole / part for whole, part in zip(yardstick, own, strict=True))
        alone = _latency(classifier, point, texts[:LATENCY_TEXTS]) if latency else None
        found.append(Timing(len(texts) / median(own), speed, alone))
    return found


def paired_ratios(
    encoder: SentenceEncoder, dense: SentenceEncoder, texts: Sequence[Any], rounds: int, alone: bool = False
) -> list[float]:
    """Seconds of an encoder as a share of another one's, a round each; a round before warms up.

    Args:
        encoder: timed.
        dense: timed in the same rounds, ahead of the other one by turns.
        texts: encoded in each round.
        rounds: that count.
        alone: encode the texts one at a time.
    """
    batches = [[text] for text in texts] if alone else [list(texts)]
    ratios = []
    for number in range(rounds + 1):
        spent = {}
        for one in (encoder, dense) if number % 2 else (dense, encoder):
            start = time.perf_counter()
            for batch in batches:
                one.encode(batch)
            spent[one is dense] = time.perf_counter() - start
        if number:
            ratios.append(spent[False] / spent[True])
    return ratios


def _seconds(classifier: Classifier, texts: Sequence[Text]) -> float:
    start = time.perf_counter()
    classifier.predict(texts)
    return time.perf_counter() - start


def _latency(classifier: Classifier, point: Point, texts: Sequence[Text]) -> float:
    """The 95th percentile in milliseconds."""
    point.apply(classifier)
    alone = [1000 * _seconds(classifier, [text]) for text in texts]
    return quantiles(alone, n=20, method="inclusive")[-1] if len(alone) > 1 else alone[0]
