"""Efficient transformers of comparable size with random weights: for their cost alone, they classify nothing."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, BigBirdConfig, FunnelConfig, LongformerConfig

from tokensieve.checks import check_integer
from tokensieve.errors import ConfigError
from tokensieve_bench.contenders.contender import Contender, ContenderConfig, ModuleContender, Setting, check_order
from tokensieve_bench.work import Batch, Order


class Efficient(ContenderConfig):
    """What the three have in common: the backbone's width, depth, heads, vocabulary and positions."""

    order: Order

    def load(self, setting: Setting) -> Contender:
        """With random weights of the backbone's seed."""
        torch.manual_seed(setting.backbone.seed)
        config = self.config(setting.backbone.ours)
        model = AutoModelForSequenceClassification.from_config(config).eval()
        return self.contender(model, {"config": {name: getattr(config, name) for name in self.telling()}})

    def contender(self, model: Any, facts: dict[str, Any]) -> Contender:
        """Around the module."""
        return ModuleContender(model, self.order, "float32", facts)

    @abstractmethod
    def config(self, backbone: Any) -> Any:
        """transformers' config, of the sizes of a TokensieveConfig."""

    @abstractmethod
    def telling(self) -> tuple[str, ...]:
        """Settings of that config which a record has."""


def _sizes(backbone: Any) -> dict[str, Any]:
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    return {name: getattr(backbone, name) for name in names} | {
        "num_labels": backbone.num_labels,
        "pad_token_id": backbone.pad_token_id,
    }


@dataclass(frozen=True)
class Longformer(Efficient):
    """Attention in a window, and of [CLS] to all.

    Attributes:
        attention_window: tokens on both sides together; lengths are filled up to a multiple of it.
        order: of the documents in batches.
    """

    attention_window: int = 128
    order: Order = "sorted"

    def __post_init__(self) -> None:
        check_order(self)
        check_integer(self, "attention_window", 2)
        if self.attention_window % 2:
            raise ConfigError(f"attention_window={self.attention_window}: give an even number")

    def config(self, backbone: Any) -> LongformerConfig:
        """Positions begin behind that of padding, and a length is filled up to a multiple of the window."""
        positions = backbone.longest_document + self.attention_window + backbone.pad_token_id + 1
        return LongformerConfig(
            attention_window=self.attention_window, max_position_embeddings=positions, **_sizes(backbone)
        )

    def telling(self) -> tuple[str, ...]:
        """Its window."""
        return ("attention_window",)


@dataclass(frozen=True)
class BigBird(Efficient):
    """Blocks that attend to neighbours, a few random blocks, and the first and last.

    Attributes:
        block_size: tokens of a block; a document of (5 + 2 x random blocks) blocks or fewer gets full attention.
        num_random_blocks: for every block.
        order: of the documents in batches.
    """

    block_size: int = 16
    num_random_blocks: int = 3
    order: Order = "sorted"

    def __post_init__(self) -> None:
        check_order(self)
        check_integer(self, "block_size", 2)
        check_integer(self, "num_random_blocks", 1)

    def config(self, backbone: Any) -> BigBirdConfig:
        """Of the backbone's sizes."""
        positions = backbone.longest_document + self.block_size
        own: dict[str, Any] = {"block_size": self.block_size, "num_random_blocks": self.num_random_blocks}
        return BigBirdConfig(max_position_embeddings=positions, **own, **_sizes(backbone))

    def telling(self) -> tuple[str, ...]:
        """Its blocks."""
        return "block_size", "num_random_blocks"

    def contender(self, model: Any, facts: dict[str, Any]) -> Contender:
        """Around the module."""
        return _BigBirdContender(model, self.order, "float32", facts)


class _BigBirdContender(ModuleContender):
    def outputs(self, batch: Batch) -> Any:
        """With sparse attention where the length allows it: after a short batch transformers never goes back to it."""
        body: Any = self.module.base_model
        blocks = 5 + 2 * body.config.num_random_blocks
        sparse = batch.input_ids.shape[1] > blocks * body.config.block_size
        body.set_attention_type("block_sparse" if sparse else "original_full")
        return super().outputs(batch)


@dataclass(frozen=True)
class Funnel(Efficient):
    """Blocks of layers, each of half as many tokens as the one before; no decoder.

    Attributes:
        order: of the documents in batches.
    """

    order: Order = "sorted"

    def __post_init__(self) -> None:
        check_order(self)

    def config(self, backbone: Any) -> FunnelConfig:
        """The backbone's layers in three blocks, or as many as there are layers."""
        layers, blocks = backbone.num_hidden_layers, min(3, backbone.num_hidden_layers)
        sizes: dict[str, Any] = _sizes(backbone)
        for name in ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size"):
            del sizes[name]  # it has names of its own for these
        return FunnelConfig(
            block_sizes=[layers // blocks + (block < layers % blocks) for block in range(blocks)],
            d_model=backbone.hidden_size,
            n_head=backbone.num_attention_heads,
            d_head=backbone.hidden_size // backbone.num_attention_heads,
            d_inner=backbone.intermediate_size,
            **sizes,
        )

    def telling(self) -> tuple[str, ...]:
        """Its blocks."""
        return ("block_sizes",)
