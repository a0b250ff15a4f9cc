"""Predictions of a stream, written as JSONL or CSV: to a part file that is renamed when all is done, or to stdout."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from tokensieve.data.documents import Document
from tokensieve.errors import ConfigError
from tokensieve.runtime.engine import Result
from tokensieve.runtime.load import Classifier

OutputFormat = Literal["jsonl", "csv"]


def write_predictions(
    classifier: Classifier,
    documents: Iterable[Document],
    out: IO[str],
    kind: OutputFormat,
    *,
    tokens: bool = False,
    progress: Any = None,
) -> int:
    """Classify a stream and write a record a document, in order.

    A record has the source line, the label (of a multi-label model the list of its labels), the probability of each
    class and, with `tokens`, the surviving tokens and the combination token that each of them joined (null without a
    combining module). `progress` wraps the stream of results, such as tqdm.

    Returns:
        The number of documents written.
    """
    writer = _JsonlWriter(out) if kind == "jsonl" else _CsvWriter(out, classifier, tokens)
    count = 0
    stream: Iterable[tuple[Document, Result]] = classifier.engine.stream(documents, tokens=tokens)
    for document, result in progress(stream) if progress is not None else stream:
        writer.write(_record(classifier, document, result))
        count += 1
    return count


def output_format(path: str, kind: str | None) -> OutputFormat:
    """The format named, else the one of the file's ending, else JSONL for stdout.

    Raises:
        ConfigError: an unknown format or ending.
    """
    name = path.removesuffix(".gz").rpartition(".")[2].lower() if kind is None and path != "-" else kind or "jsonl"
    if name in ("jsonl", "ndjson"):
        return "jsonl"
    if name == "csv":
        return "csv"
    raise ConfigError(f"output {path!r}: cannot write {name!r}; end the name in .jsonl or .csv, or name the format")


@contextmanager
def part_file(path: Path) -> Iterator[IO[str]]:
    """Write to `path`.part and rename it to `path` at the end; on an error nothing is left behind.

    A pipe or a device is written to as it is.

    Raises:
        ConfigError: the folder of `path` does not exist, or `path` is a folder.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ConfigError(f"output {path}: give a file in a folder that exists")
    opener: Any = gzip.open if path.suffix == ".gz" else open
    if path.exists() and not path.is_file():
        with opener(path, "wt", encoding="utf-8", newline="") as out:
            yield out
        return
    path = path.resolve()  # of a link, the file that it names
    part = path.with_name(path.name + ".part")
    try:
        with opener(part, "wt", encoding="utf-8", newline="") as out:
            yield out
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _record(classifier: Classifier, document: Document, result: Result) -> dict[str, Any]:
    names = [classifier.labels[number] for number in result.labels]
    record: dict[str, Any] = {
        "line": document.line,
        **({"labels": names} if classifier.model.config.is_multi_label else {"label": names[0]}),
        "probabilities": dict(zip(classifier.labels, result.probabilities, strict=True)),
    }
    if result.tokens is not None:
        record |= {"tokens": list(result.tokens), "joined": result.joined and list(result.joined)}
    return record


class _JsonlWriter:
    def __init__(self, out: IO[str]) -> None:
        self.out = out

    def write(self, record: dict[str, Any]) -> None:
        self.out.write(json.dumps(record, ensure_ascii=False) + "\n")


class _CsvWriter:
    """Columns: line, label, a probability:<label> for each class, then tokens and joined, space-separated.

    Of a multi-label model the second column is labels, joined by |.
    """

    def __init__(self, out: IO[str], classifier: Classifier, tokens: bool) -> None:
        self.writer = csv.writer(out, lineterminator="\n")
        label = "labels" if classifier.model.config.is_multi_label else "label"
        probabilities = (f"probability:{name}" for name in classifier.labels)
        self.writer.writerow(["line", label, *probabilities, *["tokens", "joined"][: 2 * tokens]])

    def write(self, record: dict[str, Any]) -> None:
        label = "|".join(record["labels"]) if "labels" in record else record["label"]
        row = [record["line"], label, *record["probabilities"].values()]
        if "tokens" in record:
            row += [" ".join(record["tokens"]), " ".join(map(str, record["joined"] or ()))]
        self.writer.writerow(row)
