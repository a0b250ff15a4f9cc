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

    Families differ in the activation, in whether it is normed, and in whether the input is dropped as well. In a mean a
    token weighs as many as it stands for.
    """

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        self.input_dropout = Dropout(config.classifier_dropout if config.head_input_dropout else 0.0)
        self.reads_mean = config.head_pooling == "mean"
        self.dense = Linear(config.hidden_size, config.hidden_size, config.head_bias)
        self.activation = ACT2FN[config.head_activation]
        self.LayerNorm = norm_of(config.hidden_size, config) if config.head_norm else None
        self.dropout = Dropout(config.classifier_dropout)
        self.classifier = Linear(config.hidden_size, config.num_labels or 0)

    def forward(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Logits [B, num_labels], and the document vectors [B, d] that the last layer reads, before dropout."""
        if self.reads_mean:
            read = document_means(tokens.values, tokens.lengths, tokens.shares)
        else:
            lengths = torch.tensor(tokens.lengths, device=tokens.values.device)
            read = tokens.values.index_select(0, lengths.cumsum(0) - lengths)
        pooled = self.document_vectors(read)
        return self.classifier(self.dropout(pooled)), pooled

    def document_vectors(self, read: Tensor) -> Tensor:
        """What the last layer reads, [B, d], of the first token or the mean, [B, d]."""
        pooled: Tensor = self.activation(self.dense(self.input_dropout(read)))
        return pooled if self.LayerNorm is None else self.LayerNorm(pooled)


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


HEADS: dict[str, type[PretrainedHead] | type[MeanHead]] = {"pretrained": PretrainedHead, "mean": MeanHead}
