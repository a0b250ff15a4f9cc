"""Training, validation and test documents: found in a folder or data set, or carved off a single file."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tokensieve.data.documents import Document, Tally
from tokensieve.data.doubts import doubts
from tokensieve.data.folders import Source, find_split_files, warn_of_test
from tokensieve.data.huggingface import DatasetSplit
from tokensieve.data.labels import INDICATOR_REMEDY, are_indicators
from tokensieve.data.readers import Policy, read_documents, takes_delimiter
from tokensieve.data.rows import list_names
from tokensieve.data.sampling import carve_validation, check_fraction, labels_of, sample_by_label, sample_unlabelled
from tokensieve.data.sources import name_of, split_extension
from tokensieve.errors import ConfigError, DataError, TokensieveError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DataSplits:
    """Labelled documents for training, for choosing the checkpoint, and for the final measurement.

    Attributes:
        train: Never empty, of two labels or more; in multi-label data of two different sets of labels, for which
            one label is enough, that some documents have and others have not.
        validation: Empty only where none was given and none was asked for.
        test: Empty where none was given.
        unlabelled: Documents without labels, read by feature distillation and the fit of a cascade.
        tallies: What became of the records, by the split of the file they were in. A validation split carved off
            the training file is counted under ``train``.
    """

    train: tuple[Document, ...]
    validation: tuple[Document, ...] = ()
    test: tuple[Document, ...] = ()
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    unlabelled: tuple[Document, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels of the training documents in a fixed order: whole numbers by value, anything else by code point.

        The place of a label is its class id.
        """
        return sort_labels({label for document in self.train for label in labels_of(document)})

    @property
    def multi_label(self) -> bool:
        """Whether a document has any number of labels, as a tuple, in place of exactly one."""
        return any(isinstance(document.label, tuple) for document in self.train)

    def limited(
        self,
        *,
        train: int | None = None,
        validation: int | None = None,
        test: int | None = None,
        unlabelled: int | None = None,
    ) -> DataSplits:
        """At most so many documents a split, each label in its share; the same ones every time, in their order.

        Raises:
            ConfigError: A limit below 1, or one for the training documents below the number of labels.
        """
        if train is not None and train < len(self.label_names):
            raise ConfigError(
                f"a limit of {train} training documents leaves out some of the {len(self.label_names)} labels; "
                f"raise it to {len(self.label_names)} or more"
            )
        return replace(
            self,
            train=sample_by_label(self.train, train),
            validation=sample_by_label(self.validation, validation),
            test=sample_by_label(self.test, test),
            unlabelled=sample_unlabelled(self.unlabelled, unlabelled),
        )


def sort_labels(labels: set[str]) -> tuple[str, ...]:
    """Labels in the order of their class ids, see `DataSplits.label_names`."""
    # Up to 18 digits: Python refuses to convert very long ones.
    if all(re.fullmatch(r"-?[0-9]{1,18}", label) for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


def load_splits(
    path: str | Path,
    *,
    text_column: str = "text",
    label_column: str = "label",
    pair_column: str | None = None,
    multi_label: bool = False,
    label_separator: str = "|",
    policy: Policy = "error",
    validation_fraction: float = 0.2,
    seed: int = 0,
    unlabelled: str | Path | None = None,
    delimiter: str | None = None,
) -> DataSplits:
    """Read labelled documents for training from a file, a folder with a file for each split, or a data set.

    Args:
        path: One data file, all of it for training; or a folder with ``train.*``, and if there are such
            ``validation.*`` (or ``valid``, ``val``, ``dev``) and ``test.*``, each in any format with labels, or in
            parts called ``train-00000-of-00002.*``. Or a data set of the package `datasets`: a folder that
            ``save_to_disk`` wrote, or, where no such path exists, the ``name`` or ``name:config`` that its
            ``load_dataset`` takes. A test split of a data set whose labels are all kept secret (-1) is left out.
        text_column: As in `read_documents`.
        label_column: As in `read_documents`.
        pair_column: As in `read_documents`.
        multi_label: As in `read_documents`.
        label_separator: As in `read_documents`.
        policy: As in `read_documents`. A label that does not occur in the training file is an unknown one elsewhere.
            It is for training and validation files: whatever is wrong with a test file ends in a warning.
        validation_fraction: Share of the training documents, at most 0.5, that becomes the validation split where
            there is no file for it; see `carve_validation`. 0 for none.
        seed: Chooses which documents these are.
        unlabelled: One file more, as `read_documents` takes it; if it has labels, they are not read.
        delimiter: As in `read_documents`, for all files but those of JSON and Parquet, and plain text in `unlabelled`.
            A folder's split files may then be called ``.txt`` too.

    Raises:
        ConfigError: `validation_fraction` is out of range, or as `read_documents`.
        DataError: As `read_documents`; no training file, two files for one split, or documents that all have the
            same labels.
        MissingExtraError: As `read_documents`.
    """
    check_fraction(validation_fraction)
    files = find_split_files(path, tables=delimiter is not None)
    if unlabelled is not None:
        files["unlabelled"] = unlabelled
    documents: dict[str, tuple[Document, ...]] = {}
    tallies: dict[str, Tally] = {}
    settings: dict[str, Any] = {
        "text_column": text_column,
        "label_column": label_column,
        "pair_column": pair_column,
        "multi_label": multi_label,
        "label_separator": label_separator,
        "policy": policy,
        "delimiter": delimiter,
    }
    for split, file in files.items():
        tally = tallies[split] = Tally()
        if split == "test":
            documents[split] = _read_test(file, settings, tally)
        else:
            documents[split] = tuple(read_documents(file, **_settings_for(split, file, settings), tally=tally))
        if not tally.read:
            del tallies[split]
            continue
        if split == "train":
            settings["known_labels"] = _checked_labels(documents[split], file)
            for doubt in doubts(documents[split]):
                logger.warning("%s: %s", name_of(file), doubt)
        logger.info("%s: %s", name_of(file), "; ".join(line.strip() for line in tally.summary()))
    train, validation = documents["train"], documents.get("validation", ())
    if "validation" not in files and validation_fraction > 0:
        train, validation = carve_validation(train, validation_fraction, seed)
        logger.info("validation: %d documents carved off %d", len(validation), len(documents["train"]))
    return DataSplits(train, validation, documents.get("test", ()), tallies, documents.get("unlabelled", ()))


def _settings_for(split: str, file: Source, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by which the file of a split is read."""
    changed = dict(settings)
    if split == "unlabelled":
        changed["label_column"] = changed["known_labels"] = None
        plain = isinstance(file, str | Path) and split_extension(Path(file))[1] == ".txt"
        changed["delimiter"] = None if plain else settings["delimiter"]
    if split != "train" and changed["delimiter"] is not None and not takes_delimiter(file):
        changed["delimiter"] = None
    return changed


def _read_test(file: Source, settings: Mapping[str, Any], tally: Tally) -> tuple[Document, ...]:
    """The usable documents of a test split; training needs none of them, so that nothing about it is an error."""
    documents: list[Document] = []
    try:
        if isinstance(file, DatasetSplit) and file.is_unlabelled(settings["label_column"]):
            logger.info("%s: left out, as none of its rows has a label", name_of(file))
            return ()
        reading = read_documents(file, **{**_settings_for("test", file, settings), "policy": "skip"}, tally=tally)
        documents.extend(reading)
    except TokensieveError as error:
        warn_of_test(error)
    else:
        if tally.rejected and settings["policy"] == "error":
            warn_of_test(f"{tally.rejected} of {tally.read} records cannot be used; the first: {tally.examples[0]}")
    return tuple(documents)


def _checked_labels(train: Sequence[Document], source: Source) -> set[str]:
    kinds = {frozenset(labels_of(document)) for document in train}
    if len(kinds) < 2:
        only = sorted(next(iter(kinds)))
        has = f"have the label{'s' * (len(only) > 1)} {list_names(only)}" if only else "have no label"
        wanted = "that differ in their labels" if isinstance(train[0].label, tuple) else "of at least two labels"
        remedy = INDICATOR_REMEDY if are_indicators(only) else f"give documents {wanted}, or check the label column"
        raise DataError(f"{name_of(source)}: all {len(train)} training documents {has}; {remedy}")
    return {label for kind in kinds for label in kind}
