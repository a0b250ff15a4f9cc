"""Word vectors that stay in their file: a batch needs few of them, and the table is half of a small model, and most of
a multilingual one.
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensieve.errors import CheckpointError, ConfigError, InputError

_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_FARTHEST = 4  # ids from one word to the next that are read in one go: a call of the system takes as long as some rows
_PIECE = 4096  # rows


class WordsOnDisk(nn.Module):
    """In place of an `nn.Embedding` at inference: reads the rows that it is asked for from a file of safetensors.

    They lie in the system's cache of files, which all processes share and which is emptied where memory is wanted, and
    are no part of this process. Several threads may ask at once; copies share the open file.

    Args:
        file: what holds the table; it may be deleted or replaced meanwhile, but not written to.
        name: of the table, [V, d].
        dtype: of the vectors that are given.

    Attributes:
        like: nothing, of the vectors' type and on their device, which it follows when they change.

    Raises:
        CheckpointError: no such table, one of another kind of numbers, or a file that is broken.
        ConfigError: a system that cannot read at a place of a file (Windows).
    """

    like: Tensor

    def __init__(self, file: str | Path, name: str, dtype: torch.dtype) -> None:
        super().__init__()
        if not hasattr(os, "preadv"):
            raise ConfigError("words on disk are for Linux, macOS and other Unix systems: leave them in memory here")
        self._table = _Table(file, name)
        self.register_buffer("like", torch.empty(0, dtype=dtype, device="cpu"), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors [..., d] of ids [...], one or more.

        Raises:
            InputError: an id that the table does not hold.
            CheckpointError: the file has become shorter.
        """
        words, place = ids.unique(return_inverse=True)
        if words[0] < 0 or words[-1] >= self.shape[0]:
            raise InputError(f"ids from {words[0]} to {words[-1]}: the table holds 0 to {self.shape[0] - 1}")
        first = torch.ones_like(words, dtype=torch.bool)
        first[1:] = words.diff() > _FARTHEST
        starts, ends = words[first], words[first.roll(-1)] + 1
        before = (ends - starts).cumsum(0) - ends  # rows that are read ahead of a run, less the id that it begins with
        rows = self._table.read(list(zip(starts.tolist(), ends.tolist(), strict=True)))
        return F.embedding((words + before[first.cumsum(0) - 1])[place], rows.to(self.like))

    @property
    def shape(self) -> tuple[int, int]:
        """Of the table."""
        return self._table.shape

    @property
    def dtype(self) -> torch.dtype:
        """Of the vectors."""
        return self.like.dtype

    def pieces(self) -> Iterator[Tensor]:
        """The whole table, some rows [n, d] at a time."""
        for start in range(0, self.shape[0], _PIECE):
            yield self._table.read([(start, min(start + _PIECE, self.shape[0]))]).to(self.like)

    def train(self, mode: bool = True) -> WordsOnDisk:
        """Evaluation alone.

        Raises:
            ConfigError: training mode.
        """
        if mode:
            raise ConfigError("words on disk do not learn: load the classifier with its words in memory to train it")
        return super().train(mode)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """The table itself, so that a model is saved whole."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self._table.read([(0, self.shape[0])]).to(self.like)


class _Table:
    """A matrix in an open file of safetensors; several threads may read, and copies are the same object.

    Args:
        file: its name.
        name: of the matrix.
    """

    def __init__(self, file: str | Path, name: str) -> None:
        self._file, self._descriptor = file, os.open(file, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        try:
            self._start, self._dtype, self.shape = self._find(name)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            wanted = f"{name} that can be read word by word"
            raise CheckpointError(f"{file}: holds no {wanted}: load the classifier with its words in memory") from error

    def _find(self, name: str) -> tuple[int, torch.dtype, tuple[int, int]]:
        """First byte, kind of numbers and shape, by the file's head: its length in 8 bytes, then JSON."""
        size = os.fstat(self._descriptor).st_size
        length = min(int.from_bytes(os.pread(self._descriptor, 8, 0), "little"), size)
        entry = json.loads(os.pread(self._descriptor, length, 8))[name]
        (rows, width), (start, end), dtype = entry["shape"], entry["data_offsets"], _DTYPES[entry["dtype"]]
        if end - start != rows * width * dtype.itemsize or 8 + length + end > size:
            raise ValueError(entry)
        return 8 + length + start, dtype, (rows, width)

    def read(self, runs: Sequence[tuple[int, int]]) -> Tensor:
        """Rows of all runs (first, one after the last), one run after another, on the CPU and as they are stored."""
        rows = torch.empty(sum(end - start for start, end in runs), self.shape[1], dtype=self._dtype, device="cpu")
        size = self.shape[1] * rows.itemsize
        target, at = rows.view(torch.uint8).numpy().data.cast("B"), 0
        for start, end in runs:
            self._fill(target[at : at + (end - start) * size], self._start + start * size)
            at += (end - start) * size
        return rows

    def _fill(self, target: memoryview, place: int) -> None:
        """Read as many bytes as the target has, which a system may give in several portions."""
        while target:
            got = os.preadv(self._descriptor, [target], place)
            if not got:
                raise CheckpointError(f"{self._file}: is shorter than when it was opened: load the classifier anew")
            target, place = target[got:], place + got

    def __deepcopy__(self, memo: dict[int, Any]) -> _Table:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise ConfigError("a model with words on disk cannot be pickled: load its folder there, or use save_pretrained")
