"""A floor of static vectors: logistic regression on the mean of a document's word vectors."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from tokensieve.cascade.build import EncoderClassifier
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.data.weights import weights_of
from tokensieve.training.fits.bag import class_weights, targets_of
from tokensieve.training.floors.floor import Floor
from tokensieve.training.job import TrainingJob
from tokensieve.words.static import StaticClassifier, mean_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_STATIC = 50_000
"""Most training documents whose mean vectors are kept in memory."""


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


def static_vectors(
    job: TrainingJob, model: EncoderClassifier, tokenizer: Any, training: TokenizedDocuments
) -> StaticVectors | None:
    """The mean vectors of the documents by the checkpoint's word vectors; None where no such floor is asked for.

    Args:
        job: recipe and documents.
        model: not trained yet.
        tokenizer: of the model.
        training: the training documents.
    """
    if job.recipe.floors != "all" or not job.splits.validation:
        return None
    table = model.get_input_embeddings().weight
    assert isinstance(table, Tensor)
    rows = list(range(len(training)))
    if len(rows) > MOST_STATIC:
        rows = np.linspace(0, len(rows) - 1, MOST_STATIC, dtype=np.int64).tolist()
    vectors = mean_vectors(table, [_words(training, row) for row in rows])
    start = time.perf_counter()
    documents = TokenizedDocuments(job.splits.validation, tokenizer, job.recipe.max_length)
    validation = mean_vectors(table, [_words(documents, row) for row in range(len(documents))])
    return StaticVectors(vectors, rows, validation, len(validation) / (time.perf_counter() - start))


def static_floor(job: TrainingJob, vectors: StaticVectors) -> Floor:
    """The answers of logistic regression on mean vectors, as `static_vectors` made them."""
    splits, classes = job.splits, len(job.splits.label_names)
    truth, judged = (targets_of(splits, documents) for documents in (splits.train, splits.validation))
    weights = weights_of(splits.train)
    regression = StaticClassifier.fit(
        vectors.training,
        truth[vectors.rows],
        classes,
        validation=(vectors.validation, judged),
        validation_weight=weights_of(splits.validation),
        sample_weight=None if weights is None else weights[vectors.rows],
        class_weight=class_weights(job.recipe, splits, truth),
    )
    start = time.perf_counter()
    logits = regression.logits(vectors.validation)
    seconds = time.perf_counter() - start + len(logits) / vectors.documents_per_second
    return Floor(logits, len(logits) / seconds, {"inverse_penalty": regression.inverse_penalty})


def _words(documents: TokenizedDocuments, row: int) -> list[int]:
    """Token ids of a document without special tokens."""
    item = documents[row]
    return [token for token, special in zip(item["input_ids"], item["special_tokens_mask"], strict=True) if not special]
