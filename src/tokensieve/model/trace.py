"""Trace: what became of the tokens of one batch, as counts per step and as the positions that survived."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from tokensieve.reducers import KeyRows
from tokensieve.tokens import COMBINATION, Tokens


@dataclass
class Trace:
    """Filled by the encoder, a step at a time. Counts are plain numbers; positions are worked out when asked for.

    Attributes:
        kept: for every step the tokens of each document that count as kept: the text tokens that serve as keys
            (site "keys") or go on (site "hidden"); after the combining module the m combination tokens.
        text: the tokens of the last layer that had any text, as it left it.
        served: the keys of that layer; None: all of its tokens.
        folded: the tokens that entered the combining module; None without one.
        joined: combination token (0..m-1) that each text token of `folded` joined, packed.
    """

    kept: list[tuple[int, ...]] = field(default_factory=list)
    text: Tokens | None = None
    served: KeyRows | None = None
    folded: Tokens | None = None
    joined: Tensor | None = None

    def record_layer(self, tokens: Tokens, served: KeyRows | None) -> None:
        """Note the tokens that leave a layer, and the keys that served in it (None: all of them)."""
        if self.folded is not None:  # a layer over combination tokens alone
            self.kept.append(tokens.lengths)
            return
        self.text, self.served = tokens, served
        lengths = tokens.lengths if served is None else served.lengths
        self.kept.append(tuple(length - tokens.combination for length in lengths))

    def record_combining(self, before: Tokens, joined: Tensor) -> None:
        """Note the step that folds the text of `before`."""
        self.folded, self.joined = before, joined
        self.kept.append((before.combination,) * len(before.lengths))

    def survivors(self) -> list[list[int]]:
        """Positions left of each document's text after the last pruning, ascending; the union over heads."""
        tokens = self.text if self.text is not None else self.folded
        if tokens is None:
            return []
        origin = tokens.origin.unsqueeze(0) if self.served is None else tokens.origin[self.served.rows]
        lengths = tokens.lengths if self.served is None else self.served.lengths
        parts = (torch.unique(part) for part in origin.cpu().split(list(lengths), dim=1))
        return [part[part != COMBINATION].tolist() for part in parts]

    def assignments(self) -> list[dict[int, int]] | None:
        """For each document, position -> combination token; None without a combining module."""
        if self.folded is None or self.joined is None:
            return None
        origin = self.folded.origin.cpu()
        lengths = list(self.folded.text_lengths)
        pairs = zip(origin[origin != COMBINATION].split(lengths), self.joined.cpu().split(lengths), strict=True)
        return [dict(zip(positions.tolist(), joined.tolist(), strict=True)) for positions, joined in pairs]
