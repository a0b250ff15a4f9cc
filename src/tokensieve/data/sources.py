"""Files and standard input as streams of text lines: formats by name, gzip, byte order marks, files of another kind."""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from tokensieve.data.stoppable import stoppable
from tokensieve.errors import ConfigError, DataError

STDIN = "-"
MAX_RECORD_CHARS = 1 << 24
"""The longest line and the longest CSV field, in characters: what bounds the memory of reading."""

EXTENSIONS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".txt": "txt",
}
FORMATS = tuple(dict.fromkeys(EXTENSIONS.values()))

# First bytes of what is often given in place of UTF-8 text, and what to do about it; the longer beginnings first.
_FOREIGN = {
    b"\x1f\x8b": "is compressed with gzip: give it a name that ends in .gz, or decompress it",
    b"PAR1": "is a Parquet file: give it a name that ends in .parquet",
    b"PK\x03\x04": "is a zip archive or a spreadsheet workbook: save its sheet as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "is an old spreadsheet workbook: save its sheet as CSV in UTF-8",
    b"\xff\xfe\0\0": "is in UTF-32: save it as UTF-8",
    b"\0\0\xfe\xff": "is in UTF-32: save it as UTF-8",
    b"\xff\xfe": "is in UTF-16: save it as UTF-8",
    b"\xfe\xff": "is in UTF-16: save it as UTF-8",
}
# Which bytes of a character are null in plain English, where a file has no byte order mark.
_WIDE = {
    "UTF-32": ((False, True, True, True), (True, True, True, False)),
    "UTF-16": ((False, True, False, True), (True, False, True, False)),
}
_HEAD = 64  # bytes


def name_of(source: object) -> str:
    """The name of a source in messages and documents: of a path, the parts of a split, or an opened data set."""
    if isinstance(source, tuple):
        return f"{source[0]} to {source[-1].name}" if len(source) > 1 else str(source[0])
    return "<stdin>" if str(source) == STDIN else str(source)


def split_extension(path: Path) -> tuple[str, str, bool]:
    """Name without extensions, the extension in lower case, and whether ``.gz`` follows it: ``a.csv.gz`` -> a, .csv."""
    gzipped = path.suffix.lower() == ".gz"
    inner = Path(path.stem) if gzipped else path
    return inner.stem, inner.suffix.lower(), gzipped


def kind_of_path(path: str | Path) -> str:
    """The kind of thing at a path: "file", "folder", "pipe", "other", or "nothing".

    Raises:
        DataError: The path cannot be looked at, is none, or is a link to nothing.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:
        raise DataError(f"{str(path)!r}: no path can be so ({error}); check it") from error
    except OSError as error:
        if os.path.islink(path):
            raise DataError(f"{path}: a link to {os.readlink(path)}, which is not there; correct the link") from error
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return "nothing"
        raise DataError(
            f"{path}: cannot be looked at ({error.strerror}); check the permissions of its folders"
        ) from error
    for name, fits in (("file", stat.S_ISREG), ("folder", stat.S_ISDIR), ("pipe", stat.S_ISFIFO)):
        if fits(mode):
            return name
    return "other"


def check_source(path: str | Path, format: str | None) -> str:
    """The format of a source, by `format` if given, else by its name; standard input is JSONL unless told otherwise.

    Raises:
        ConfigError: `format` is not one of `FORMATS`, or is Parquet on standard input.
        DataError: No such file, not a file, or an extension that says nothing.
    """
    if format is not None and format not in FORMATS:
        raise ConfigError(f"unknown data format {format!r}: use one of {', '.join(FORMATS)}")
    if str(path) == STDIN:
        if format == "parquet":
            raise ConfigError(
                "Parquet cannot be read from standard input, as it has to be read from its end: give a file"
            )
        return format or "jsonl"
    path = Path(path)
    kind = kind_of_path(path)
    if kind == "nothing":
        raise DataError(f"{path}: no such file; check the path")
    if kind not in ("file", "pipe"):
        raise DataError(f"{path} is not a file: give one data file of a format like {', '.join(EXTENSIONS)}")
    _, extension, gzipped = split_extension(path)
    found = format or EXTENSIONS.get(extension)
    if found is None:
        raise DataError(
            f"{path}: the extension {extension!r} names no known format: write the data as one of "
            f"{', '.join(EXTENSIONS)} (text formats also with .gz); or, if they are in one of these already, rename "
            "the file, or name the format (format=; of predict --input-format)"
        )
    if found == "parquet" and gzipped:
        raise DataError(f"{path}: Parquet is compressed inside and cannot be read through gzip; decompress the file")
    return found


@contextmanager
def open_text(path: str | Path, *, newline: str) -> Iterator[io.TextIOWrapper]:
    """Open a source as text; bytes that are not UTF-8 become lone surrogates, for the rows' own check.

    Args:
        path: A file, gzip-compressed if its name ends in ``.gz``, or `STDIN`.
        newline: As in `open`: what ends a line.

    Raises:
        DataError: The file is empty, is of another kind or encoding, is broken gzip, or cannot be read.
    """
    source = name_of(path)
    try:
        with _open_binary(path) as binary:
            _refuse_foreign(binary, source)
            text = io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline=newline)
            try:
                yield text
            finally:
                text.detach()  # closing what lies below is not the wrapper's business: it may be standard input
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{source}: broken gzip data ({error}); fetch or compress the file again") from error
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror or error}); check the file") from error


@contextmanager
def _open_binary(path: str | Path) -> Iterator[io.BufferedReader]:
    if str(path) == STDIN:
        if sys.stdin is None:
            raise DataError("there is no standard input to read; give a file")
        with _peekable(sys.stdin.buffer) as buffered, stoppable(buffered) as stream:
            yield stream
    elif Path(path).suffix.lower() == ".gz":
        with gzip.open(path, "rb") as file:
            yield cast(io.BufferedReader, file)  # it has read1 and peek, which is all that is asked for
    else:
        with open(path, "rb") as opened, stoppable(opened) as stream:
            yield stream


@contextmanager
def _peekable(stream: BinaryIO) -> Iterator[io.BufferedReader]:
    """Standard input, also where it has been replaced by a stream in memory, which cannot be peeked into."""
    if hasattr(stream, "peek"):
        yield cast(io.BufferedReader, stream)
        return
    buffered = io.BufferedReader(cast(io.RawIOBase, stream))
    try:
        yield cast(io.BufferedReader, buffered)
    finally:
        buffered.detach()


def _refuse_foreign(binary: io.BufferedReader, source: str) -> None:
    head = binary.peek(_HEAD)[:_HEAD]
    if not head:
        raise DataError(f"{source} is empty: give a file with at least one record")
    for magic, remedy in _FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"{source} {remedy}")
    nulls = [byte == 0 for byte in head[: len(head) // 4 * 4]]
    for encoding, patterns in _WIDE.items():
        if any(nulls and nulls == list(pattern) * (len(nulls) // 4) for pattern in patterns):
            raise DataError(f"{source} looks as if it was in {encoding}, without a byte order mark: save it as UTF-8")


def bounded_lines(text: io.TextIOWrapper, source: str, opening: str = "") -> Iterator[str]:
    """The lines of a text with their ends, after what was read of it as `opening`.

    Raises:
        DataError: A line of more than `MAX_RECORD_CHARS` characters.
    """
    number = 0
    *whole, begun = opening.split("\n")
    for line in whole:
        number += 1
        yield f"{line}\n"
    while line := begun + text.readline(MAX_RECORD_CHARS):
        begun = ""
        number += 1
        if len(line) >= MAX_RECORD_CHARS and not line.endswith("\n"):
            raise DataError(
                f"{source}, line {number} is longer than {MAX_RECORD_CHARS} characters: {line[:30]!r}...; "
                "check that this is a text file with one record a line"
            )
        yield line
