"""A classifier for `Dataset.map_batches` of Ray Data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tokensieve.data.documents import Document
from tokensieve.data.labels import LabelRule
from tokensieve.data.rows import Columns, Defect, Row
from tokensieve.data.usable import to_document
from tokensieve.errors import ConfigError, InputError
from tokensieve.ray.cluster import assigned_threads
from tokensieve.runtime.load import load
from tokensieve.runtime.results import Result
from tokensieve.runtime.threads import set_threads

ON_ERROR = ("raise", "column")


class Predictor:
    """Adds a classifier's answers to batches of rows; a class for `map_batches` with `ActorPoolStrategy`.

    Each actor loads the classifier once. It takes as many threads as Ray gives it CPUs (`num_cpus`, at least 1), and
    the GPU that Ray gives it (`num_gpus`, also a fraction). Within a batch, documents of similar length are read
    together, so large batches are faster (`batch_size` of 1024 or more).

    Args:
        model: folder or hub name of a trained classifier, on every machine.
        text_column: column of the text.
        pair_column: column of the second text, for a classifier of pairs.
        on_error: "raise": a row without a text that can be classified ends the run. "column": the row has no answer,
            and the column of errors says why.
        prefix: begins the name of each new column: `label`, the label (of a multi-label classifier `labels`, a list);
            `probabilities`, a list in the order of the classifier's labels; with `on_error="column"` also `error`, None
            for an answered row.
        options: as `tokensieve.load` takes them.

    Raises:
        ConfigError: an unknown `on_error`, or as `load`.
        CheckpointError: as `load`.
        MissingExtraError: Ray is not installed.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        text_column: str = "text",
        pair_column: str | None = None,
        on_error: str = "raise",
        prefix: str = "predicted_",
        **options: Any,
    ) -> None:
        if on_error not in ON_ERROR:
            raise ConfigError(f"on_error={on_error!r}: use one of {', '.join(ON_ERROR)}")
        if (threads := assigned_threads()) is not None:
            set_threads(threads)
        self.classifier = load(model, **options)
        self._columns = Columns(text_column, pair=pair_column)
        self._on_error, self._prefix = on_error, prefix

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The batch with the new columns.

        Raises:
            ConfigError: no such text column, a new column whose name is taken, or a batch of another format than
                "numpy", which is Ray's default.
            InputError: a row that cannot be classified, under "raise".
        """
        rows = self._rows(batch)
        checked = [to_document(row, "a batch", self._columns, LabelRule()) for row in rows]
        good = [document for document in checked if isinstance(document, Document)]
        errors = {defect.line: f"{defect.reason}: {defect.detail}" for defect in checked if isinstance(defect, Defect)}
        self._refuse(errors)
        answers = self._answers(good, errors)
        return batch | self._new_columns(len(rows), answers, errors)

    def _rows(self, batch: Any) -> list[Row]:
        """The texts; the line of a row is its place in the batch."""
        if not isinstance(batch, dict):
            raise ConfigError(f"a batch of type {type(batch).__name__}: leave batch_format of map_batches at 'numpy'")
        for name in self._columns.by_role.values():
            if name not in batch:
                raise ConfigError(f"no column {name!r} in {list(batch)}: name the text's (text_column=, pair_column=)")
        taken = [name for name in self._new_names() if name in batch]
        if taken:
            raise ConfigError(f"the column {taken[0]!r} is there already: name another beginning (prefix=)")
        columns = {role: batch[name].tolist() for role, name in self._columns.by_role.items()}
        rows = zip(*columns.values(), strict=True)
        return [Row(place, **dict(zip(columns, values, strict=True))) for place, values in enumerate(rows)]

    def _answers(self, documents: list[Document], errors: dict[int, str]) -> dict[int, Result]:
        """The result of each document by its row; under "column", errors of the others are added."""
        try:
            return self._results(documents)
        except InputError:
            if self._on_error == "raise":
                raise
        good = [document for document in documents if not self._noted(document, errors)]
        return self._results(good)

    def _results(self, documents: list[Document]) -> dict[int, Result]:
        stream = self.classifier.engine.stream(documents, prefetch=False)
        return {document.line: result for document, result in stream}

    def _noted(self, document: Document, errors: dict[int, str]) -> bool:
        """Whether a document alone cannot be classified; its error is noted."""
        try:
            self.classifier.engine.classify([document])
        except InputError as error:
            errors[document.line] = str(error)
        return document.line in errors

    def _refuse(self, errors: dict[int, str]) -> None:
        if errors and self._on_error == "raise":
            row, error = next(iter(errors.items()))
            raise InputError(
                f"row {row} of a batch cannot be classified: {error}; leave it out, or give on_error='column'"
            )

    def _new_names(self) -> list[str]:
        label = "labels" if self.classifier.model.config.is_multi_label else "label"
        names = [label, "probabilities", *["error"][: self._on_error == "column"]]
        return [self._prefix + name for name in names]

    def _new_columns(self, rows: int, answers: dict[int, Result], errors: dict[int, str]) -> dict[str, np.ndarray]:
        labels = self.classifier.labels
        several = self.classifier.model.config.is_multi_label

        def column(value: Callable[[Result], Any]) -> np.ndarray:
            return _objects([value(answers[row]) if row in answers else None for row in range(rows)])

        def label(result: Result) -> Any:
            names = [labels[number] for number in result.labels]
            return names if several else names[0]

        columns = [column(label), column(lambda result: list(result.probabilities))]
        if self._on_error == "column":
            columns.append(_objects([errors.get(row) for row in range(rows)]))
        return dict(zip(self._new_names(), columns, strict=True))


def _objects(values: list[Any]) -> np.ndarray:
    """A column [rows] of any values; Ray makes lists of lists, and nulls of None."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
