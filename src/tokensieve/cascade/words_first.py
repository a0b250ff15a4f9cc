"""A bag of words as the first stage of a cascade: it answers what it is sure of, an encoder reads the rest.

The answer to a deferred document combines both: calibrated logits are added, each with a weight. That is a logarithmic
opinion pool (Genest and Zidek, Statistical Science 1986). The bag of words knows rare words that an encoder has seen
too seldom, the encoder knows what words mean together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokensieve.cascade.defer import Defer
from tokensieve.checks import SHARE, Check, check_values, list_of, number, read_object, shown
from tokensieve.errors import CheckpointError, ConfigError
from tokensieve.model.pretrained import WORDS_FIRST
from tokensieve.system import refuse, system_errors_explained
from tokensieve.words import WordsClassifier
from tokensieve.words.terms import Text, wordless

FORMAT = 1
_REMEDY = "train the classifier again, or put the file back"
_WEIGHT = number(lambda weight: 0 <= weight <= 1e3, "a number in [0, 1000]")
_FIELDS: dict[str, Check] = {
    "defer_below": SHARE,
    "words_weight": _WEIGHT,
    "encoder_weight": _WEIGHT,
    "thresholds": list_of(SHARE, "numbers in [0, 1]").or_none(),
}


@dataclass(frozen=True)
class WordsFirstSettings:
    """When the bag of words defers a document, and how much it counts then.

    Attributes:
        defer_below: calibrated confidence (`model.probabilities.confidence`) below which it defers, in [0, 1].
        words_weight: of its calibrated logits in the answer to a deferred document, in [0, 1000].
        encoder_weight: of the encoder's.
        thresholds: with several labels a document, the probability from which each is given; None: 0.5.

    Raises:
        ConfigError: a value out of range.
    """

    defer_below: float
    words_weight: float
    encoder_weight: float
    thresholds: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_values(vars(self), _FIELDS)

    def combined(self, words: Tensor, encoder: Tensor) -> Tensor:
        """Logits [N, C] of deferred documents, from the calibrated logits of both."""
        return self.words_weight * words + self.encoder_weight * encoder


@dataclass(frozen=True, slots=True)
class WordsAnswers:
    """What the bag of words says of some documents.

    Attributes:
        logits: [N, C] float32, calibrated.
        deferred: the rows of documents that the encoder is to read.
    """

    logits: Tensor
    deferred: list[int]


class WordsFirst:
    """The first stage: a bag of words, and the rule by which it defers.

    Args:
        words: its temperature is fitted.
        settings: the rule.

    Attributes:
        words: as given.
        settings: as given.
        is_multi_label: whether a document has any number of labels.
        thresholds: as in the settings.
    """

    def __init__(self, words: WordsClassifier, settings: WordsFirstSettings) -> None:
        self.words, self.is_multi_label = words, words.multi_label
        self.set_rule(settings)

    def set_rule(self, settings: WordsFirstSettings) -> None:
        """Let another rule hold from now on.

        Raises:
            ConfigError: thresholds for another number of labels.
        """
        words = self.words
        if settings.thresholds is not None and len(settings.thresholds) != len(words.labels):
            raise ConfigError(f"thresholds: {len(settings.thresholds)} of them for {len(words.labels)} labels")
        self.settings, self.thresholds = settings, settings.thresholds

    @property
    def problem_type(self) -> str:
        """As in transformers' configs."""
        return self.words.problem_type

    def answer(self, texts: Sequence[Text]) -> WordsAnswers:
        """Answer texts, or pairs of texts. A text without a known word is always deferred.

        Raises:
            InputError: single texts for a bag of pairs, or the other way round.
        """
        weights = self.words.weights(texts)
        logits = torch.from_numpy(self.words.logits_of_weights(weights)) / self.words.temperature
        rule = Defer(self.settings.defer_below, problem_type=self.problem_type)
        deferred = set(rule.deferred(logits, [1] * len(texts)))
        deferred.update(np.flatnonzero(wordless(weights)).tolist())
        return WordsAnswers(logits, sorted(deferred))

    def digest(self) -> str:
        """SHA-256 over all that an answer depends on, in hex."""
        return sha256(f"{self.settings} {self.words.digest()}".encode()).hexdigest()

    def save(self, folder: str | Path) -> None:
        """Write words_first.json beside the two files of the bag of words; each file is written beside its place first.

        Raises:
            OperatingSystemError: the disk is full, or the system refuses something else.
        """
        place = Path(folder)
        self.words.save(place)
        part = place / f"{WORDS_FIRST}.part"
        record = {"format_version": FORMAT, **asdict(self.settings)}
        with system_errors_explained(place):
            try:
                part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
                os.replace(part, place / WORDS_FIRST)
            finally:
                part.unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: str | Path, labels: Sequence[str]) -> WordsFirst:
        """Read what `save` wrote.

        Args:
            folder: where the files are.
            labels: of the encoder, in the order of its class ids.

        Raises:
            CheckpointError: a file is missing or broken, of another format version, or for other labels.
        """
        file = Path(folder) / WORDS_FIRST
        settings, words = _read(file), WordsClassifier.load(folder)
        if words.labels != tuple(labels):
            raise CheckpointError(
                f"{file}: the bag of words has {len(words.labels)} labels ({', '.join(words.labels[:3])}...), and the "
                f"encoder {len(labels)} ({', '.join(labels[:3])}...): the folder was put together of two; train anew"
            )
        try:
            return cls(words, settings)
        except ConfigError as error:
            raise CheckpointError(f"{file}: {error}; {_REMEDY}") from error


def _read(file: Path) -> WordsFirstSettings:
    try:
        record: dict[str, Any] = read_object(file)
        version = record.pop("format_version", None)
        if version != FORMAT:
            raise ValueError(f"format_version is {shown(version)}, and this tokensieve reads {FORMAT}")
        if wrong := sorted(set(record) ^ set(_FIELDS)):
            raise ValueError(f"{wrong[0]} is {'unknown' if wrong[0] in record else 'missing'}")
        limits = record["thresholds"]
        check_values(record, _FIELDS)
        return WordsFirstSettings(**{**record, "thresholds": None if limits is None else tuple(limits)})
    except (OSError, ValueError) as error:
        if not isinstance(error, FileNotFoundError):
            refuse(error, file)
        raise CheckpointError(f"{file}: cannot be used ({error}); {_REMEDY}") from error
