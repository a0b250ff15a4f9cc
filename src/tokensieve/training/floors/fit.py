"""Floors: what a bag of words, and the mean of static vectors, make of the same documents.

They are fitted to the training documents after the model is trained, and judged with it on the validation documents. A
user learns from them what the encoder is worth. Nothing of them reaches the model: the state of every random generator
is put back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tokensieve.cascade.build import EncoderClassifier
from tokensieve.data.weights import weights_of
from tokensieve.errors import TokensieveError
from tokensieve.training.compare import Comparison, compare
from tokensieve.training.fits.bag import targets_of
from tokensieve.training.floors.floor import Floor
from tokensieve.training.floors.report import NAMES, advice, floor_lines
from tokensieve.training.floors.speed import encoder_speed
from tokensieve.training.floors.static import StaticVectors, static_floor
from tokensieve.training.floors.words import words_floor
from tokensieve.training.job import TrainingJob
from tokensieve.training.random_states import random_states_kept
from tokensieve.words import WordsClassifier

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

NO_VALIDATION = "no validation documents to compare with"


def fit_floors(
    job: TrainingJob,
    model: EncoderClassifier,
    tokenizer: Any,
    logits: Any,
    static: StaticVectors | None,
    bag: WordsClassifier | None = None,
) -> dict[str, Any] | None:
    """Fit the floors that the recipe asks for, and compare them with the trained model.

    Args:
        job: recipe and documents.
        model: trained.
        tokenizer: of the model.
        logits: [N, C] of the validation documents by the model.
        static: as `static_vectors` made it.
        bag: as `fit_bag` made it, if it is there already.

    Returns:
        For the record: "metric", "documents", "encoder" (score, documents/s), a record under each floor's name,
        "interval_by", "advice" (a sentence) and "seconds"; a floor that could not be fitted says "why_none". Without
        validation documents "why_none" alone; None if no floor is asked for.
    """
    if job.recipe.floors == "none":
        return None
    if logits is None or not job.splits.validation:
        logger.info("floors: %s", NO_VALIDATION)
        return {"why_none": NO_VALIDATION}
    start = time.perf_counter()
    with random_states_kept():
        truth, weights = targets_of(job.splits, job.splits.validation), weights_of(job.splits.validation)
        speed = encoder_speed(model, tokenizer, job.splits.validation, job.recipe.max_length)
        metric = job.recipe.compared_by
        fits: dict[str, Callable[[], Floor]] = {"words": lambda: words_floor(job, bag)}
        if static is not None:
            fits["static"] = lambda: static_floor(job, static)
        record: dict[str, Any] = {"metric": metric, "documents": len(truth), "interval_by": None}
        record["encoder"] = {"score": None, "documents_per_second": speed}
        compared: dict[str, Comparison] = {}
        for name, fit in fits.items():
            against = partial(compare, encoder=np.asarray(logits), truth=truth, metric=metric, weights=weights)
            record[name] = _judged(name, fit, against, speed, compared)
    for comparison in compared.values():
        record["encoder"]["score"], record["interval_by"] = comparison.encoder, comparison.method
    record["advice"] = advice(record, compared)
    record["seconds"] = time.perf_counter() - start
    for line in floor_lines(record):
        logger.info("%s", line)
    return record


def _judged(
    name: str,
    fit: Callable[[], Floor],
    against: Callable[[NDArray[np.float32]], Comparison],
    speed: float,
    compared: dict[str, Comparison],
) -> dict[str, Any]:
    """A floor's record; one that fails ends nothing."""
    start = time.perf_counter()
    try:
        floor = fit()
        comparison = against(floor.logits)
    except (TokensieveError, ValueError, ArithmeticError, MemoryError) as error:
        logger.warning("no floor by %s: %s", NAMES[name], error)
        return {"why_none": str(error) or type(error).__name__}
    compared[name] = comparison
    return {
        "score": comparison.floor,
        "difference": comparison.difference,
        "interval": list(comparison.interval),
        "documents_per_second": floor.documents_per_second,
        "times_faster": floor.documents_per_second / speed,
        **floor.facts,
        "seconds": time.perf_counter() - start,
    }
