"""The work of every cell of a config: documents of a data set, or of random ids."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from tokensieve.data import Document, read_documents, resolve_split_file
from tokensieve.data.tokenize import encode
from tokensieve.errors import ConfigError, DataError
from tokensieve_bench.backbone import Backbone
from tokensieve_bench.config import BenchConfig, DataSet
from tokensieve_bench.work import Work, random_ids


def make_works(config: BenchConfig, backbone: Backbone, data: Path | None) -> list[Work]:
    """The work of every cell: each batch size at each length.

    Raises:
        ConfigError: a length that the backbone has no positions for, or no folder for a data set.
        DataError: the data set is not there, or has too few documents.
    """
    pad = backbone.config.pad_token_id or 0
    if config.data is not None:
        backbone.ours.truncation_length(config.data.max_length)
        texts = [document.text for document in documents_of(config.data, config.documents, data)]
        ids = tuple(map(tuple, encode(backbone.tokenizer, texts, config.data.max_length).input_ids))
        return [Work(batch, None, ids, tuple(texts), config.data.max_length, pad) for batch in config.batches]
    works = []
    for length in config.lengths:
        backbone.ours.truncation_length(length)
        rows = random_ids(backbone, config.documents, length, config.seed)
        works += [Work(batch, length, rows, (), length, pad) for batch in config.batches]
    return works


def documents_of(data: DataSet, documents: int, folder: Path | None) -> list[Document]:
    """The first documents of a data set.

    Raises:
        ConfigError, DataError: as `make_works`.
    """
    if folder is None:
        raise ConfigError(f"the config reads the data set {data.set!r}: give --data FOLDER, the folder that it is in")
    source = resolve_split_file(folder / data.set, data.split)
    found = list(islice(read_documents(source, label_column=None), documents))
    if len(found) < documents:
        raise DataError(f"{folder / data.set} has {len(found)} documents, the config wants {documents}: ask for fewer")
    return found
