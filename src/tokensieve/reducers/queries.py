"""Whose attention counts in the score: all queries, as in the paper (PTC section 3.1), or a few that speak for all.

The exact score needs every probability; a few rows cost little at any length. Rows of a document are its text tokens in
order, then its m combination tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tokensieve.config import PTCConfig
from tokensieve.kernels.received import ALL, Rows

RowsScored = Callable[[int, int], Rows]
"""(rows of a document, combination tokens among them) -> the rows whose attention counts, ascending."""


def rows_scored(config: PTCConfig) -> RowsScored:
    """What a setting means."""
    if config.score_queries == "anchors":
        return anchor_rows
    return partial(sample_rows, number=config.score_sample) if config.score_queries == "sample" else all_rows


def all_rows(rows: int, combination: int) -> Rows:
    """Every query."""
    return ALL


def anchor_rows(rows: int, combination: int) -> Rows:
    """The first token, which the head reads ([CLS]), and the combination tokens, which all is folded into."""
    return (0, *range(rows - combination, rows))


def sample_rows(rows: int, combination: int, number: int) -> Rows:
    """`number` queries evenly spaced over the document, so that it is scored alike in any batch; all where it is
    shorter.
    """
    return ALL if rows <= number else [place * rows // number for place in range(number)]
