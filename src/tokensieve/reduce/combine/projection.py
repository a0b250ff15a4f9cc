"""Projection: a learned linear map along the sequence folds the text into few tokens; the text is gone after this step.

Source: a widely read account of PTC, in which "a learned linear projection" compresses the selected tokens before
attention. It does not say along what: we take the sequence, as Linformer does for keys and values (Wang et al., 2020).
Linformer's map has a row for each position of a fixed length. Documents have any length, so here a row is a softmax
over the tokens of the document: by what they hold, or by where they stand. Each result is then a weighted mean of
tokens. Differs from the combining module in that no token stands among the text to be folded into, every result takes
from all tokens, and neither keys nor values have a map of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensieve.checks import Check, one_of, whole
from tokensieve.kernels.ragged import zip_runs
from tokensieve.reduce.combine.contract import Combine, Mode
from tokensieve.reduce.starts import Starts
from tokensieve.tokens import Tokens

By = Literal["content", "position"]


@dataclass(frozen=True)
class Projection(Combine):
    """The projection.

    Attributes:
        layer: its 1-based number among the layers; or a text such as "7/12", as in `Combine`.
        mode: it stands before that layer ("insert") or takes its place ("replace").
        tokens: m, the number of tokens that the text is folded into.
        by: what the weights follow from: the "content" of a token, or its relative "position" among those left.
        buckets: number of relative positions that "position" tells apart.
    """

    mode: Mode = "insert"
    by: By = "content"
    buckets: int = 64

    name: ClassVar[str] = "projection"
    joins_text: ClassVar[bool] = False
    fitted: ClassVar[bool] = True
    checks: ClassVar[Mapping[str, Check]] = {
        **Combine.checks,
        "by": one_of(get_args(By)),
        "buckets": whole(1, 10_000),
    }

    def module(self, hidden_size: int, layer_norm_eps: float) -> SequenceProjection:
        """The map, with weights that start at random or, by position, as stretches."""
        return SequenceProjection(hidden_size, self)

    def flops(self, hidden_size: int, text: float) -> float:
        """The product of weights and tokens; by content also that of queries and tokens."""
        return 2 * hidden_size * self.tokens * text * (2 if self.by == "content" else 1)


class SequenceProjection(Starts, nn.Module):
    """Folds n text tokens into m.

    By content, c_i = sum_j softmax_j(w_i . LN(e_j) / sqrt(d)) e_j, where LN is a norm without parameters. By position,
    c_i = sum_j softmax_j(w_i[floor(j P / n)]) e_j, with P buckets and j from 0.

    Args:
        hidden_size: d.
        settings: the number of tokens, and what the weights follow from.

    Attributes:
        weight: w, [m, d] or [m, P].
    """

    def __init__(self, hidden_size: int, settings: Projection) -> None:
        super().__init__()
        self.by_content, self.buckets = settings.by == "content", settings.buckets
        self.weight = nn.Parameter(torch.empty(settings.tokens, hidden_size if self.by_content else self.buckets))
        with torch.no_grad():
            self.weight.copy_(self.start())

    def first_values(self) -> Iterator[tuple[Tensor, Tensor]]:
        """As `Starts.first_values`."""
        yield self.weight, self.start()

    def start(self) -> Tensor:
        """What `weight` starts with, drawn anew: random queries; by position, a stretch of the text for each token."""
        tokens, width = self.weight.shape
        if self.by_content:
            return torch.randn(tokens, width)
        middle = (torch.arange(width) + 0.5) * tokens / width  # of each bucket, where a stretch is 1 long
        return -2 * (middle - torch.arange(tokens).unsqueeze(1) - 0.5).square()  # a normal curve, half of it wide

    def forward(self, tokens: Tokens) -> tuple[Tokens, Tensor]:
        """Fold the text of every document.

        Returns:
            The m tokens of each document alone, values [B * m, d]; and for each text token the one (0..m-1) that gives
            it the most weight, [T] int64.
        """
        folded, joined = [], []
        for run, rows in zip_runs(tokens.values, tokens.lengths):
            text = rows.unflatten(0, (run.documents, run.lengths[0]))
            weights = self.weights(text)
            folded.append(torch.matmul(weights, text).flatten(0, 1))
            joined.append(weights.detach().argmax(1).flatten())
        return tokens.only_combination(torch.cat(folded)), torch.cat(joined)

    def weights(self, text: Tensor) -> Tensor:
        """The weight of each text token in each result, [B, m, n], of text [B, n, d]; they sum to 1 over n."""
        return self.logits(text).softmax(2)

    def logits(self, text: Tensor) -> Tensor:
        """What the weights are the softmax of, [B, m, n]."""
        documents, number, width = text.shape
        if self.by_content:
            normed = F.layer_norm(text, (width,)) * width**-0.5
            return torch.matmul(self.weight, normed.transpose(1, 2))
        bucket = torch.arange(number, device=text.device) * self.buckets // number
        return self.weight[:, bucket].expand(documents, -1, -1)
