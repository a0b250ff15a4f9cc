"""Token combining: every text token joins exactly one combination token; the text is gone after this step.

Source: PTC section 3.4, after GroupViT's grouping block. Differs from the printed equations in three settings: the
similarity is scaled by 1/sqrt(d), noise is drawn per pair and in training only, and a combination token that nothing
joins is left unchanged. Soft assignment, where every combination token takes from all tokens, is a setting of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensieve.checks import AT_LEAST_ZERO, BOOLEAN, Check, one_of
from tokensieve.kernels.linear import Linear
from tokensieve.kernels.ragged import zip_runs
from tokensieve.reduce.combine.contract import Combine
from tokensieve.tokens import Tokens

Init = Literal["random", "identity"]
Assignment = Literal["hard", "soft"]


@dataclass(frozen=True)
class CombiningModule(Combine):
    """The combining module.

    Attributes:
        layer: its 1-based number among the layers; or a text such as "7/12", layer 7 of a model of 12: a model of
            another depth has the module at the same share of its layers, with at least one layer after it.
        mode: the module takes the place of that layer ("replace") or stands before it ("insert").
        tokens: m, the number of combination tokens.
        scale: divide the similarity by sqrt(d).
        noise: Gumbel noise on the assignment, in training only.
        count_offset: added to the number of tokens assigned, in the denominator of the combining step.
        init: what `compress` starts the combining parts with: "random"; "identity": the module's maps are the identity,
            so that it folds tokens as they are, and the combination tokens are words of the checkpoint.
        assignment: every token joins one combination token ("hard", the paper); or ("soft") each combination token
            takes from all tokens, by a softmax over them.
    """

    scale: bool = True
    noise: bool = True
    count_offset: float = 0.0
    init: Init = "random"
    assignment: Assignment = "hard"

    name: ClassVar[str] = "combining-module"
    checks: ClassVar[Mapping[str, Check]] = {
        **Combine.checks,
        "scale": BOOLEAN,
        "noise": BOOLEAN,
        "count_offset": AT_LEAST_ZERO,
        "init": one_of(get_args(Init)),
        "assignment": one_of(get_args(Assignment)),
    }

    @property
    def starts_as_identity(self) -> bool:
        """Whether `init` is "identity"."""
        return self.init == "identity"

    def module(self, hidden_size: int, layer_norm_eps: float) -> TokenCombiner:
        """The module, with parameters that start at random."""
        return TokenCombiner(hidden_size, layer_norm_eps, self)

    def flops(self, hidden_size: int, text: float) -> float:
        """W_k, W_v and both products over the text; W_q, W_o over the m tokens."""
        d, m = hidden_size, self.tokens
        return 2 * d * d * (2 * text + 2 * m) + 2 * 2 * d * m * text


class TokenCombiner(nn.Module):
    """Folds n text tokens into m combination tokens; it shares no parameter with a layer.

    Args:
        hidden_size: d.
        layer_norm_eps: epsilon of its two norms, the same as in the layers around it.
        settings: scale, assignment, noise and count offset.
    """

    def __init__(self, hidden_size: int, layer_norm_eps: float, settings: CombiningModule) -> None:
        super().__init__()
        self.query = Linear(hidden_size, hidden_size)
        self.key = Linear(hidden_size, hidden_size)
        self.value = Linear(hidden_size, hidden_size)
        self.dense = Linear(hidden_size, hidden_size)
        self.combination_norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.text_norm = nn.LayerNorm(hidden_size, eps=layer_norm_eps)
        self.scale = hidden_size**-0.5 if settings.scale else 1.0
        self.soft = settings.assignment == "soft"
        self.noise, self.count_offset = settings.noise, settings.count_offset

    def forward(self, tokens: Tokens) -> tuple[Tokens, Tensor]:
        """Fold the text of every document into its combination tokens.

        Returns:
            The combination tokens [B * m, d] alone, and the combination token (0..m-1) that each text token joined, or
            that takes most of it, [T - B * m] int64.
        """
        folded, joined = [], []
        for run, rows in zip_runs(tokens.values, tokens.lengths):
            block = rows.unflatten(0, (run.documents, run.lengths[0]))
            text, combination = block.split([run.lengths[0] - tokens.combination, tokens.combination], dim=1)
            assigned = self.assign(self.similarity(text, combination))
            folded.append(self.fold(text, combination, assigned).flatten(0, 1))
            joined.append(assigned.detach().argmax(1).flatten())
        return tokens.only_combination(torch.cat(folded)), torch.cat(joined)

    def similarity(self, text: Tensor, combination: Tensor) -> Tensor:
        """Logits of the assignment, [B, m, n], from text [B, n, d] and combination tokens [B, m, d]."""
        query = self.query(self.combination_norm(combination))
        key = self.key(self.text_norm(text))
        return torch.matmul(query, key.transpose(1, 2)) * self.scale

    def assign(self, logits: Tensor) -> Tensor:
        """The weight of each text token in each combination token, [B, m, n], from the logits of that shape.

        Hard, HA: one-hot over m; in training with noise and a straight-through gradient. Soft: sums to 1 over n.
        """
        if self.soft:
            return logits.softmax(2)
        if self.training and self.noise:
            logits = logits - torch.empty_like(logits).exponential_().log()  # standard Gumbel noise
        hard = F.one_hot(logits.argmax(1), logits.shape[1]).transpose(1, 2).to(logits.dtype)
        if not torch.is_grad_enabled():
            return hard
        soft = logits.softmax(1)
        return hard + soft - soft.detach()

    @torch.no_grad()
    def start_as_identity(self) -> None:
        """Make all maps the identity: c <- c + the mean of the tokens that are most similar to it, as they are."""
        for linear in (self.query, self.key, self.value, self.dense):
            nn.init.eye_(linear.weight)
            nn.init.zeros_(linear.bias)

    def fold(self, text: Tensor, combination: Tensor, assigned: Tensor) -> Tensor:
        """c + W_o(mean of W_v e over the tokens assigned), [B, m, d]; c where nothing is assigned."""
        received = assigned.sum(2, keepdim=True)  # [B, m, 1]
        empty = received.detach() < 0.5
        total = torch.matmul(assigned, self.value(text))
        update = self.dense(total / (received + self.count_offset).masked_fill(empty, 1.0))
        folded: Tensor = combination + update.masked_fill(empty, 0.0)
        return folded
