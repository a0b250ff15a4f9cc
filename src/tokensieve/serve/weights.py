"""Weights in memory of the server's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def copy_weights(model: Any) -> None:
    """Copy a model's weights out of the pages of their file, in place.

    A loaded tensor is a view of its file, and a page of a file that somebody cuts short is gone: the system ends the
    process (SIGBUS). `cp` and `rsync --inplace` do so when they put a new model over the one that is served. Tensors
    that share memory go on sharing it. A bag of words has no such tensors.
    """
    if not isinstance(model, torch.nn.Module):
        return
    copies: dict[tuple[Any, ...], Tensor] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        own = tensor.detach()
        if own.device.type == "cpu":
            key = (own.data_ptr(), own.dtype, own.shape, own.stride())
            tensor.data = copies[key] if key in copies else copies.setdefault(key, own.clone())
