"""Predictions of a stream as records of JSONL or CSV, in one go or by commits that a later run can resume."""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import IO, Any, Literal

from tokensieve.data.documents import Document
from tokensieve.data.labels import LabelRule
from tokensieve.errors import ConfigError
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.results import Result
from tokensieve.runtime.resume import ResumablePart

OutputFormat = Literal["jsonl", "csv"]
_FIELDS = {"source", "line", "label", "labels", "probabilities", "tokens", "joined"}
_LONGEST_LINE = 1 << 24  # characters that are read of a file which may be of another kind


def write_predictions(
    classifier: Classifier,
    documents: Iterable[Document],
    out: IO[str],
    kind: OutputFormat,
    *,
    tokens: bool = False,
    label_separator: str = "|",
    progress: Any = None,
    root: Path | None = None,
) -> int:
    """Classify a stream and write a record a document, in order.

    A record has the source line, the label (of a multi-label model the list of its labels), the probability of each
    class and, with `tokens`, the surviving tokens and the combination token that each of them joined (null without a
    combining module). `progress` wraps the stream of results, such as tqdm. `label_separator` stands between the labels
    of a cell of CSV. With `root`, the folder that the input's files lie below, a record begins with its file's path
    from there, so that file and line name the row.

    Returns:
        The number of documents written.

    Raises:
        ConfigError: as `check_label_cells`.
    """
    check_label_cells(classifier, kind, label_separator)
    header = _header(classifier, tokens, root) if kind == "csv" else []
    writer = _JsonlWriter(out) if kind == "jsonl" else _CsvWriter(out, header, label_separator)
    with closing(classifier.engine.stream(documents, tokens=tokens)) as stream:
        return _write(writer, classifier, stream, progress, root)


def write_resumable(
    classifier: Classifier,
    documents: Iterable[Document],
    part: ResumablePart,
    kind: OutputFormat,
    *,
    tokens: bool = False,
    label_separator: str = "|",
    progress: Any = None,
    root: Path | None = None,
) -> None:
    """As `write_predictions`, to a part file that is committed at the end of each of the engine's windows.

    The results of a window come together, after most of its time has passed: commits within it would save no work.
    An engine that chooses its budget goes on with the one that it had chosen, as the last digits depend on it.

    Args:
        classifier: predicts.
        documents: all of the input, those included that the part has the records of.
        part: its `state` says what is done.
        kind: format of the records.
        tokens: as in `write_predictions`.
        label_separator: as in `write_predictions`.
        progress: as in `write_predictions`, over the results that are still to come.
        root: as in `write_predictions`.

    Raises:
        ConfigError: as `check_label_cells`.
    """
    check_label_cells(classifier, kind, label_separator)
    engine, start = classifier.engine, part.state
    truncated = start.truncated - engine.truncated
    if engine.batch_tokens == "auto" and start.batch_tokens is not None:
        engine.batch_tokens = start.batch_tokens
    header = [] if start.documents else _header(classifier, tokens, root)
    writer: _JsonlWriter | _CsvWriter = _JsonlWriter(part.records)
    if kind == "csv":
        writer = _CsvWriter(part.records, header, label_separator)

    def results() -> Generator[tuple[Document, Result], None, None]:
        with closing(engine.stream_windows(documents, tokens=tokens, skip=start.documents)) as windows:
            for window in windows:
                yield from window
                chosen = None if engine.batch_tokens == "auto" else engine.budget
                part.commit(part.state.documents + len(window), truncated + engine.truncated, chosen)

    with closing(results()) as stream:
        _write(writer, classifier, stream, progress, root)


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


def check_label_cells(classifier: Classifier, kind: OutputFormat, separator: str) -> None:
    """Refuse cells of CSV that cannot be divided into the labels again; before anything is written.

    Args:
        classifier: its labels are written; only those of a multi-label model share a cell.
        kind: format of the records.
        separator: what stands between the labels of a cell.

    Raises:
        ConfigError: an empty separator, or a label that reading the cell would not give back.
    """
    if kind != "csv" or not classifier.model.config.is_multi_label:
        return
    if not separator:
        raise ConfigError("label_separator is empty: give what stands between the labels of a cell, such as '|'")
    rule = LabelRule(multi=True, separator=separator)
    for label in classifier.labels:
        if rule.read(1, label) != (label,):
            raise ConfigError(
                f"the label {label!r} cannot be read back from a cell of CSV with {separator!r} between labels: name "
                "another --label-separator (label_separator), or write .jsonl"
            )


def is_prediction(file: IO[str]) -> bool:
    """Whether an opened file holds predictions of ours and nothing more, by its first line.

    A column or a field that predictions do not have is the user's: a correction, a note.
    """
    line = file.readline(_LONGEST_LINE)
    if line.removeprefix("source,").startswith(("line,label,", "line,labels,")):
        columns = next(csv.reader([line.removeprefix("source,")]))[2:]
        if columns[-2:] == ["tokens", "joined"]:
            columns = columns[:-2]
        return bool(columns) and all(column.startswith("probability:") for column in columns)
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and {"line", "probabilities"} <= record.keys() <= _FIELDS


def _write(
    writer: _JsonlWriter | _CsvWriter,
    classifier: Classifier,
    stream: Iterable[tuple[Document, Result]],
    progress: Any,
    root: Path | None,
) -> int:
    count = 0
    for document, result in progress(stream) if progress is not None else stream:
        writer.write(_record(classifier, document, result, root))
        count += 1
    return count


def _record(classifier: Classifier, document: Document, result: Result, root: Path | None) -> dict[str, Any]:
    names = [classifier.labels[number] for number in result.labels]
    record: dict[str, Any] = {
        **({} if root is None else {"source": Path(document.source).relative_to(root).as_posix()}),
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


def _header(classifier: Classifier, tokens: bool, root: Path | None) -> list[str]:
    """Columns of CSV: (source), line, label, a probability:<label> for each class, then tokens and joined.

    The column of a multi-label model is `labels`.
    """
    label = "labels" if classifier.model.config.is_multi_label else "label"
    probabilities = (f"probability:{name}" for name in classifier.labels)
    return [*["source"][: root is not None], "line", label, *probabilities, *["tokens", "joined"][: 2 * tokens]]


class _CsvWriter:
    """Rows in the order of `_header`; a separator stands between several labels, a space between tokens."""

    def __init__(self, out: IO[str], header: list[str], separator: str) -> None:
        self.writer, self.separator = csv.writer(out, lineterminator="\n"), separator
        if header:
            self.writer.writerow(header)

    def write(self, record: dict[str, Any]) -> None:
        row = [record["source"]] if "source" in record else []
        label = self.separator.join(record["labels"]) if "labels" in record else record["label"]
        row += [record["line"], label, *record["probabilities"].values()]
        if "tokens" in record:
            row += [" ".join(record["tokens"]), " ".join(map(str, record["joined"] or ()))]
        self.writer.writerow(row)
