"""Settings of a bag of words, and the few values among which validation documents choose."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tokensieve.checks import check_integer, check_value, number

NGRAMS = (1, 2)
"""Single words, or words and pairs of neighbouring words."""
INVERSE_PENALTIES = (10.0, 100.0, 1.0)
"""Candidates for C of the logistic regression; the first one is taken where there is nothing to choose by."""


INVERSE_PENALTY = number(lambda c: 1e-6 <= c <= 1e6, "a number in [1e-6, 1e6]")


@dataclass(frozen=True)
class WordsSettings:
    """How a bag of words is fitted.

    Attributes:
        max_terms: most terms of a vocabulary, those that occur in the most documents; of pairs, for each of both texts.
        ngrams: 1 takes words, 2 also pairs of neighbouring words; None: what classifies the validation documents best.
        inverse_penalty: C of the logistic regression; None: what classifies the validation documents best.
    """

    max_terms: int = 200_000
    ngrams: int | None = None
    inverse_penalty: float | None = None

    def __post_init__(self) -> None:
        check_integer(self, "max_terms", 1)
        if self.ngrams is not None:
            check_integer(self, "ngrams", 1, 5)
        if self.inverse_penalty is not None:
            check_value("inverse_penalty", self.inverse_penalty, INVERSE_PENALTY.or_none())

    def to_dict(self) -> dict[str, Any]:
        """For a record."""
        return asdict(self)
