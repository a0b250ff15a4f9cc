"""Data files written by other hands than the readers': csv, json and pyarrow, called as a user would."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LABELLED_KINDS = ["csv", "tsv", "jsonl", "ndjson", "csv.gz", "tsv.gz", "jsonl.gz", "parquet"]
Rows = Sequence[dict[str, Any]]


def encode_rows(kind: str, rows: Rows) -> bytes:
    """The bytes of a text file in a format."""
    buffer = io.StringIO(newline="")
    if kind in ("csv", "tsv"):
        writer = csv.DictWriter(buffer, list(rows[0]), delimiter="," if kind == "csv" else "\t")
        writer.writeheader()
        writer.writerows(rows)
    else:
        buffer.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return buffer.getvalue().encode("utf-8")


def write_rows(path: Path, rows: Rows) -> Path:
    """Write a data file in the format of its name, `<stem>.<format>[.gz]`."""
    kind, _, compression = path.name.partition(".")[2].partition(".")
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    else:
        data = encode_rows(kind, rows)
        path.write_bytes(gzip.compress(data, mtime=0) if compression else data)
    return path
