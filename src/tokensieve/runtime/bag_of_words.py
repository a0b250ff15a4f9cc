"""A bag of words that was saved alone, behind what predicts by an encoder: the same calls, records and reports."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from tokensieve.data.documents import Document
from tokensieve.errors import ConfigError
from tokensieve.model.probabilities import class_probabilities
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.engine import Engine, Prepared
from tokensieve.runtime.results import Result, decide
from tokensieve.runtime.windows import check_forms, unfinished
from tokensieve.runtime.words_first import WORDS
from tokensieve.words import WordsClassifier
from tokensieve.words.files import RECORD

_REASON = "a bag of words has no encoder"


@dataclass(frozen=True)
class WordsConfig:
    """What a model's config tells of labels and calibration, told of a bag of words."""

    words: WordsClassifier
    int8 = None

    @property
    def is_multi_label(self) -> bool:
        """Whether a document has any number of labels."""
        return self.words.multi_label

    @property
    def problem_type(self) -> str:
        """As in transformers' configs."""
        return self.words.problem_type

    @property
    def label_names(self) -> tuple[str, ...]:
        """Labels in the order of the class ids."""
        return self.words.labels

    @property
    def text_pairs(self) -> bool:
        """Whether it classifies pairs of texts."""
        return self.words.pairs

    @property
    def calibration_temperature(self) -> float:
        """Divides the logits."""
        return self.words.temperature

    @property
    def thresholds(self) -> list[float] | None:
        """With several labels a document, the probability from which each is given."""
        return None if self.words.thresholds is None else list(self.words.thresholds)

    @property
    def reduction(self) -> dict[str, Any]:
        """Nothing is reduced: the settings of the bag of words."""
        return {"words": self.words.settings.to_dict()}


class WordsModel:
    """Stands where a model does.

    Attributes:
        config: tells labels and calibration.
        device: the CPU.
        dtype: float32.
    """

    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, words: WordsClassifier) -> None:
        self.words, self.config = words, WordsConfig(words)


class WordsEngine:
    """Runs a bag of words over documents, as `Engine` runs an encoder; every text is read whole.

    Attributes:
        model: the bag of words.
        batch_tokens: 0, as there are no tokens, and no batches of them.
        budget: the same.
        max_length: None.
        truncated: 0.
        stages: the bag of words alone.
        words_first: None, as there is no encoder that it goes ahead of.
    """

    batch_tokens = budget = truncated = 0
    max_length = None
    stages = (WORDS,)
    words_first = None

    def __init__(self, words: WordsClassifier) -> None:
        self.model = WordsModel(words)

    def stream(
        self, documents: Iterable[Document], *, tokens: bool = False, prefetch: bool = True
    ) -> Generator[tuple[Document, Result], None, None]:
        """Classify a stream of any length, a window at a time, in its order; arguments as `Engine.stream` has them."""
        with closing(self.stream_windows(documents, tokens=tokens, prefetch=prefetch)) as windows:
            for window in windows:
                yield from window

    def stream_windows(
        self, documents: Iterable[Document], *, tokens: bool = False, skip: int = 0, prefetch: bool = True
    ) -> Generator[list[tuple[Document, Result]], None, None]:
        """As `stream`, with the results of a window together; `skip` documents at the start have no results."""
        with closing(unfinished(documents, skip)) as windows:
            for window, done in windows:
                left = window[done:]
                yield list(zip(left, self.classify(left, tokens=tokens), strict=True))

    def classify(self, documents: Sequence[Document], *, tokens: bool = False) -> list[Result]:
        """Classify documents that fit into memory together. A result's length is the number of its known terms.

        Raises:
            InputError: single texts for a bag of pairs, or the other way round.
            DataError: some documents have a second text and others have not.
            ConfigError: `tokens` are asked for.
        """
        if tokens:
            raise ConfigError(f"{_REASON}, and so no tokens that survive: leave --tokens out (tokens=False)")
        if not documents:
            return []
        config, words = self.model.config, self.model.words
        check_forms(documents, words.pairs)
        weights = words.weights([document.content for document in documents])
        logits = torch.from_numpy(words.logits_of_weights(weights))
        rows = class_probabilities(logits, config.problem_type, config.calibration_temperature).tolist()
        known = weights.getnnz(axis=1).tolist()
        return [
            Result(tuple(row), *decide(row, config), tuple(scores), length, (), stage=WORDS)
            for row, scores, length in zip(rows, logits.tolist(), known, strict=True)
        ]

    def prepare(self, documents: Sequence[Document], **how: Any) -> Prepared:
        """As `Engine.prepare`: all answers, as no encoder reads anything; nothing is truncated."""
        return Prepared(len(documents), None, (), self.classify(documents))

    def finish(self, prepared: Prepared, read: Sequence[Result], *, tokens: bool = False) -> list[Result]:
        """The results that `prepare` made."""
        results: list[Result] = prepared.answered
        return results

    def choose_budget(self, documents: Iterable[Document]) -> int:
        """Nothing to choose: 0."""
        return self.budget

    def embed(self, documents: Iterable[Document], *, prefetch: bool = True) -> Tensor:
        """Raise ConfigError: there are no document vectors."""
        raise ConfigError(f"{_REASON}, and so no document vectors: load a classifier that has one")


class BagOfWords(Classifier):
    """A bag of words, ready to predict; made by `load`."""

    def __init__(self, words: WordsClassifier) -> None:
        super().__init__(cast(Engine, WordsEngine(words)))  # which has all that is used of an engine
        self.words = words


def is_bag_of_words(path: Any) -> bool:
    """Whether this is a folder that holds a bag of words, and no encoder."""
    if not isinstance(path, (str, Path)):
        return False
    folder = Path(path)
    try:
        return (folder / RECORD).is_file() and not (folder / "config.json").exists()
    except (OSError, ValueError):  # no path can be so: the reader of encoders says why
        return False


def load_bag_of_words(path: str | Path, max_length: int | None = None) -> BagOfWords:
    """Read a folder that `tokensieve train --preset words` wrote.

    Raises:
        CheckpointError: as `WordsClassifier.load`.
        ConfigError: a length, to which nothing is truncated.
    """
    if max_length is not None:
        raise ConfigError(f"max_length={max_length}: a bag of words reads every text whole; leave it out")
    return BagOfWords(WordsClassifier.load(path))
