"""Vectors of a stream of texts in a file: Parquet with the line of each text, or a matrix of numpy."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from tokensieve.data.documents import Document
from tokensieve.data.parquet import require_pyarrow
from tokensieve.errors import ConfigError
from tokensieve.runtime.classifier import scaled
from tokensieve.runtime.part import check_replaceable, is_stream, part_bytes
from tokensieve.runtime.results import Embedded
from tokensieve.runtime.sentences import SentenceEncoder

if TYPE_CHECKING:
    import numpy as np

VectorFormat = Literal["parquet", "npy"]
_MARK = b"tokensieve.vectors"
"""A key of the metadata of our Parquet files. By it one is known, and may be replaced."""


def vector_format(path: str) -> VectorFormat:
    """The format of an output by its ending.

    Raises:
        ConfigError: another ending, or a pipe or device, to which neither format can be written.
        MissingExtraError: Parquet without pyarrow.
    """
    if path == "-" or is_stream(path):
        raise ConfigError(f"output {path!r}: vectors go to a file: give a name that ends in .parquet or .npy")
    if path.endswith(".npy"):
        return "npy"
    if path.endswith(".parquet"):
        require_pyarrow()
        return "parquet"
    raise ConfigError(f"output {path!r}: end the name in .parquet (line and vector) or .npy (vectors alone)")


def is_vectors(file: IO[str]) -> bool:
    """Whether an opened file is Parquet with vectors of ours. A .npy file does not tell who wrote it, and is not."""
    if not str(file.name).endswith(".parquet"):
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _MARK in (pq.read_schema(file.name).metadata or {})
    except (pa.ArrowException, OSError):
        return False


def write_vectors(
    encoder: SentenceEncoder, documents: Iterable[Document], path: Path, *, normalize: bool = True, progress: Any = None
) -> int:
    """Encode a stream and write its vectors in order, in memory that does not grow with it.

    The file is written as `path`.part and takes its name when all is done; on an error nothing is left behind.

    Args:
        encoder: encodes.
        documents: as `Engine.stream_windows` takes them.
        path: ends in .parquet (columns `line` int64 and `vector`, a list of d float32) or .npy (float32 [N, d]).
        normalize: scale each vector to length 1.
        progress: wraps the stream of documents that are done, such as tqdm.

    Returns:
        The number of documents written.

    Raises:
        ConfigError: as `vector_format`, or `path` has a file that tokensieve did not write.
        OperatingSystemError: the disk is full, or the system refuses something else.
    """
    kind, width = vector_format(str(path)), encoder.model.config.hidden_size
    check_replaceable(path, is_vectors)
    writer = _parquet if kind == "parquet" else _npy
    with part_bytes(path) as file, writer(file, width) as write:
        done = _written(encoder, documents, write, normalize)
        with closing(done):
            return sum(1 for _ in (done if progress is None else progress(done)))


def _written(
    encoder: SentenceEncoder, documents: Iterable[Document], write: Any, normalize: bool
) -> Generator[Document, None, None]:
    """The documents, each after its vector was written."""
    with closing(encoder.engine.embed_windows(documents)) as windows:
        for window in windows:
            write(window, scaled(window.vectors, normalize))
            yield from window.documents


@contextmanager
def _parquet(file: IO[bytes], width: int) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.list_(pa.float32(), width)
    schema = pa.schema([("line", pa.int64()), ("vector", kind)], metadata={_MARK: b"1"})
    with pq.ParquetWriter(file, schema) as writer:

        def write(window: Embedded[Document], vectors: np.ndarray) -> None:
            lines = pa.array([document.line for document in window.documents], pa.int64())
            flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), type=kind)
            writer.write_table(pa.Table.from_arrays([lines, flat], schema=schema))

        yield write


@contextmanager
def _npy(file: IO[bytes], width: int) -> Iterator[Any]:
    rows = 0
    _write_header(file, rows, width)
    place = file.tell()

    def write(window: Embedded[Document], vectors: np.ndarray) -> None:
        nonlocal rows
        file.write(vectors.astype("<f4", copy=False).tobytes())
        rows += len(vectors)

    yield write
    file.flush()
    with open(file.name, "r+b") as again:  # numpy leaves room for any number of rows; ours is known now
        _write_header(again, rows, width)
        if again.tell() != place:
            raise ConfigError(f"{file.name}: this numpy writes headers of other lengths: write .parquet instead")


def _write_header(file: IO[bytes], rows: int, width: int) -> None:
    from numpy.lib import format

    format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (rows, width)})
