"""Disk-offloaded embeddings: the word vectors stay in their file, and each batch reads the few that it needs.

The embedding table is half of a small model, and most of a multilingual one.
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
from transformers import PreTrainedModel

from tokensieve.backbones.loading import file_of_tensor
from tokensieve.errors import CheckpointError, ConfigError, InputError
from tokensieve.memory import return_freed_pages

_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_LARGEST_GAP = 4  # ids between two words that are read in one go: a call of the system takes as long as some rows
_PIECE = 4096  # rows


class OffloadedEmbeddings(nn.Module):
    """Takes the place of an `nn.Embedding` at inference: reads the rows that it is asked for from a safetensors file.

    The rows lie in the system's file cache and not in this process. All processes share that cache, and the system
    empties it when it needs memory. Several threads may read at once. Copies of this module share the open file.

    Args:
        file: holds the table. It may be deleted or replaced meanwhile, but not written to.
        name: the table's name in the file; its shape is [V, d].
        dtype: type of the vectors that `forward` returns.

    Attributes:
        like: an empty tensor with the vectors' type and device; `module.to` changes it.

    Raises:
        CheckpointError: the file is broken, has no such table, or one of an unsupported type.
        ConfigError: the system cannot read at an offset of a file (Windows).
    """

    like: Tensor

    def __init__(self, file: str | Path, name: str, dtype: torch.dtype) -> None:
        super().__init__()
        if not hasattr(os, "preadv"):
            raise ConfigError("offload_embeddings needs Linux, macOS or another Unix system: leave it out here")
        self._table = _Table(file, name)
        self.register_buffer("like", torch.empty(0, dtype=dtype, device="cpu"), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Read the vectors [..., d] of ids [...], one or more.

        Raises:
            InputError: an id that the table does not hold.
            CheckpointError: the file has become shorter.
        """
        words, place = ids.unique(return_inverse=True)
        if words[0] < 0 or words[-1] >= self.shape[0]:
            raise InputError(f"ids from {words[0]} to {words[-1]}: the table holds 0 to {self.shape[0] - 1}")
        first = torch.ones_like(words, dtype=torch.bool)
        first[1:] = words.diff() > _LARGEST_GAP
        starts, ends = words[first], words[first.roll(-1)] + 1
        before = (ends - starts).cumsum(0) - ends  # rows that are read before a run, less the id that it begins with
        rows = self._table.read(list(zip(starts.tolist(), ends.tolist(), strict=True)))
        return F.embedding((words + before[first.cumsum(0) - 1])[place], rows.to(self.like))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and width of the table."""
        return self._table.shape

    @property
    def dtype(self) -> torch.dtype:
        """Type of the vectors."""
        return self.like.dtype

    def pieces(self) -> Iterator[Tensor]:
        """The whole table, some rows [n, d] at a time."""
        for start in range(0, self.shape[0], _PIECE):
            yield self._table.read([(start, min(start + _PIECE, self.shape[0]))]).to(self.like)

    def train(self, mode: bool = True) -> OffloadedEmbeddings:
        """Accept evaluation mode alone.

        Raises:
            ConfigError: training mode.
        """
        if mode:
            raise ConfigError("offloaded embeddings do not learn: load the classifier without them to train it")
        return super().train(mode)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Add the table itself, so that a saved model is complete."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self._table.read([(0, self.shape[0])]).to(self.like)


def offload_input_embeddings(model: PreTrainedModel, path: str | Path) -> None:
    """Let a model read its word vectors from the folder or hub name that it was loaded from or saved in.

    Raises:
        CheckpointError, ConfigError: as `OffloadedEmbeddings`.
    """
    table: Tensor = model.get_input_embeddings().weight  # type: ignore[assignment]
    name = next(name for name, parameter in model.named_parameters() if parameter is table)
    embeddings = _embeddings_in(path, model, name)
    if embeddings.shape != tuple(table.shape):
        raise CheckpointError(f"{path}: {name} has the shape {embeddings.shape}, the model's is {tuple(table.shape)}")
    model.set_input_embeddings(embeddings)
    model._apply(torch.clone)  # all are views of a mapping of the file, whose pages count as ours: let it go
    return_freed_pages()


def _embeddings_in(path: str | Path, model: PreTrainedModel, name: str) -> OffloadedEmbeddings:
    """The table of this name in the model's files. In a cascade of 0.1.0 it has the name that it has in a stage."""
    try:
        return OffloadedEmbeddings(file_of_tensor(path, model.config, name), name, model.dtype)
    except CheckpointError:
        if (name_in_stage := name.removeprefix("stages.0.")) == name:
            raise
        return OffloadedEmbeddings(file_of_tensor(path, model.config, name_in_stage), name_in_stage, model.dtype)


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
            message = f"{file}: holds no {name} that can be read row by row: load it without offload_embeddings"
            raise CheckpointError(message) from error

    def _find(self, name: str) -> tuple[int, torch.dtype, tuple[int, int]]:
        """Read the first byte, type and shape from the file's header: its length in 8 bytes, then JSON."""
        size = os.fstat(self._descriptor).st_size
        length = min(int.from_bytes(os.pread(self._descriptor, 8, 0), "little"), size)
        entry = json.loads(os.pread(self._descriptor, length, 8))[name]
        (rows, width), (start, end), dtype = entry["shape"], entry["data_offsets"], _DTYPES[entry["dtype"]]
        if end - start != rows * width * dtype.itemsize or 8 + length + end > size:
            raise ValueError(entry)
        return 8 + length + start, dtype, (rows, width)

    def read(self, runs: Sequence[tuple[int, int]]) -> Tensor:
        """Read the rows of all runs (first, one after the last), in order, on the CPU and in the stored type."""
        rows = torch.empty(sum(end - start for start, end in runs), self.shape[1], dtype=self._dtype, device="cpu")
        size = self.shape[1] * rows.itemsize
        target, at = rows.view(torch.uint8).numpy().data.cast("B"), 0
        for start, end in runs:
            self._fill(target[at : at + (end - start) * size], self._start + start * size)
            at += (end - start) * size
        return rows

    def _fill(self, target: memoryview, place: int) -> None:
        """Read as many bytes as the target has; the system may deliver them in several portions."""
        while target:
            count = os.preadv(self._descriptor, [target], place)
            if not count:
                raise CheckpointError(f"{self._file}: is shorter than when it was opened: load the classifier anew")
            target, place = target[count:], place + count

    def __deepcopy__(self, memo: dict[int, Any]) -> _Table:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise ConfigError(
            "a model with offloaded embeddings cannot be pickled: load its folder there, or use save_pretrained"
        )
