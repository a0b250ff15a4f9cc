"""Word vectors that stay in their file: a batch needs few of them, and the table is half of a small model, and most of
a multilingual one.
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensieve.errors import CheckpointError, ConfigError

_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_LONGEST_GAP = 4  # rows between two that are wanted which are read along, as a call of the system takes as long


class _Table(NamedTuple):
    """Where a matrix lies in a file: first byte, numbers of a kind, rows of a width."""

    start: int
    dtype: torch.dtype
    rows: int
    width: int


class WordsOnDisk(nn.Module):
    """In place of an `nn.Embedding` at inference: reads the rows that it is asked for from a file of safetensors.

    They lie in the system's cache of files, which all processes share and which is emptied where memory is wanted, and
    are no part of this process. Nothing changes here: several threads may ask at once, and a copy is the same object.

    Args:
        file: what holds the table; it may be deleted or replaced meanwhile, but not written to.
        name: of the table, [V, d].
        dtype: of the vectors that are given.

    Raises:
        CheckpointError: no such table, one of another kind of numbers, or a file that is broken.
        ConfigError: a system that cannot read at a place of a file (Windows).
    """

    like: Tensor

    def __init__(self, file: str | Path, name: str, dtype: torch.dtype) -> None:
        super().__init__()
        if not hasattr(os, "preadv"):
            raise ConfigError("words on disk are for Linux, macOS and other Unix systems: leave them in memory here")
        self._file, self._descriptor = file, os.open(file, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        self._table = _find(self._descriptor, file, name)
        self.register_buffer("like", torch.empty(0, dtype=dtype), persistent=False)  # follows .to(device, dtype)

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors [..., d] of ids [...], one or more, which the table has to hold.

        Raises:
            CheckpointError: the file has become shorter.
        """
        words, place = ids.unique(return_inverse=True)
        first = torch.ones_like(words, dtype=torch.bool)
        first[1:] = words.diff() > _LONGEST_GAP
        starts, ends = words[first], words[first.roll(-1)] + 1
        before = (ends - starts).cumsum(0) - ends  # rows that are read ahead of a run, less the id that it begins with
        rows = self._read(list(zip(starts.tolist(), ends.tolist(), strict=True)))
        return F.embedding((words + before[first.cumsum(0) - 1])[place], rows.to(self.like))

    def _read(self, runs: Sequence[tuple[int, int]]) -> Tensor:
        """Rows of all runs (first id, id after the last), one after another, on the CPU and as they are stored."""
        rows = torch.empty(sum(end - start for start, end in runs), self._table.width, dtype=self._table.dtype)
        size = self._table.width * rows.itemsize
        target, at = rows.view(torch.uint8).numpy().data.cast("B"), 0
        for start, end in runs:
            self._fill(target[at : at + (end - start) * size], self._table.start + start * size)
            at += (end - start) * size
        return rows

    def _fill(self, target: memoryview, place: int) -> None:
        """Read as many bytes as the target has, which a system may give in several portions."""
        while target:
            got = os.preadv(self._descriptor, [target], place)
            if not got:
                raise CheckpointError(f"{self._file}: is shorter than when it was opened: load the classifier anew")
            target, place = target[got:], place + got

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """The table itself, so that a model is saved whole."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self._read([(0, self._table.rows)]).to(self.like)

    def __deepcopy__(self, memo: dict[int, Any]) -> WordsOnDisk:
        return self


def _find(descriptor: int, file: str | Path, name: str) -> _Table:
    """A table by the head of a file of safetensors: its length in 8 bytes, then JSON."""
    length = min(int.from_bytes(os.pread(descriptor, 8, 0), "little"), os.fstat(descriptor).st_size)
    try:
        entry = json.loads(os.pread(descriptor, length, 8))[name]
        rows, width = entry["shape"]
        return _Table(8 + length + entry["data_offsets"][0], _DTYPES[entry["dtype"]], rows, width)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{file}: holds no {name} that can be read word by word; load words into memory"
        ) from error
