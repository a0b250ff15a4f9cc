"""Floors: what is fitted in seconds to the documents that an encoder is trained on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tokensieve.backbones.default_model import default_model_dir
from tokensieve.data import DataSplits
from tokensieve.data.tokenize import Encodings, encode
from tokensieve.training.fits.bag import fit_bag, targets_of, texts_of
from tokensieve.training.recipe import Recipe
from tokensieve.words import WordsSettings
from tokensieve.words.static import StaticClassifier, mean_vectors


@dataclass(frozen=True)
class Floor:
    """A fitted floor.

    Attributes:
        answer: texts, or pairs of texts -> probabilities [N, C].
        facts: how it was fitted.
    """

    answer: Callable[[list[Any]], Any]
    facts: dict[str, Any]


def words_floor(splits: DataSplits, settings: dict[str, Any]) -> Floor:
    """A bag of words, fitted to the training documents; the validation documents choose what `settings` leaves open."""
    start = time.perf_counter()
    words = fit_bag(splits, Recipe(), WordsSettings(**settings))
    facts = {
        "fit_seconds": time.perf_counter() - start,
        "settings": words.settings.to_dict(),
        "terms": len(words.weights),
        "temperature": words.temperature,
    }
    return Floor(words.predict_proba, facts)


def static_floor(splits: DataSplits, max_length: int) -> Floor:
    """The mean of the default model's word vectors, fitted likewise."""
    folder: Path = default_model_dir()
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    table = model.get_input_embeddings().weight

    def vectors(texts: list[Any]) -> Any:
        found = encoded(tokenizer, texts, max_length)
        rows = zip(found.input_ids, found.special_tokens_mask, strict=True)
        return mean_vectors(table, [[token for token, own in zip(*row, strict=True) if not own] for row in rows])

    def answer(texts: list[Any]) -> Any:
        return torch.tensor(static.logits(vectors(texts))).softmax(1).numpy()

    start = time.perf_counter()
    held_out = vectors(texts_of(splits.validation)), targets_of(splits, splits.validation)
    training, truth = vectors(texts_of(splits.train)), targets_of(splits, splits.train)
    static = StaticClassifier.fit(training, truth, len(splits.label_names), validation=held_out)
    return Floor(answer, {"fit_seconds": time.perf_counter() - start, "inverse_penalty": static.inverse_penalty})


def encoded(tokenizer: Any, texts: list[Any], max_length: int) -> Encodings:
    """Token ids of texts, or of pairs of texts."""
    firsts, seconds = zip(*texts, strict=True) if isinstance(texts[0], tuple) else (texts, None)
    return encode(tokenizer, firsts, max_length, seconds)
