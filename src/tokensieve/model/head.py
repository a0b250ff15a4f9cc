"""Heads: the tokens that are left -> logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from tokensieve.kernels.linear import Linear
from tokensieve.kernels.ragged import document_means
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.dropout import Dropout
from tokensieve.model.norms import norm_of
from tokensieve.old_names import renamed
from tokensieve.tokens import Tokens

__getattr__ = renamed(__name__)


class PretrainedHead(nn.Module):
    """The checkpoint's own head on each document's first token or mean: linear, activation, dropout, linear.

    Families differ in the activation, in whether it is normed, and in whether the input is dropped as well. With
    pooling "late" the first linear layer reads every token, and the mean is taken behind it; as the last layer is
    linear, it is the mean of the tokens' logits. In a mean a token weighs as many as it stands for.
    """

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        self.input_dropout = Dropout(config.classifier_dropout if config.head_input_dropout else 0.0)
        self.pooling, self.special = config.head_pooling, config.special_ahead
        self.dense = Linear(config.hidden_size, config.hidden_size, config.head_bias)
        self.activation = ACT2FN[config.head_activation]
        self.LayerNorm = norm_of(config.hidden_size, config) if config.head_norm else None
        self.dropout = Dropout(config.classifier_dropout)
        self.classifier = Linear(config.hidden_size, config.num_labels or 0)

    def forward(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Logits [B, num_labels], and the document vectors [B, d] that the last layer reads, before dropout."""
        if self.pooling == "late":
            pooled = document_means(self._activated(tokens.values), tokens.lengths, tokens.shares)
        else:
            pooled = self._activated(pooled_by(self.pooling, tokens, self.special))
        return self.classifier(self.dropout(pooled)), pooled

    def _activated(self, read: Tensor) -> Tensor:
        """Vectors [N, d], of documents or of tokens, behind the first linear layer and its activation."""
        activated: Tensor = self.activation(self.dense(self.input_dropout(read)))
        return activated if self.LayerNorm is None else self.LayerNorm(activated)


class LinearHead(nn.Module):
    """The checkpoint's own head where it is one linear layer: on the first token, the mean of the others, or both."""

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        self.pooling, self.special = config.head_pooling, config.special_ahead
        self.dropout = Dropout(config.classifier_dropout)
        self.classifier = Linear(pooled_width(config), config.num_labels or 0)

    def forward(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Logits [B, num_labels], and the document vectors [B, d or 2 d] that the layer reads, before dropout."""
        pooled = pooled_by(self.pooling, tokens, self.special)
        return self.classifier(self.dropout(pooled)), pooled


class MeanHead(nn.Module):
    """Mean of the final tokens, dropout, linear (PTC section 3.4); a token weighs as many as it stands for."""

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        self.dropout = Dropout(config.classifier_dropout)
        self.classifier = Linear(config.hidden_size, config.num_labels or 0)

    def forward(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Logits [B, num_labels], and the document vectors [B, d] that the last layer reads, before dropout."""
        pooled = document_means(tokens.values, tokens.lengths, tokens.shares)
        return self.classifier(self.dropout(pooled)), pooled


def head_of(config: TokensieveConfig) -> PretrainedHead | LinearHead | MeanHead:
    """The head that the settings ask for."""
    if config.settings.resolved_pooling == "mean":
        return MeanHead(config)
    return PretrainedHead(config) if config.head_dense else LinearHead(config)


def pooled_width(config: TokensieveConfig) -> int:
    """Width of what a pretrained head reads."""
    return config.hidden_size * len(config.head_pooling.split("+"))


def pooled_by(pooling: str, tokens: Tokens, special: int) -> Tensor:
    """A vector for each document, [B, d], or one behind the other [B, 2 d] where `pooling` names two.

    Args:
        pooling: as `TokensieveConfig.head_pooling`.
        tokens: those that are left. In a mean each weighs as many as it stands for.
        special: tokens at the beginning of a document that are none of the "others".
    """
    vectors = [_pooled(name, tokens, special) for name in pooling.split("+")]
    return vectors[0] if len(vectors) == 1 else torch.cat(vectors, 1)


def _pooled(pooling: str, tokens: Tokens, special: int) -> Tensor:
    if pooling == "cls":
        return _first(tokens)
    return _mean(tokens) if pooling == "mean" else _mean_of_others(tokens, special)


def _first(tokens: Tokens) -> Tensor:
    lengths = torch.tensor(tokens.lengths, device=tokens.values.device)
    return tokens.values.index_select(0, lengths.cumsum(0) - lengths)


def _mean(tokens: Tokens) -> Tensor:
    return document_means(tokens.values, tokens.lengths, tokens.shares)


def _mean_of_others(tokens: Tokens, special: int) -> Tensor:
    counted = ((tokens.origin < 0) | (tokens.origin >= special)).float()  # combination tokens stand at no position
    weights = counted if tokens.shares is None else counted * tokens.shares
    return document_means(tokens.values, tokens.lengths, weights + 1e-12)  # a document has a mean if none is left
