"""Windows over a stream, and batches of similar length within a window."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from tokensieve.data.tokenize import Encodings
from tokensieve.model.batch import Batch, check_batch
from tokensieve.model.configuration import TokensieveConfig

T = TypeVar("T")


def windows(items: Iterable[T], size: Callable[[T], int], most_items: int, most_size: int) -> Iterator[list[T]]:
    """Cut a stream into lists of at most `most_items`, ending one early where the sizes add up to `most_size`."""
    window: list[T] = []
    total = 0
    for item in items:
        window.append(item)
        total += size(item)
        if len(window) == most_items or total >= most_size:
            yield window
            window, total = [], 0
    if window:
        yield window


def batches_by_tokens(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Documents, longest first, in batches whose lengths add up to `budget` tokens at most.

    Batches are packed, so the sum counts and not the longest times the number. A document longer than the budget is a
    batch of its own.

    Args:
        lengths: tokens of each document.
        budget: most tokens of a batch.

    Returns:
        Lists of indices into `lengths`; every index once.
    """
    batch: list[int] = []
    total = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and total + lengths[index] > budget:
            yield batch
            batch, total = [], 0
        batch.append(index)
        total += lengths[index]
    if batch:
        yield batch


def padded_batch(encodings: Encodings, rows: Sequence[int], config: TokensieveConfig, device: torch.device) -> Batch:
    """Some of the tokenized documents as a batch of a model, checked, on its device.

    Raises:
        InputError: a document without tokens, or ids that the model has no vectors for.
    """
    lengths = torch.tensor([len(encodings.input_ids[row]) for row in rows])
    mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
    inputs = {"input_ids": _padded(encodings.input_ids, rows), "attention_mask": mask}
    inputs["special_tokens_mask"] = _padded(encodings.special_tokens_mask, rows)
    if encodings.token_type_ids is not None and config.type_vocab_size:
        inputs["token_type_ids"] = _padded(encodings.token_type_ids, rows)
    return check_batch(config, **{name: tensor.to(device) for name, tensor in inputs.items()})


def _padded(lists: list[list[int]], rows: Sequence[int]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(lists[row]) for row in rows], batch_first=True)
