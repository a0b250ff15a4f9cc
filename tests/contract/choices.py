"""What each layer chose of a document, and by what scores; whether two runs chose differently by rounding alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from torch import Tensor

from contract import oracle
from flat import flat_of
from tokensieve import ReductionConfig, TokensieveForSequenceClassification
from tokensieve.model import layer as layer_module
from tokensieve.model.output import TokensieveOutput
from tokensieve.reduce.rows import KeyRows
from tokensieve.tokens import Tokens

ROUNDING = 1e-5
"""How far two runs may tell a score apart, as a share of the document's largest: measured 5e-6 at most."""


@dataclass(frozen=True)
class Choice:
    """A layer's choice among one document's tokens, for each set of heads.

    Attributes:
        share: of the layer.
        alive: positions of the tokens to choose from.
        scores: [sets, tokens], a score for each of them.
        stay: positions that were chosen.
    """

    share: Fraction
    alive: list[list[int]]
    scores: Tensor
    stay: list[list[int]]


def chosen(
    model: TokensieveForSequenceClassification, inputs: dict[str, Tensor]
) -> tuple[TokensieveOutput, list[list[Choice]]]:
    """The output, and for each document the choices of the layers that scored, in order."""
    layers: list[list[Choice]] = []

    def noted(select: Any, share: Fraction, scores: Tensor, keys: KeyRows, tokens: Tokens, *rest: Any) -> KeyRows:
        left: KeyRows = select_rows(select, share, scores, keys, tokens, *rest)
        told = zip(_places(tokens, keys), scores.split(list(keys.lengths), 1), _places(tokens, left), strict=True)
        layers.append([Choice(share, alive, own[:, : len(alive[0])], stay) for alive, own, stay in told])  # text first
        return left

    select_rows: Any = layer_module.select_rows  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(layer_module, "select_rows", noted)
        output = model(**inputs)
    return output, [[layer[document] for layer in layers] for document in range(len(inputs["input_ids"]))]


def _places(tokens: Tokens, rows: KeyRows) -> list[list[list[int]]]:
    """For each document and set the positions of its text among these rows."""
    parts = tokens.origin[rows.rows].split(list(rows.lengths), 1)
    return [[[place for place in own if place >= 0] for own in part.tolist()] for part in parts]


def parting(one: Sequence[Choice], other: Sequence[Choice]) -> tuple[Choice, Choice] | None:
    """The first choices that differ, of two runs of one document; None: all are the same."""
    return next((pair for pair in zip(one, other, strict=True) if pair[0].stay != pair[1].stay), None)


def is_near_tie(settings: ReductionConfig, pair: tuple[Choice, Choice], protected: Sequence[bool]) -> bool:
    """Whether two choices differ by rounding alone.

    Then both runs scored the same tokens alike, and each chose what the oracle chooses by the run's scores: tokens that
    are kept by one run alone are as near to each other, or to a threshold, as the scores of both runs are.
    """
    one, other = pair
    return (
        (one.share, one.alive) == (other.share, other.alive)
        and bool((one.scores - other.scores).abs().max() <= ROUNDING * one.scores.abs().max())
        and all(choice.stay == _by_the_oracle(settings, choice, protected) for choice in pair)
    )


def _by_the_oracle(settings: ReductionConfig, choice: Choice, protected: Sequence[bool]) -> list[list[int]]:
    rule = SimpleNamespace(**vars(flat_of(settings)) | {"keep_ratio": choice.share})
    return oracle.select_positions(rule, choice.scores.tolist(), choice.alive, protected)
