"""What a vision tower or a Q-Former of transformers tells of its tokens: queries and keys of one attention.

They are read where they are projected, so that any backend of attention serves, and no attention is computed for it
but the row or the block that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from tokensieve.checks import check_value, one_of
from tokensieve.errors import InputError

Heads = Literal["one", "mean"]
_PROJECTIONS = (("q_proj", "k_proj"), ("query", "key"))


class VisionSignals(NamedTuple):
    """The patches of a batch of images of one size.

    Attributes:
        hidden: [B, N, d] patch features.
        attention: [B, N], what [CLS] gives to each patch in the last layer; with what it gives to [CLS] and register
            tokens it adds up to 1.
        keys: [B, N, d] keys of the last layer, of all heads one behind the other.
    """

    hidden: Tensor
    attention: Tensor
    keys: Tensor


@dataclass
class Projected:
    """The outputs of an attention's query and key projection in the last call: [B, n, d] and [B, k, d]."""

    query: Tensor | None = None
    key: Tensor | None = None


class TowerRead(NamedTuple):
    """The tensors of one run of a tower.

    Attributes:
        hidden: [B, n, d], special tokens included.
        query: [B, 1, d] of [CLS] in the last layer.
        key: [B, n, d] in the last layer.
        first: tokens that stand ahead of the patches.
        heads: of the tower.
    """

    hidden: Tensor
    query: Tensor
    key: Tensor
    first: int
    heads: int

    def signals(self, heads: Heads) -> VisionSignals:
        """Features, attention and keys of the patches; `heads` as in `vision_signals`."""
        given = attention_of(self.query, self.key, 1 if heads == "one" else self.heads).mean(1)[:, 0]
        first = self.first
        return VisionSignals(self.hidden[:, first:], given[:, first:], self.key[:, first:])


@torch.no_grad()
def vision_signals(tower: nn.Module, pixel_values: Tensor, layer: int = -2, heads: Heads = "one") -> VisionSignals:
    """Run a vision tower with a [CLS] token, such as CLIP's, DINOv2 or ViT, and read what `reduce_visual_tokens` takes.

    Args:
        tower: of transformers, with `config.patch_size`; its first token is [CLS], and register tokens may follow.
        pixel_values: [B, C, height, width].
        layer: which of its hidden states are the features; -2: those that enter the last layer, as in LLaVA 1.5.
        heads: "one": the attention of [CLS] is taken by whole vectors, as one head (the code of the authors of
            PruMerge); "mean": by the tower's heads, and averaged.

    Raises:
        InputError: no projections of queries and keys are found, or the tower has no [CLS] token (SigLIP).
        ConfigError: no such `heads`.
    """
    check_value("heads", heads, one_of(get_args(Heads)))
    return read_tower(tower, pixel_values, layer).signals(heads)


@torch.no_grad()
def read_tower(tower: nn.Module, pixel_values: Tensor, layer: int = -2) -> TowerRead:
    """Run a vision tower once, for signals by any `heads`; arguments and InputError as of `vision_signals`."""
    with projected(tower) as seen:
        output = tower(pixel_values, output_hidden_states=True)
    assert seen.query is not None and seen.key is not None
    hidden, patches = output.hidden_states[layer], _patches(tower, pixel_values)
    first = hidden.shape[1] - patches
    if first < 1:
        raise InputError(
            f"{type(tower).__name__} has {hidden.shape[1]} tokens for {patches} patches, so no [CLS] token: give "
            "reduce_visual_tokens an attention of your own"
        )
    parts: Any = tower.config.num_attention_heads  # type: ignore[union-attr]
    return TowerRead(hidden, seen.query[:, :1], seen.key, first, parts)


def attention_of(query: Tensor, key: Tensor, heads: int, there: Tensor | None = None) -> Tensor:
    """Softmax attention [B, heads, n, k] float32 of projected queries [B, n, d] and keys [B, k, d].

    With `there` [B, k] bool, keys that are padding get nothing, and change nothing for the others.
    """
    q, k = (own.float().unflatten(-1, (heads, -1)).transpose(1, 2) for own in (query, key))
    logits = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
    if there is not None:
        logits = logits.masked_fill(~there[:, None, None], -torch.inf)
    return torch.softmax(logits, -1)


@contextmanager
def projected(model: nn.Module, inside: str = "") -> Iterator[Projected]:
    """Catch what the last attention projects whose name has `inside`, while the model runs in the block.

    Raises:
        InputError: no module has projections of queries and keys.
    """
    query, key = _last_projections(model, inside)
    caught = Projected()

    def note(name: str) -> Any:
        return lambda _, __, output: setattr(caught, name, output.detach())

    hooks = [query.register_forward_hook(note("query")), key.register_forward_hook(note("key"))]
    try:
        yield caught
    finally:
        for hook in hooks:
            hook.remove()


def _last_projections(model: nn.Module, inside: str) -> tuple[nn.Module, nn.Module]:
    found = None
    for path, module in model.named_modules():
        for pair in _PROJECTIONS:
            own = tuple(getattr(module, name, None) for name in pair)
            if inside in path and all(isinstance(projection, nn.Module) for projection in own):
                found = own
    if found is None:
        names = " or ".join(" and ".join(pair) for pair in _PROJECTIONS)
        where = f" in a module whose name has {inside!r}" if inside else ""
        raise InputError(f"{type(model).__name__} has no {names}{where}: give the attention yourself")
    return found  # type: ignore[return-value]


def _patches(tower: nn.Module, pixel_values: Tensor) -> int:
    size: Any = tower.config.patch_size  # type: ignore[union-attr]
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return int(pixel_values.shape[-2] // height) * int(pixel_values.shape[-1] // width)
