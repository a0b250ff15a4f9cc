"""A model that is served: the classifier, and what the server tells of it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tokensieve.backbones.loading import file_in
from tokensieve.data.documents import Document
from tokensieve.errors import CheckpointError, ConfigError, InputError
from tokensieve.runtime.classifier import Classifier, Text, documents_of
from tokensieve.runtime.engine import Prepared
from tokensieve.runtime.fingerprint import hash_of_model
from tokensieve.runtime.frontier import Frontier, frontier_of
from tokensieve.serve.refusal import wrong
from tokensieve.version import __version__

logger = logging.getLogger(__name__)

_RECORD = "training.json"
_LONGEST = 1 << 30


@dataclass(frozen=True)
class HowToRead:
    """What a request may ask of its texts.

    Attributes:
        truncate: whether one that is too long is truncated; else it is refused.
        side: on which tokens are cut off, "left" or "right"; None: as the tokenizer says.
        speed: a point of the classifier's frontier, as `Frontier.at` takes it; None: as the server was started.
    """

    truncate: bool
    side: str | None = None
    speed: str | float | None = None


class Served:
    """A classifier, ready to serve.

    Args:
        classifier: as `tokensieve.load` gives it.
        path: where it was loaded from.

    Attributes:
        classifier: as given.
        engine: its engine.
        labels: in the order of the class ids.
    """

    def __init__(self, classifier: Classifier, path: str) -> None:
        self.classifier, self.path = classifier, path
        self.engine, self.labels = classifier.engine, classifier.labels
        self._at: dict[int, Served] = {}

    @property
    def is_multi_label(self) -> bool:
        """Whether a text has any number of labels."""
        return bool(self.classifier.model.config.is_multi_label)

    @cached_property
    def frontier(self) -> Frontier | None:
        """The frontier of the folder; None: there is none that can be used. It is looked for once."""
        try:
            return frontier_of(self.classifier, self.path)
        except CheckpointError as error:  # it names a folder, which is no client's business
            logger.info("no speeds can be asked for: %s", error)
            return None

    def at(self, speed: str | float | None, most: float | None = None) -> Served:
        """The same model at the thresholds of a speed; it shares the weights.

        Args:
            speed: as a request asks for it; None: the model itself.
            most: times the dense encoder's speed that a request may ask for; None: what the frontier has.

        Raises:
            RefusedError: 422, for a speed that is none, is not reached or not allowed; or there is no frontier.
        """
        if speed is None:
            return self
        frontier = self.frontier
        if frontier is None:
            raise wrong("`speed`: this model has no frontier that can be used: leave it out")
        try:
            point = frontier.at(speed, most)
        except ConfigError as error:
            raise wrong(f"`speed`: {error}") from error
        number = frontier.points.index(point)
        if number not in self._at:
            self._at[number] = Served(point.view(self.classifier), self.path)
        return self._at[number]

    def prepare(self, texts: Sequence[Text], how: HowToRead) -> Prepared:
        """Check texts, and do what needs no encoder.

        Raises:
            RefusedError: 422, for a text that cannot be classified, of another form than the model's, or too long.
        """
        try:
            documents = list(documents_of(texts))
            self._check_form(documents[0])
            prepared = self.engine.prepare(documents, side=how.side)
        except (InputError, ConfigError) as error:  # a text that cannot be; a length without room for two texts
            raise wrong(str(error)) from error
        if not how.truncate and prepared.encodings is not None and prepared.encodings.truncated:
            whole = self.engine.prepare(documents, max_length=_LONGEST).encodings
            longest = max(whole.lengths if whole is not None else prepared.encodings.lengths)
            raise wrong(f"`inputs` must have at most {self.engine.max_length} tokens. Given: {longest}; set `truncate`")
        return prepared

    def prepare_together(self, requests: Sequence[Sequence[Text]], how: HowToRead) -> list[Prepared | Exception]:
        """What `prepare` returns or raises for each request.

        Texts of several requests go through the tokenizer and the bag of words together, which is faster. If one of the
        requests is refused, or its texts are too long, it is prepared alone, so that its error names its texts.
        """
        found: list[Prepared | Exception] = []
        for texts, part in zip(requests, self._together(requests, how), strict=True):
            is_whole = part is not None and (how.truncate or part.encodings is None or not part.encodings.truncated)
            try:
                found.append(part if part is not None and is_whole else self.prepare(texts, how))
            except Exception as error:
                found.append(error)
        return found

    def _together(self, requests: Sequence[Sequence[Text]], how: HowToRead) -> Sequence[Prepared | None]:
        """The requests' parts of one call; None for each, if there is one request alone or the call fails."""
        if len(requests) > 1:
            texts = [text for request in requests for text in request]
            with suppress(Exception):  # each is then prepared alone, and raises its own error
                return self.prepare(texts, HowToRead(True, how.side)).split([len(request) for request in requests])
        return [None] * len(requests)

    def _check_form(self, first: Document) -> None:
        pairs = self.classifier.model.config.text_pairs
        if pairs is None or pairs == (first.pair is not None):
            return
        raise wrong(
            "the classifier takes pairs of texts: send `inputs` as [text, second text], or a list of such pairs"
            if pairs
            else "the classifier takes single texts, and `inputs` is a pair: send several texts as `texts`, or as a "
            "list of lists of one text each"
        )

    def warm_up(self) -> None:
        """Classify a short text: the first product lays weights out."""
        text = "the first text"
        pairs = self.classifier.model.config.text_pairs
        self.engine.classify([Document(text, None, "warm-up", 1, text if pairs else None)])

    @cached_property
    def info(self) -> dict[str, Any]:
        """What `/info` tells of the model."""
        config, engine = self.classifier.model.config, self.engine
        names = dict(enumerate(self.labels))
        return {
            "model_id": Path(self.path).name if Path(self.path).exists() else self.path,
            "model_sha": hash_of_model(self.classifier),
            "model_dtype": self.classifier.dtype,
            "model_type": {
                "classifier": {
                    "id2label": {str(number): label for number, label in names.items()},
                    "label2id": {label: number for number, label in names.items()},
                }
            },
            "multi_label": self.is_multi_label,
            "text_pairs": bool(config.text_pairs),
            "max_input_length": engine.max_length,
            "stages": list(engine.stages),
            "settings": config.reduction,
            "measured": self._measured(),
            "version": __version__,
        }

    def _measured(self) -> dict[str, Any] | None:
        """Accuracy and speed as the record of the training has them; None: there is no record, or none of them."""
        record = _record(self.path)
        best = record.get("best")
        found_best = best.items() if isinstance(best, dict) else ()
        scores = {name.removeprefix("eval_"): value for name, value in found_best if name.startswith("eval_")}
        known = {"accuracy", "f1_macro", "f1_micro", "loss"}
        found = {
            "validation": {name: value for name, value in scores.items() if name in known and _is_finite(value)},
            "floors": record.get("floors"),
            "documents": record.get("documents"),
        }
        return found if any(found.values()) else None


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _no_number(name: str) -> None:
    """null for NaN and Infinity, which are no JSON."""


def _record(path: str) -> dict[str, Any]:
    file = file_in(path, _RECORD) if not Path(path).is_file() else None
    if file is None:
        return {}
    try:
        record = json.loads(Path(file).read_text(encoding="utf-8"), parse_constant=_no_number)
    except (OSError, ValueError):  # it informs, and nothing depends on it
        return {}
    return record if isinstance(record, dict) else {}
