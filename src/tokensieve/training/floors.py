"""Floors: what a bag of words, and the mean of static vectors, make of the same documents.

They are fitted to the training documents after the model is trained, and judged with it on the validation documents. A
user learns from them what the encoder is worth. Nothing of them reaches the model: the state of every random generator
is put back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tokensieve.cascade.build import EncoderClassifier
from tokensieve.data.documents import Document
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.data.weights import weights_of
from tokensieve.errors import TokensieveError
from tokensieve.training.compare import Comparison, compare, in_points
from tokensieve.training.fit_bag import class_weights, fit_bag, targets_of, texts_of
from tokensieve.training.job import Prepared, TrainingJob
from tokensieve.training.random_states import random_states_kept
from tokensieve.training.recipe import Recipe
from tokensieve.training.sample import padded
from tokensieve.words import WordsClassifier
from tokensieve.words.static import StaticClassifier, mean_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

NAMES = {"words": "a bag of words", "static": "the mean of static vectors"}
NO_VALIDATION = "no validation documents to compare with"
TIMED = 128
"""Documents on which the encoder's speed is measured."""
MOST_STATIC = 50_000
"""Most training documents whose mean vectors are kept in memory."""
_BATCH = 32


@dataclass(frozen=True)
class StaticVectors:
    """Mean vectors, made before training changes the word vectors.

    Attributes:
        training: [n, d] float32, of the documents in `rows`.
        rows: places of these documents.
        validation: [N, d].
        documents_per_second: of the validation documents, from texts to labels but for the regression.
    """

    training: NDArray[np.float32]
    rows: list[int]
    validation: NDArray[np.float32]
    documents_per_second: float


@dataclass(frozen=True)
class _Floor:
    """Answers of a fitted floor to the validation documents [N, C], and what it tells of itself."""

    logits: NDArray[np.float32]
    documents_per_second: float
    facts: dict[str, Any]


def static_vectors(job: TrainingJob, prepared: Prepared) -> StaticVectors | None:
    """The mean vectors of the documents by the checkpoint's word vectors; None where no such floor is asked for."""
    if job.recipe.floors != "all" or not len(prepared.validation):
        return None
    table = prepared.model.get_input_embeddings().weight
    assert isinstance(table, Tensor)
    rows = list(range(len(prepared.training)))
    if len(rows) > MOST_STATIC:
        rows = np.linspace(0, len(rows) - 1, MOST_STATIC, dtype=np.int64).tolist()
    training = mean_vectors(table, [_words(prepared.training, row) for row in rows])
    start = time.perf_counter()
    documents = _tokenized(job.splits.validation, prepared.tokenizer, job.recipe)
    validation = mean_vectors(table, [_words(documents, row) for row in range(len(documents))])
    return StaticVectors(training, rows, validation, len(validation) / (time.perf_counter() - start))


def fit_floors(
    job: TrainingJob,
    prepared: Prepared,
    logits: Any,
    static: StaticVectors | None,
    words: WordsClassifier | None = None,
) -> dict[str, Any] | None:
    """Fit the floors that the recipe asks for, and compare them with the trained model.

    Args:
        job: recipe and documents.
        prepared: the trained model, its tokenizer and documents.
        logits: [N, C] of the validation documents by the model.
        static: as `static_vectors` made it.
        words: as `fit_bag` made it, if it is there already.

    Returns:
        For the record: "metric", "documents", "encoder" (score, documents/s), a record under each floor's name,
        "interval_by", "advice" (a sentence) and "seconds"; a floor that could not be fitted says "why_none". Without
        validation documents "why_none" alone; None if no floor is asked for.
    """
    if job.recipe.floors == "none":
        return None
    if logits is None or not len(prepared.validation):
        logger.info("floors: %s", NO_VALIDATION)
        return {"why_none": NO_VALIDATION}
    start = time.perf_counter()
    with random_states_kept():
        truth, weights = targets_of(job.splits, job.splits.validation), weights_of(job.splits.validation)
        speed = encoder_speed(prepared.model, prepared.tokenizer, job.splits.validation, job.recipe)
        metric = metric_of(job.recipe)
        kinds: dict[str, Callable[[], _Floor]] = {"words": lambda: _words_floor(job, words)}
        if static is not None:
            kinds["static"] = lambda: _static_floor(job, static)
        record: dict[str, Any] = {"metric": metric, "documents": len(truth), "interval_by": None}
        record["encoder"] = {"score": None, "documents_per_second": speed}
        compared: dict[str, Comparison] = {}
        for name, fit in kinds.items():
            against = partial(compare, encoder=np.asarray(logits), truth=truth, metric=metric, weights=weights)
            record[name] = _judged(name, fit, against, speed, compared)
    for found in compared.values():
        record["encoder"]["score"], record["interval_by"] = found.encoder, found.method
    record["advice"] = advice(record, compared)
    record["seconds"] = time.perf_counter() - start
    for line in floor_lines(record):
        logger.info("%s", line)
    return record


def _judged(
    name: str,
    fit: Callable[[], _Floor],
    against: Callable[[NDArray[np.float32]], Comparison],
    speed: float,
    compared: dict[str, Comparison],
) -> dict[str, Any]:
    """A floor's record; one that fails ends nothing."""
    start = time.perf_counter()
    try:
        floor = fit()
        found = against(floor.logits)
    except (TokensieveError, ValueError, ArithmeticError, MemoryError) as error:
        logger.warning("no floor by %s: %s", NAMES[name], error)
        return {"why_none": str(error) or type(error).__name__}
    compared[name] = found
    return {
        "score": found.floor,
        "difference": found.difference,
        "interval": list(found.interval),
        "documents_per_second": floor.documents_per_second,
        "times_faster": floor.documents_per_second / speed,
        **floor.facts,
        "seconds": time.perf_counter() - start,
    }


def _words_floor(job: TrainingJob, fitted: WordsClassifier | None) -> _Floor:
    words, validation = fitted or fit_bag(job.splits, job.recipe), texts_of(job.splits.validation)
    start = time.perf_counter()
    logits = words.logits(validation)
    seconds = time.perf_counter() - start
    facts = {"settings": words.settings.to_dict(), "terms": len(words.weights), "temperature": words.temperature}
    return _Floor(logits, len(validation) / seconds, facts)


def _static_floor(job: TrainingJob, vectors: StaticVectors) -> _Floor:
    splits, classes = job.splits, len(job.splits.label_names)
    truth, judged = (targets_of(splits, documents) for documents in (splits.train, splits.validation))
    weights = weights_of(splits.train)
    found = StaticClassifier.fit(
        vectors.training,
        truth[vectors.rows],
        classes,
        validation=(vectors.validation, judged),
        validation_weight=weights_of(splits.validation),
        sample_weight=None if weights is None else weights[vectors.rows],
        class_weight=class_weights(job.recipe, splits, truth),
    )
    start = time.perf_counter()
    logits = found.logits(vectors.validation)
    seconds = time.perf_counter() - start + len(logits) / vectors.documents_per_second
    return _Floor(logits, len(logits) / seconds, {"inverse_penalty": found.inverse_penalty})


def metric_of(recipe: Recipe) -> str:
    """The score that classifiers are compared by: the one that chooses the epoch, of a loss accuracy."""
    return recipe.select if recipe.select.startswith("f1") else "accuracy"


@torch.no_grad()
def encoder_speed(model: EncoderClassifier, tokenizer: Any, documents: Sequence[Document], recipe: Recipe) -> float:
    """Documents per second of the model, from texts to labels: of some of the documents, in batches of equal lengths.

    The first batch runs once before, to warm up.
    """
    chosen = [documents[row] for row in np.linspace(0, len(documents) - 1, min(TIMED, len(documents))).astype(int)]
    training = model.training
    model.train(False)
    for some in (chosen[:4], chosen):
        start = time.perf_counter()
        tokens = _tokenized(some, tokenizer, recipe)
        order = tokens.lengths.argsort().tolist()
        for first in range(0, len(order), _BATCH):
            batch = padded([tokens[row] for row in order[first : first + _BATCH]], tokenizer, model.device)
            model(**batch).logits.argmax(1).cpu()
        seconds = time.perf_counter() - start
    model.train(training)
    return len(chosen) / seconds


def advice(record: dict[str, Any], compared: dict[str, Comparison]) -> str:
    """One sentence on what to use: the better floor against the encoder."""
    if not compared:
        return "no floor could be fitted, so there is nothing to compare the encoder with"
    best = max(compared, key=lambda name: compared[name].floor)  # of equal ones the bag of words
    found, name, faster = compared[best], NAMES[best], times(record[best]["times_faster"])
    (low, high), points = found.interval, in_points(found.difference, found.interval)
    remedy = " (--preset words)" if best == "words" else ""
    if low > 0:
        return f"{name} is better here ({points}), and {faster}: use it{remedy}"
    if high < 0:
        return f"the encoder is better here: {name} loses ({points}), and is {faster}"
    documents = record["documents"]
    if found.difference < 0:
        return (
            f"{name} may be as good here: {documents} documents show no clear difference ({points}), and it is "
            f"{faster}: use it{remedy} unless so small a difference counts"
        )
    return (
        f"{name} is as good here, as far as {documents} documents can tell ({points}), and {faster}: use it{remedy} "
        "unless more documents show a difference"
    )


def times(ratio: float) -> str:
    """How many times faster, in words."""
    return f"{ratio:.0f} times faster" if ratio >= 2 else f"{ratio:.1f} times as fast"


def floor_lines(record: dict[str, Any] | None) -> list[str]:
    """What a record of floors says, in lines for people."""
    if record is None:
        return []
    if "why_none" in record:
        return [f"floors: none, as there are {record['why_none']}"]
    metric = record["metric"].replace("_", " ")
    lines = []
    for name in NAMES:
        own = record.get(name)
        if own is None or "why_none" in own:
            lines += [] if own is None else [f"floor, {NAMES[name]}: none ({own['why_none']})"]
            continue
        lines.append(
            f"floor, {NAMES[name]}: {metric} {own['score']:.4f}, "
            f"{in_points(own['difference'], own['interval'])} to the encoder's {record['encoder']['score']:.4f}; "
            f"{own['documents_per_second']:.0f} documents/s to its {record['encoder']['documents_per_second']:.0f}"
        )
    return [*lines, record["advice"]]


def _tokenized(documents: Sequence[Document], tokenizer: Any, recipe: Recipe) -> TokenizedDocuments:
    return TokenizedDocuments(documents, tokenizer, recipe.max_length)


def _words(documents: TokenizedDocuments, row: int) -> list[int]:
    """Token ids of a document without special tokens."""
    item = documents[row]
    return [token for token, special in zip(item["input_ids"], item["special_tokens_mask"], strict=True) if not special]
