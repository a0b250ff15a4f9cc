"""Heads: the tokens that are left -> logits.

Where documents are read again, a head has a second last layer, `whole`, for document vectors of the second reading. It
is that of the classifier whose tokens are pruned, while `classifier` is aligned to fewer tokens
(`training.alignment`); aligned itself, where the second reading is not of all tokens. Where it is, `whole` answers
documents that are too short to be pruned, too. It is not trained.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.activations import ACT2FN

from tokensieve.kernels.linear import Linear
from tokensieve.kernels.ragged import document_means
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.dropout import Dropout
from tokensieve.tokens import Tokens


class HostHead(nn.Module):
    """The family's own head on each document's first token: linear, activation, dropout, linear.

    Families differ in the activation and in whether the input is dropped as well.
    """

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        self.input_dropout = Dropout(config.classifier_dropout if config.head_input_dropout else 0.0)
        self.dense = Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN[config.head_activation]
        self.dropout = Dropout(config.classifier_dropout)
        self.classifier = Linear(config.hidden_size, config.num_labels or 0)
        self.whole = whole_layer(config)

    def forward(self, tokens: Tokens, again: bool = False) -> tuple[Tensor, Tensor]:
        """Logits [B, num_labels], and the document vectors [B, d] that the last layer reads, before dropout."""
        lengths = torch.tensor(tokens.lengths, device=tokens.values.device)
        first = tokens.values.index_select(0, lengths.cumsum(0) - lengths)
        pooled: Tensor = self.activation(self.dense(self.input_dropout(first)))
        last = self.whole if again and self.whole is not None else self.classifier
        return last(self.dropout(pooled)), pooled


class MeanHead(nn.Module):
    """Mean of the final tokens, dropout, linear (PTC section 3.4); merged tokens weigh as many as they stand for."""

    def __init__(self, config: TokensieveConfig) -> None:
        super().__init__()
        self.dropout = Dropout(config.classifier_dropout)
        self.classifier = Linear(config.hidden_size, config.num_labels or 0)
        self.whole = whole_layer(config)

    def forward(self, tokens: Tokens, again: bool = False) -> tuple[Tensor, Tensor]:
        """Logits [B, num_labels], and the document vectors [B, d] that the last layer reads, before dropout."""
        pooled = document_means(tokens.values, tokens.lengths, tokens.sizes)
        last = self.whole if again and self.whole is not None else self.classifier
        return last(self.dropout(pooled)), pooled


class WholeLayer(nn.Module):
    """The last layer of a second reading, zero until it is copied from a classifier. Buffers, as neither adapters nor
    processes that train together may take it for trained weights.

    Args:
        hidden_size: d.
        num_labels: C.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, hidden_size: int, num_labels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(num_labels, hidden_size))
        self.register_buffer("bias", torch.zeros(num_labels))

    def forward(self, vectors: Tensor) -> Tensor:
        """Logits [B, C] of document vectors [B, d]."""
        return F.linear(vectors, self.weight, self.bias)


def whole_layer(config: TokensieveConfig) -> WholeLayer | None:
    """The last layer of a second reading; None where there is none."""
    return WholeLayer(config.hidden_size, config.num_labels or 0) if config.settings.reread else None


HEADS: dict[str, type[HostHead] | type[MeanHead]] = {"host": HostHead, "mean": MeanHead}
