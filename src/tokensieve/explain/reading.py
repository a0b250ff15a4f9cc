"""explain(): documents -> what a classifier read of each, with the answer, what it cost, and a check."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from tokensieve.cascade.build import stages_of
from tokensieve.data.documents import Document
from tokensieve.data.tokenize import Encodings
from tokensieve.errors import ConfigError
from tokensieve.explain.gradient import Gradients, overlap_of_words
from tokensieve.explain.watch import Seen, Watch
from tokensieve.explain.words import Word, survivors_alone, words_of
from tokensieve.model.plan import make_plan
from tokensieve.runtime.bag_of_words import BagOfWords
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.results import Result


@dataclass(frozen=True)
class Reading:
    """What one encoder made of a document.

    Attributes:
        stage: its name, as `Result.stage` has it.
        length: tokens, special ones included.
        kept: text tokens that stand after each layer, special ones included, as `Trace.kept` counts them.
        layers: number of each of these layers, from 1; 0: tokens were folded ahead of the first one.
        combination: combination tokens that the text was folded into; 0 without a combining module.
        flops: of this document, by its own counts.
        dense_flops: of the same backbone with nothing reduced.
        words: of the document, in order.
        overlap: where words are marked by the gradient, the share of those that survived which are among as many with
            the largest gradient; None where none or all survived.
    """

    stage: str
    length: int
    kept: tuple[int, ...]
    layers: tuple[int, ...]
    combination: int
    flops: float
    dense_flops: float
    words: tuple[Word, ...]
    overlap: float | None = None


@dataclass(frozen=True)
class Check:
    """Whether the label stands when the words that left are deleted from the text.

    Attributes:
        kept: words that were left in the text.
        words: words that the encoder had read.
        result: the answer to the shorter text; None: it could not be read, see `why_none`.
        stands: whether the labels are the same.
        why_none: why there is no answer; empty if there is one.
    """

    kept: int
    words: int
    result: Result | None
    stands: bool
    why_none: str = ""


@dataclass(frozen=True)
class Explained:
    """A document, and what a classifier made of it.

    Attributes:
        number: place among the documents, from 1.
        document: as it was read; its label, if there is one, is the true one.
        result: the answer.
        readings: of each encoder that read it, in order; the last one answered. None where a bag of words answered.
        deferred: whether a stage of a cascade left the answer to a later one.
        milliseconds: of this document alone, tokenizing included.
        truncated: whether the encoder was not given all of its tokens.
        dense: the answer of another classifier; None without one.
        dense_agrees: whether that has the same labels.
        check: None unless asked for, and where no encoder answered.
    """

    number: int
    document: Document
    result: Result
    readings: tuple[Reading, ...]
    deferred: bool
    milliseconds: float
    truncated: bool
    dense: Result | None = None
    dense_agrees: bool = True
    check: Check | None = None


def explain(
    classifier: Classifier,
    documents: Iterable[Document],
    *,
    dense: Classifier | None = None,
    check: bool = False,
    gradient: bool = False,
    progress: Any = None,
) -> list[Explained]:
    """Read documents one at a time, and tell what became of their words.

    Args:
        classifier: made by `load`.
        documents: at least one; they and their words are held in memory.
        dense: another classifier with the same labels, whose answers are put beside.
        check: read each document again, without the words that left.
        gradient: the scores of the last reading's words are those of the exact gradient, by a second pass with all
            tokens, as multiples of a document's mean; in place of the scores by which the classifier pruned.
        progress: wraps the documents, such as tqdm.

    Raises:
        InputError, DataError: as `Classifier.predict`.
        ConfigError: `dense` has other labels; the tokenizer cannot tell where tokens stand; or `gradient` of a
            classifier with int8 weights, or of a bag of words alone.
    """
    if dense is not None:
        check_same_labels(classifier, dense)
    found = list(_read(classifier, documents if progress is None else progress(documents), gradient))
    if dense is not None:
        others = _results(dense, [own.document for own in found])
        same = [_labels(classifier, own.result) == _labels(dense, it) for own, it in zip(found, others, strict=True)]
        rows = zip(found, others, same, strict=True)
        found = [replace(own, dense=other, dense_agrees=agrees) for own, other, agrees in rows]
    return _checked(classifier, found) if check else found


def check_same_labels(classifier: Classifier, dense: Classifier) -> None:
    """Refuse a second classifier whose answers cannot be put beside those of the first.

    Raises:
        ConfigError: it has other labels, or one of both gives several labels a document.
    """
    ours, theirs = set(classifier.labels), set(dense.labels)
    if ours != theirs:
        odd = sorted(ours ^ theirs)[0]
        raise ConfigError(
            f"dense: the label {odd!r} is known to one of both classifiers only: give one that was trained on the "
            "same labels"
        )
    if classifier.model.config.is_multi_label != dense.model.config.is_multi_label:
        raise ConfigError(
            "dense: one of both classifiers gives several labels a document, the other one: give two alike"
        )


def _labels(classifier: Classifier, result: Result) -> set[str]:
    return {classifier.labels[number] for number in result.labels}


def _results(classifier: Classifier, documents: Sequence[Document]) -> list[Result]:
    return [result for _, result in classifier.engine.stream(documents, prefetch=False)]


def _read(classifier: Classifier, documents: Iterable[Document], gradient: bool) -> Iterator[Explained]:
    """Every document alone: once for its time, once watched."""
    engine, first = classifier.engine, True
    stages = [] if isinstance(classifier, BagOfWords) else stages_of(classifier.model)
    gradients = _gradients(stages) if gradient else None
    for number, document in enumerate(documents, 1):
        if first:  # warms up
            engine.classify([document])
            first = False
        start = time.perf_counter()
        engine.classify([document])
        milliseconds = 1000 * (time.perf_counter() - start)
        truncated = engine.truncated
        with Watch(stages) as watch:
            result, encodings = _answered(classifier, document)
        seen = watch.take()
        if gradients is not None and result.kept and encodings is not None:
            seen[-1].scores = gradients.of(seen[-1].stage, encodings)
        readings = _readings(classifier, document, encodings, seen) if result.kept else ()
        if gradients is not None and readings:
            last = readings[-1]
            readings = (*readings[:-1], replace(last, overlap=overlap_of_words(last.words)))
        deferred = engine.stages.index(result.stage) > 0
        yield Explained(number, document, result, readings, deferred, milliseconds, engine.truncated > truncated)


def _gradients(stages: Sequence[Any]) -> Gradients:
    if not stages:
        raise ConfigError("gradient: a bag of words has no gradient by tokens; leave it out")
    return Gradients(stages)


@torch.inference_mode()
def _answered(classifier: Classifier, document: Document) -> tuple[Result, Encodings | None]:
    """The answer to one document, and its tokens with their places, where an encoder read it."""
    engine = classifier.engine
    prepared = engine.prepare([document], places=True)
    read = [] if prepared.encodings is None else engine.read(prepared.encodings)
    (result,) = engine.finish(prepared, read)
    return result, prepared.encodings


def _readings(
    classifier: Classifier, document: Document, encodings: Encodings | None, seen: Sequence[Seen]
) -> tuple[Reading, ...]:
    if encodings is None or encodings.places is None:
        return ()
    (places,), special = encodings.places, sum(encodings.special_tokens_mask[0])
    texts = [document.text] if document.pair is None else [document.text, document.pair]
    stages, names = stages_of(classifier.model), classifier.engine.stages[-len(stages_of(classifier.model)) :]
    readings = []
    for own in seen:
        stage = stages[own.stage]
        flops, dense_flops = _flops(stage, len(places), special, own.counts)
        readings.append(
            Reading(
                stage=names[own.stage],
                length=len(places),
                kept=tuple(own.counts),
                layers=tuple(own.layers),
                combination=0 if own.joined is None else stage.settings.combination_tokens,
                flops=flops,
                dense_flops=dense_flops,
                words=tuple(words_of(texts, places, own)),
            )
        )
    return tuple(readings)


def _flops(stage: Any, length: int, special: int, kept: Sequence[int]) -> tuple[float, float]:
    """FLOPs of a document by its own counts, and those of the same backbone with nothing reduced."""
    steps = len(stage.encoder.steps)
    shares = [count / length for count in kept] + [0.0] * (steps - len(kept))
    plan = make_plan(stage.config, length, special=special, shares=shares)
    return plan.flops, plan.dense_flops


def _checked(classifier: Classifier, found: Sequence[Explained]) -> list[Explained]:
    """The same with a check each, where an encoder answered."""
    shorter: dict[int, Document] = {}
    for row, own in enumerate(found):
        if own.readings and not all(word.survives for word in own.readings[-1].words):
            document, words = own.document, own.readings[-1].words
            text = survivors_alone(document.text, [word for word in words if word.part == 0])
            pair = document.pair and survivors_alone(document.pair, [word for word in words if word.part == 1])
            if text.strip() and (pair is None or pair.strip()):
                shorter[row] = replace(document, text=text, pair=pair)
    results = dict(zip(shorter, _results(classifier, list(shorter.values())) if shorter else (), strict=True))
    return [
        replace(own, check=_check(classifier, own, results.get(row))) if own.readings else own
        for row, own in enumerate(found)
    ]


def _check(classifier: Classifier, own: Explained, result: Result | None) -> Check:
    words = own.readings[-1].words
    kept = sum(word.survives for word in words)
    if kept == len(words):
        return Check(kept, len(words), None, False, "every word survived, so there is nothing to delete")
    if result is None:
        return Check(kept, len(words), None, False, "no word of the text survived, so there is nothing to read again")
    return Check(kept, len(words), result, result.labels == own.result.labels)
