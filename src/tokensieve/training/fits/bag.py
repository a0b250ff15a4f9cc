"""A bag of words fitted to the documents of a training: as its floor, as a first stage, or alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from tokensieve.data.documents import Document
from tokensieve.data.splits import DataSplits
from tokensieve.data.targets import class_ids, label_matrix
from tokensieve.data.weights import weights_of
from tokensieve.training.losses.labels import balanced_weights
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
            validation_weight=weights_of(splits.validation),
            sample_weight=weights_of(splits.train),
            class_weight=class_weights(recipe, splits, truth),
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


def class_weights(recipe: Recipe, splits: DataSplits, truth: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """The weight of each class [C] by `class_weights`; None for equal weights, and with several labels.

    Args:
        recipe: `class_weights` is read.
        splits: documents.
        truth: of the training documents, as `targets_of` gives it.
    """
    if recipe.class_weights == "none" or truth.ndim == 2:
        return None
    weights = weights_of(splits.train)
    counts = None if weights is None else torch.from_numpy(weights)
    balanced: NDArray[np.float64] = balanced_weights(truth.tolist(), len(splits.label_names), counts).double().numpy()
    return balanced
