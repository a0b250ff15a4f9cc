"""Classifier: texts in, labels out. What `tokensieve.load` gives, and where its path to the model begins."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

import torch

from tokensieve.cascade.build import EncoderClassifier
from tokensieve.data.documents import Document
from tokensieve.data.labels import LabelRule
from tokensieve.data.rows import Columns, Defect, Row
from tokensieve.data.texts import texts_in
from tokensieve.data.usable import to_document
from tokensieve.errors import ConfigError, InputError
from tokensieve.old_names import renamed_keyword
from tokensieve.runtime.engine import Engine
from tokensieve.runtime.precision import dtype_name
from tokensieve.runtime.results import Result

if TYPE_CHECKING:
    import numpy as np

Text = str | tuple[str, str]
"""A text, or two that are classified together."""

_PREFETCH_FROM = 1024  # from so many texts on: before, there is one window, and a thread has nothing to do beside it


class Classifier:
    """A trained classifier, ready to predict; made by `load`.

    Attributes:
        engine: runs the model.
        labels: class names in the order of the class ids.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.labels = engine.model.config.label_names

    @property
    def model(self) -> EncoderClassifier:
        """The model, or the cascade."""
        return self.engine.model

    @property
    def dtype(self) -> str:
        """Weights and activations: "float32", "bfloat16", "float16" or "int8"."""
        return "int8" if self.model.config.int8 else dtype_name(self.model.dtype)

    def predict(self, texts: Iterable[Text]) -> list[str] | list[list[str]]:
        """The label of each text, in order; of a multi-label model a list of its labels, maybe none, in their order.

        Args:
            texts: strings, or tuples (text, second text) for a model of text pairs; or a table with a column of them,
                as `tokensieve.data.texts.texts_in` reads it. A large collection is read in a thread beside the model.
                An iterator may belong to the thread that made it, and is read in the caller's.

        Raises:
            InputError: a text that no file may hold either: empty, of another type, binary, or not valid Unicode.
            DataError: a table that does not tell which column holds the texts, or no collection of texts.
            ConfigError: a single string in place of a list.
        """
        results = self.results(texts)
        if self.model.config.is_multi_label:
            return [[self.labels[number] for number in result.labels] for result in results]
        return [self.labels[result.label] for result in results]

    def predict_proba(self, texts: Iterable[Text]) -> np.ndarray:
        """Probabilities [N, number of labels] float32, columns in the order of `labels`."""
        import numpy as np

        rows = [result.probabilities for result in self.results(texts)]
        return np.asarray(rows, dtype=np.float32).reshape(len(rows), len(self.labels))

    def results(self, texts: Iterable[Text], *, tokens: bool = False) -> list[Result]:
        """Everything the engine tells of each text; with `tokens` also the tokens that survived."""
        found = texts_of(texts, self.model.config.text_pairs)
        stream = self.engine.stream(documents_of(found), tokens=tokens, prefetch=is_large(found))
        return [result for _, result in stream]

    @renamed_keyword("normalize_embeddings", "normalize")
    def encode(self, texts: Iterable[Text], *, normalize: bool = False) -> np.ndarray:
        """The vector of each text, [N, hidden size] float32: what the last layer of the model's head reads.

        With pooling "pretrained" that is the output of the family's own pooler on the first token. With "mean" it is
        the mean of the final tokens. The vectors are those of a classifier: near each other where the labels are.

        Args:
            texts: as in `predict`.
            normalize: scale each vector to length 1, so that a dot product is a cosine.

        Raises:
            InputError, DataError, ConfigError: as `predict`.
        """
        found = texts_of(texts, self.model.config.text_pairs)
        vectors = self.engine.embed(documents_of(found), prefetch=is_large(found))
        return scaled(vectors, normalize)


def scaled(vectors: torch.Tensor, normalize: bool) -> np.ndarray:
    """Vectors [N, d] as an array, each of length 1 if asked for."""
    return (torch.nn.functional.normalize(vectors, dim=1) if normalize else vectors).numpy()


def texts_of(texts: Iterable[Text], paired: bool | None) -> Iterable[Text]:
    """The texts of a collection, a table or an iterator, as `texts_in`.

    Raises:
        ConfigError: one string.
        DataError: as `texts_in`.
    """
    if isinstance(texts, str):
        raise ConfigError("give a list of texts, not one string: [text]")
    return texts_in(texts, paired)


def is_large(texts: Iterable[Text]) -> bool:
    """Whether a thread that reads and tokenizes beside the model is worth it."""
    return isinstance(texts, Collection) and len(texts) > _PREFETCH_FROM


def documents_of(texts: Iterable[Text]) -> Iterator[Document]:
    """Texts or pairs of texts, checked by the rule that readers of files have, each under its place in the list."""
    width = 0
    for number, text in enumerate(texts):
        parts = text if isinstance(text, tuple) else (text,)
        if isinstance(text, tuple) and len(parts) != 2:
            raise InputError(f"document {number} is a tuple of {len(parts)}: give a string, or (text, second text)")
        columns = Columns("text", pair="pair" if len(parts) == 2 else None)
        found = to_document(Row(number, *parts[:1], pair=parts[-1]), "texts", columns, LabelRule())
        if isinstance(found, Defect):
            what = f"document {number} cannot be classified: {found.reason}: {found.detail}"
            raise InputError(f"{what}; give a string with text, or leave it out")
        width = width or len(parts)
        if len(parts) != width:
            here, before = ("one text", "pairs") if width == 2 else ("a pair of texts", "single texts")
            raise InputError(f"document {number} is {here}, those before it are {before}: give all in one form")
        yield found
