"""The output of forward in transformers' form, with the loss; and the outputs that forward refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from transformers.modeling_outputs import SequenceClassifierOutput

from tokensieve.errors import ConfigError
from tokensieve.model.answers import Answers
from tokensieve.model.trace import Trace


@dataclass
class TokensieveOutput(SequenceClassifierOutput):
    """transformers' classifier output with further fields, which Trainer ignores.

    Attributes:
        pooled: [B, d] document vectors, which the head's last layer reads.
        trace: which tokens were kept in each step; ragged.
        penalty: [B], what gates that are trained have added to the loss of each document; None where none is trained.
    """

    pooled: Tensor | None = None
    trace: Trace | None = None
    penalty: Tensor | None = None


def output_of(
    answers: Answers, labels: Tensor | None, problem_type: str | None, return_dict: bool | None
) -> TokensieveOutput | tuple[Any, ...]:
    """The answers in transformers' form, with the loss where there are labels; as a plain tuple if asked for."""
    logits, pooled, trace, penalty = answers
    loss = None if labels is None else classification_loss(logits, labels, problem_type)
    if loss is not None and penalty is not None:
        loss = loss + penalty.mean()
    if return_dict is False:
        return (logits,) if loss is None else (loss, logits)
    return TokensieveOutput(loss=loss, logits=logits, pooled=pooled, trace=trace, penalty=penalty)


def refuse_padded_outputs(attentions: bool | None, hidden_states: bool | None) -> None:
    """Raise ConfigError if a caller asks for padded attentions or hidden states."""
    for name, asked in (("output_attentions", attentions), ("output_hidden_states", hidden_states)):
        if asked:
            raise ConfigError(
                f"{name}=True: fused attention over packed tokens keeps no such tensors; output.trace tells which "
                "tokens survived, output.pooled holds the document vectors"
            )


def classification_loss(logits: Tensor, labels: Tensor, problem_type: str | None) -> Tensor:
    """Mean loss of a batch, chosen as transformers does: by `problem_type`, else by the labels' type and shape."""
    if problem_type is None:
        several = labels.is_floating_point()
        problem_type = "multi_label_classification" if several else "single_label_classification"
        problem_type = "regression" if logits.shape[1] == 1 else problem_type
    if problem_type == "regression":
        return F.mse_loss(logits.squeeze(-1), labels.to(logits.dtype).view_as(logits.squeeze(-1)))
    if problem_type == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
    return F.cross_entropy(logits, labels.view(-1))
