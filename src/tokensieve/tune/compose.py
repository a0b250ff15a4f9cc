"""What the stages of a candidate come to together, at many thresholds, without running them again.

Each stage answers all validation documents once. Thresholds then tell whose answer counts. A document that the bag of
words defers gets the weighted sum of both answers, by weights that were fitted without it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tokensieve.cascade.build import rules_of, stages_of
from tokensieve.cascade.defer import Defer
from tokensieve.cascade.fit import confidence_above
from tokensieve.cascade.fit_words import fit_words_first
from tokensieve.cascade.words_first import WordsFirstSettings
from tokensieve.data.documents import Document
from tokensieve.model.probabilities import class_probabilities, confidence
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.engine import STAGES
from tokensieve.runtime.words_first import WORDS, engine_like
from tokensieve.training.fits.calibration import best_thresholds
from tokensieve.words import WordsClassifier

DEFERRED = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
"""Shares of the documents that an encoder defers to the second one."""
ALLOWED = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 100.0)
"""Points of the score that the bag of words may be expected to lose; with the last one it answers all it can."""
_WARM_UP = 8


@dataclass(frozen=True)
class StageAnswers:
    """What each stage of a candidate says of the validation documents.

    Attributes:
        lengths: tokens of each document.
        logits: [N, C] of each stage, not calibrated.
        temperature: calibrates them.
        seconds: of each stage over all documents, tokenizing included.
        rules: when each stage but the last one defers.
        thresholds: with several labels, the calibrated probability from which each is given; None: 0.5.
    """

    lengths: Sequence[int]
    logits: Sequence[Tensor]
    temperature: float
    seconds: Sequence[float]
    rules: Sequence[Defer]
    thresholds: Sequence[float] | None


@dataclass(frozen=True)
class WordsSay:
    """What the bag of words says of the validation documents.

    Attributes:
        logits: [N, C], calibrated.
        seconds: over all documents.
        wordless: the documents without a known word, [N] bool, which it always defers; None: each has one.
    """

    logits: Tensor
    seconds: float
    wordless: Tensor | None = None


@dataclass(frozen=True)
class Composition:
    """Thresholds, and what they are expected to come to.

    Attributes:
        defer_below: of the encoder; None: it has no second stage.
        words: the rule of the bag of words; None: it is left out.
        logits: [N, C] of the documents, calibrated.
        thresholds: with several labels, the probability of these logits from which each is given; None: 0.5.
        seconds: for all documents, from the seconds of each stage and the tokens that it reads.
        shares: of the documents, those that each stage answers, by name of the stage.
    """

    defer_below: float | None
    words: WordsFirstSettings | None
    logits: Tensor
    thresholds: Sequence[float] | None
    seconds: float
    shares: dict[str, float]


def ask_stages(classifier: Classifier, documents: Sequence[Document]) -> StageAnswers:
    """Let each encoder of a classifier answer all documents."""
    logits, seconds = [], []
    lengths: list[int] = []
    for stage in stages_of(classifier.model):
        alone = engine_like(classifier.engine, stage, None)
        alone.classify(documents[:_WARM_UP])
        start = time.perf_counter()
        results = [result for _, result in alone.stream(documents)]
        seconds.append(time.perf_counter() - start)
        logits.append(torch.tensor([result.logits for result in results]))
        lengths = [result.length for result in results]
    config = classifier.model.config
    heat, rules = config.calibration_temperature, rules_of(classifier.model)
    return StageAnswers(lengths, logits, heat, seconds, rules, config.thresholds)


def ask_words(words: WordsClassifier, documents: Sequence[Document]) -> WordsSay:
    """Let the bag of words answer all documents."""
    texts = [document.content for document in documents]
    words.logits(texts[:_WARM_UP])
    start = time.perf_counter()
    logits = torch.from_numpy(words.logits(texts)) / words.temperature
    seconds = time.perf_counter() - start
    return WordsSay(logits, seconds, torch.from_numpy(words.lacks_words(texts)))


def compositions(
    answers: StageAnswers, words: WordsSay | None, truth: Tensor, problem_type: str, weights: Tensor | None = None
) -> Iterator[Composition]:
    """Every composition of the thresholds of `DEFERRED` and `ALLOWED`.

    Args:
        answers: of the encoders.
        words: of a bag of words ahead; None: compositions without one.
        truth: class ids [N], or 0 and 1 [N, C].
        problem_type: as in transformers' configs.
        weights: of the documents [N], where something is fitted to labels; seconds and shares are costs, in which each
            counts once. None: each counts once everywhere.
    """
    tokens, everything = torch.tensor(answers.lengths, dtype=torch.float64), torch.ones(len(truth), dtype=torch.bool)
    for encoder in _encoders(answers, problem_type):
        cost = encoder.seconds_by_token * tokens
        if words is None:
            shares, seconds = encoder.shares(everything), float(cost.sum())
            yield Composition(encoder.below, None, encoder.logits, answers.thresholds, seconds, shares)
            continue
        for allowed in ALLOWED:
            fitted = fit_words_first(
                words.logits, encoder.logits, truth, problem_type, allowed, weights, words.wordless
            )
            rule = fitted.settings
            if answers.thresholds is not None:
                probabilities = class_probabilities(fitted.logits, problem_type)
                rule = replace(rule, thresholds=best_thresholds(probabilities, truth.float(), weights))
            shares = {WORDS: 1 - fitted.share, **encoder.shares(fitted.deferred)}
            seconds = words.seconds + float(cost[fitted.deferred].sum())
            yield Composition(encoder.below, rule, fitted.logits, rule.thresholds, seconds, shares)


@dataclass(frozen=True)
class _Encoders:
    """The encoders of a candidate at one threshold.

    Attributes:
        below: the threshold; None: there is no second encoder.
        logits: [N, C], calibrated.
        seconds_by_token: [N].
        by_second: which documents the second encoder answers, [N]; None: there is none.
    """

    below: float | None
    logits: Tensor
    seconds_by_token: Tensor
    by_second: Tensor | None

    def shares(self, reads: Tensor) -> dict[str, float]:
        """The share of all documents that each stage answers, of those that are read, [N]."""
        if self.by_second is None:
            return {STAGES[0]: float(reads.double().mean())}
        parts = (reads & ~self.by_second, reads & self.by_second)
        return {name: float(part.double().mean()) for name, part in zip(STAGES, parts, strict=True)}


def _encoders(answers: StageAnswers, problem_type: str) -> Iterator[_Encoders]:
    tokens = sum(answers.lengths)
    first, *second = [own.float() / answers.temperature for own in answers.logits]
    each = torch.full((len(answers.lengths),), answers.seconds[0] / tokens, dtype=torch.float64)
    if not second:
        yield _Encoders(None, first, each, None)
        return
    (rule,), slow = answers.rules, answers.seconds[1] / tokens
    for below in _confidences(answers, problem_type):
        own = replace(rule, below=below)
        skipped = torch.tensor(own.skips(answers.lengths))
        onward = skipped.clone()
        onward[own.deferred(answers.logits[0], answers.lengths)] = True
        logits = torch.where(onward[:, None], second[0], first)
        yield _Encoders(below, logits, each * ~skipped + slow * onward, onward)


def _confidences(answers: StageAnswers, problem_type: str) -> list[float]:
    """The confidence of the model's own rule, and those that defer the shares of `DEFERRED`."""
    (rule,) = answers.rules
    sure = confidence(answers.logits[0], problem_type)
    pruned = sure[torch.tensor([length >= rule.shortest for length in answers.lengths])].sort().values
    found = {confidence_above(pruned, round(share * len(pruned))) for share in DEFERRED}
    return sorted(found | ({rule.below} if rule.below is not None else set()))
