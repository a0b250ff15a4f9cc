"""Trace: what became of the tokens of one batch, as counts per step and as the positions that survived."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from tokensieve.reducers import KeyRows
from tokensieve.tokens import Tokens


@dataclass
class Trace:
    """Filled by the encoder, a step at a time.

    Attributes:
        kept: for every step the tokens of each document that count as kept: the text tokens that serve as keys
            (site "keys") or go on (site "hidden"); after the combining module the m combination tokens.
        origin: [S, K] positions of the keys or tokens that are left of the text at the end.
        lengths: how many of them each document has.
        joined: combination token (0..m-1) that each text token joined, packed, or None without a combining module.
        joined_origin: positions of those text tokens.
        joined_lengths: how many of them each document has.
    """

    kept: list[tuple[int, ...]] = field(default_factory=list)
    origin: Tensor | None = None
    lengths: tuple[int, ...] = ()
    joined: Tensor | None = None
    joined_origin: Tensor | None = None
    joined_lengths: tuple[int, ...] = ()

    def record(self, tokens: Tokens, served: KeyRows | None) -> None:
        """Note the tokens that go on after a layer, and the keys that served in it (None: all of them)."""
        m = tokens.combination
        if served is None:
            self.kept.append(tokens.text_lengths)
            self.origin, self.lengths = tokens.origin[tokens.origin >= 0].unsqueeze(0), tokens.text_lengths
            return
        origin = tokens.origin[served.rows]
        self.lengths = tuple(length - m for length in served.lengths)
        self.kept.append(self.lengths)
        self.origin = origin[origin >= 0].view(len(origin), -1)

    def record_combining(self, before: Tokens, joined: Tensor) -> None:
        """Note the step that folds the text of `before`."""
        self.kept.append((before.combination,) * len(before.lengths))
        self.joined, self.joined_lengths = joined, before.text_lengths
        self.joined_origin = before.origin[before.origin >= 0]

    def record_combined(self, tokens: Tokens) -> None:
        """Note a layer over combination tokens alone."""
        self.kept.append(tokens.lengths)

    def survivors(self) -> list[list[int]]:
        """Positions left of each document's text after the last pruning, ascending; the union over heads."""
        if self.origin is None:
            return [[] for _ in self.joined_lengths]
        parts = self.origin.cpu().split(list(self.lengths), dim=1)
        return [torch.unique(part).tolist() for part in parts]

    def assignments(self) -> list[dict[int, int]] | None:
        """For each document, position -> combination token; None without a combining module."""
        if self.joined is None or self.joined_origin is None:
            return None
        lengths = list(self.joined_lengths)
        pairs = zip(self.joined_origin.cpu().split(lengths), self.joined.cpu().split(lengths), strict=True)
        return [dict(zip(origin.tolist(), joined.tolist(), strict=True)) for origin, joined in pairs]
