"""A bag of words fitted to the documents of a training: as its floor, as a first stage, or alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tokensieve.data.documents import Document
from tokensieve.data.splits import DataSplits
from tokensieve.data.targets import class_ids, label_matrix
from tokensieve.training.loss import balanced_weights
from tokensieve.training.random_states import random_states_kept
from tokensieve.training.recipe import Recipe
from tokensieve.words import WordsClassifier, WordsSettings
from tokensieve.words.terms import Text

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fit_bag(splits: DataSplits, recipe: Recipe, settings: WordsSettings | None = None) -> WordsClassifier:
    """Fit to the training documents; the validation documents, if there are any, choose settings and temperature.

    Args:
        splits: documents.
        recipe: `class_weights` is read.
        settings: of the bag of words; None: the defaults.

    Raises:
        DataError: no document has a word, or labels do not fit.
    """
    names, held_out = splits.label_names, texts_of(splits.validation)
    truth = targets_of(splits, splits.train)
    with random_states_kept():
        return WordsClassifier.fit(
            texts_of(splits.train),
            truth,
            names,
            validation=(held_out, targets_of(splits, splits.validation)) if held_out else None,
            sample_weight=document_weights(recipe, truth, len(names)),
            settings=settings,
        )


def texts_of(documents: Sequence[Document]) -> list[Text]:
    """The texts, or pairs of texts, as a bag of words takes them."""
    return [document.content for document in documents]


def targets_of(splits: DataSplits, documents: Sequence[Document]) -> NDArray[np.int64]:
    """Class ids [N], or 0 and 1 [N, C] for several labels a document."""
    if splits.multi_label:
        matrix: NDArray[np.int64] = label_matrix(documents, splits.label_names).long().numpy()
        return matrix
    return np.array(class_ids(documents, splits.label_names), dtype=np.int64)


def document_weights(recipe: Recipe, truth: NDArray[np.int64], classes: int) -> NDArray[np.float64] | None:
    """The weight of each document [N] by `class_weights`; None for equal weights, and with several labels."""
    if recipe.class_weights == "none" or truth.ndim == 2:
        return None
    weights: NDArray[np.float64] = balanced_weights(truth.tolist(), classes).double().numpy()
    return weights[truth]
