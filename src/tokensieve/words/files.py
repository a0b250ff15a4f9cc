"""The two files of a bag of words: words.json (labels, settings, terms) and words.safetensors (numbers)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tokensieve.checks import (
    BOOLEAN,
    SHARE,
    TEXT,
    Check,
    check_value,
    check_values,
    list_of,
    number,
    read_object,
    shown,
    whole,
)
from tokensieve.errors import CheckpointError
from tokensieve.system import refuse, whole_files
from tokensieve.words.settings import INVERSE_PENALTY, WordsSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECORD, TENSORS = FILES = "words.json", "words.safetensors"
FORMAT = 1
_REMEDY = "fit it again, or put the file back"
_NAMES = Check(
    lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "give a list of texts",
)
_DIFFERENT = Check(lambda value: _NAMES.fits(value) and len(set(value)) == len(value), "give different texts")
_RECORD = {
    "labels": Check(lambda value: _DIFFERENT.fits(value) and len(value) > 0, "give different texts, one or more"),
    "multi_label": BOOLEAN,
    "settings": Check(lambda value: isinstance(value, dict), "give an object"),
    "temperature": number(lambda heat: 0 < heat <= 1e6, "a number above 0, at most 1e6"),
    "thresholds": list_of(SHARE, "numbers in [0, 1]").or_none(),
    "terms": Check(
        lambda value: isinstance(value, list) and len(value) in (1, 2) and all(map(_DIFFERENT.fits, value)),
        "give one list of different terms, or two for pairs of texts",
    ),
    "coefficients_sha256": TEXT,
}
_SETTINGS = {"max_terms": whole(1), "ngrams": whole(1, 5), "inverse_penalty": INVERSE_PENALTY}


@dataclass(frozen=True)
class WordsFiles:
    """What the files hold.

    Attributes:
        labels: names, C of them.
        multi_label: whether a document has any number of labels.
        settings: as they were chosen.
        temperature: divides the logits.
        thresholds: [C], or None.
        terms: of each text of a document.
        idf: for each, [terms] float32.
        coefficients: [all terms, K] float32; K is C, or 1 for two classes of which a document has one.
        intercepts: [K] float32.
    """

    labels: Sequence[str]
    multi_label: bool
    settings: WordsSettings
    temperature: float
    thresholds: Sequence[float] | None
    terms: Sequence[Sequence[str]]
    idf: Sequence[NDArray[np.float32]]
    coefficients: NDArray[np.float32]
    intercepts: NDArray[np.float32]


def write_words(folder: Path, files: WordsFiles) -> None:
    """Write both files, each beside its place first.

    Raises:
        OperatingSystemError: the disk is full, or the system refuses something else.
    """
    from safetensors.numpy import save_file

    coefficients = np.ascontiguousarray(files.coefficients, dtype=np.float32)
    record = {
        "format_version": FORMAT,
        "labels": list(files.labels),
        "multi_label": files.multi_label,
        "settings": files.settings.to_dict(),
        "temperature": files.temperature,
        "thresholds": None if files.thresholds is None else list(files.thresholds),
        "terms": [list(own) for own in files.terms],
        "coefficients_sha256": _digest_of_numbers(coefficients),
    }
    tensors = {
        "coefficients": coefficients,
        "intercepts": np.ascontiguousarray(files.intercepts, dtype=np.float32),
        **{f"idf.{place}": np.ascontiguousarray(own, dtype=np.float32) for place, own in enumerate(files.idf)},
    }
    with whole_files(folder, (TENSORS, RECORD)) as parts:
        save_file(tensors, parts[TENSORS], {"format": "np", "terms_sha256": _digest(files.terms)})
        # ASCII: a term may be half of a surrogate pair, which no UTF-8 file holds.
        parts[RECORD].write_text(json.dumps(record) + "\n", encoding="ascii")


def read_words(folder: Path) -> WordsFiles:
    """Read and check both files.

    Raises:
        CheckpointError: names the file that is missing, broken, of another version, or does not fit the other one.
    """
    record = _read_record(folder / RECORD)
    labels, terms = record["labels"], record["terms"]
    rows = sum(map(len, terms))
    outputs = 1 if len(labels) == 2 and not record["multi_label"] else len(labels)
    shapes = {"coefficients": [rows, outputs], "intercepts": [outputs]}
    shapes |= {f"idf.{place}": [len(own)] for place, own in enumerate(terms)}
    tensors = _read_tensors(folder / TENSORS, shapes, (_digest(terms), record["coefficients_sha256"]))
    return WordsFiles(
        labels=labels,
        multi_label=record["multi_label"],
        settings=WordsSettings(**record["settings"]),
        temperature=float(record["temperature"]),
        thresholds=record["thresholds"],
        terms=terms,
        idf=[tensors[f"idf.{place}"] for place in range(len(terms))],
        coefficients=tensors["coefficients"],
        intercepts=tensors["intercepts"],
    )


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = read_object(path)
        version = record.get("format_version")
        if version != FORMAT:
            raise CheckpointError(
                f"{path}: format version {shown(version)}, where this tokensieve reads {FORMAT}: read it with the "
                "tokensieve that wrote it"
            )
        if missing := sorted(set(_RECORD) - set(record)):
            raise ValueError(f"{missing[0]} is missing")
        check_values(record, _RECORD)
        if set(record["settings"]) != set(_SETTINGS):
            raise ValueError(f"settings={shown(record['settings'])}: give {', '.join(_SETTINGS)}")
        check_values(record["settings"], _SETTINGS)
        _check_sizes(record)
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: the bag of words cannot be read ({error}); {_REMEDY}") from error
    return record


def _check_sizes(record: Mapping[str, Any]) -> None:
    if len(record["labels"]) < 2 and not record["multi_label"]:
        raise ValueError("two labels are wanted, or more")
    if not all(record["terms"]):
        raise ValueError("a list of terms is empty")
    limits = record["thresholds"]
    fits = Check(lambda value: value is None or len(value) == len(record["labels"]), "give one for each label, or null")
    check_value("thresholds", limits, fits)


def _read_tensors(
    path: Path, shapes: Mapping[str, list[int]], digests: tuple[str, str]
) -> dict[str, NDArray[np.float32]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            names, metadata = set(file.keys()), file.metadata() or {}
            if names != set(shapes):
                raise ValueError(f"it holds the tensors {sorted(names)} in place of {sorted(shapes)}")
            tensors = {name: file.get_tensor(name) for name in shapes}
    except (OSError, ValueError, SafetensorError) as error:
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            refuse(error, path)
        raise CheckpointError(f"{path}: the bag of words cannot be read ({error}); {_REMEDY}") from error
    for name, tensor in tensors.items():
        if list(tensor.shape) != shapes[name] or tensor.dtype != np.float32 or not np.isfinite(tensor).all():
            raise CheckpointError(
                f"{path}: {name} is {tensor.dtype} {list(tensor.shape)}, where finite float32 {shapes[name]} fits "
                f"{RECORD}; {_REMEDY}"
            )
    if metadata.get("terms_sha256") != digests[0] or _digest_of_numbers(tensors["coefficients"]) != digests[1]:
        raise CheckpointError(f"{path}: it belongs to another {RECORD} than the one beside it; {_REMEDY}")
    return tensors


def _digest(terms: Sequence[Sequence[str]]) -> str:
    return hashlib.sha256(json.dumps([list(own) for own in terms]).encode("ascii")).hexdigest()


def _digest_of_numbers(numbers: NDArray[np.float32]) -> str:
    return hashlib.sha256(numbers.tobytes()).hexdigest()
