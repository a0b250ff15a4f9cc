"""How many tokens stay in which layer: a share for each layer ahead of the combining module, or of all.

A schedule is stored without the depth of the model, and `expand` makes the shares when the depth is known.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import ClassVar

from tokensieve.checks import Check, list_of, number, shown, whole
from tokensieve.errors import ConfigError
from tokensieve.reduce.cell import Cell

_SHARE = number(lambda share: 0 < share <= 1, "a number in (0, 1]")


def exact_ratio(keep: float) -> Fraction:
    """The decimal that the user wrote, exactly: 0.7 * 10 floors to 7, which the float product 6.999... does not."""
    return Fraction(str(float(keep)))


def next_count(alive: int, protected: int, ratio: Fraction, fewest: int = 1) -> int:
    """Tokens after one pruning step: max(1, protected, floor(alive * ratio)) (PTC section 3.2).

    At least `fewest` are left if as many are alive.
    """
    return max(1, protected, min(alive, fewest), alive * ratio.numerator // ratio.denominator)


class Schedule(Cell):
    """The share of tokens that stays in each layer."""

    @abstractmethod
    def expand(self, layers: int) -> tuple[float, ...]:
        """The share of each of `layers` layers, in (0, 1]; 1: nothing is pruned or scored there.

        Raises:
            ConfigError: the schedule does not fit the number of layers.
        """


@dataclass(frozen=True)
class Constant(Schedule):
    """The same share in every layer (PTC section 3.2).

    Attributes:
        keep: p in (0, 1], the share of its tokens that a document keeps at each layer.
    """

    keep: float = 0.9

    name: ClassVar[str] = "constant"
    checks: ClassVar[Mapping[str, Check]] = {"keep": _SHARE}

    def expand(self, layers: int) -> tuple[float, ...]:
        """p for each layer."""
        return (self.keep,) * layers


@dataclass(frozen=True)
class Taper(Schedule):
    """A share at the first layer, and then the same one at each other layer, so that any depth ends with `last`.

    Attributes:
        first: share of the document's tokens that the first layer keeps, in (0, 1].
        last: share of the document's tokens that is left after the last layer, in (0, first].
    """

    first: float = 0.9
    last: float = 0.3

    name: ClassVar[str] = "taper"
    checks: ClassVar[Mapping[str, Check]] = {"first": _SHARE, "last": _SHARE}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.last > self.first:
            raise ConfigError(f"last={self.last:g} with first={self.first:g}: give a last share of at most the first")

    def expand(self, layers: int) -> tuple[float, ...]:
        """The first share, then the root of last / first, to three decimals, and no less than one in a thousand."""
        others = layers - 1
        each = max(0.001, round((self.last / self.first) ** (1 / others), 3)) if others > 0 else 1.0
        return (self.first, *(each,) * others)[:layers]


@dataclass(frozen=True)
class Even(Schedule):
    """As many tokens leave in each layer as in any other: the same share of the document's own length.

    Attributes:
        last: share of the document's tokens that is left after the last layer, in (0, 1].
    """

    last: float = 0.3

    name: ClassVar[str] = "even"
    checks: ClassVar[Mapping[str, Check]] = {"last": _SHARE}

    def expand(self, layers: int) -> tuple[float, ...]:
        """The quotients of the shares of the length that are left, to four decimals."""
        left = [1 - (1 - self.last) * number / layers for number in range(layers + 1)] if layers else []
        return tuple(max(0.001, round(after / before, 4)) for before, after in pairwise(left))


@dataclass(frozen=True)
class OneLayer(Schedule):
    """A share in one layer, and all tokens in the others.

    Attributes:
        layer: 1-based number of the layer that prunes.
        keep: share of its tokens that a document keeps there, in (0, 1].
    """

    layer: int = 1
    keep: float = 0.5

    name: ClassVar[str] = "one-layer"
    checks: ClassVar[Mapping[str, Check]] = {"layer": whole(1), "keep": _SHARE}

    def expand(self, layers: int) -> tuple[float, ...]:
        """`keep` for the one layer, 1 for the others."""
        if self.layer > layers:
            raise ConfigError(f"layer={self.layer}: {layers} layers can prune; give 1 to {layers}")
        return tuple(self.keep if number == self.layer else 1.0 for number in range(1, layers + 1))


@dataclass(frozen=True)
class Spaced(Schedule):
    """The same share in a few layers at equal distances, none of which is the last one; all tokens in the others.

    Attributes:
        number: how many layers prune; all but the last one where there are fewer.
        keep: share of its tokens that a document keeps in each of them, in (0, 1].
    """

    number: int = 3
    keep: float = 0.7

    name: ClassVar[str] = "spaced"
    checks: ClassVar[Mapping[str, Check]] = {"number": whole(1), "keep": _SHARE}

    def expand(self, layers: int) -> tuple[float, ...]:
        """`keep` for layers 3, 6 and 9 of 12 with `number` 3, 1 for the others."""
        pruning = {-(-layers * place // (self.number + 1)) for place in range(1, self.number + 1)} - {layers}
        return tuple(self.keep if number in pruning else 1.0 for number in range(1, layers + 1))


@dataclass(frozen=True)
class LastLayers(Schedule):
    """The same share in each of the last layers, and all tokens in the others.

    Attributes:
        number: how many layers prune; all of them where there are fewer.
        keep: share of its tokens that a document keeps in each of them, in (0, 1].
    """

    number: int = 3
    keep: float = 0.6

    name: ClassVar[str] = "last-layers"
    checks: ClassVar[Mapping[str, Check]] = {"number": whole(1), "keep": _SHARE}

    def expand(self, layers: int) -> tuple[float, ...]:
        """1 for the first layers, `keep` for the last ones."""
        pruning = min(layers, self.number)
        return (1.0,) * (layers - pruning) + (self.keep,) * pruning


@dataclass(frozen=True)
class Open(Schedule):
    """No share: from some layer on tokens leave, as many as the selection decides document by document.

    Attributes:
        first: 1-based number of the first layer in which tokens leave.
    """

    first: int = 1

    name: ClassVar[str] = "open"
    checks: ClassVar[Mapping[str, Check]] = {"first": whole(1)}

    def expand(self, layers: int) -> tuple[float, ...]:
        """1 ahead of the first layer, then one in a thousand, which no selection of such a schedule reads."""
        if self.first > layers:
            raise ConfigError(f"first={self.first}: {layers} layers can prune; give 1 to {layers}")
        return (1.0,) * (self.first - 1) + (0.001,) * (layers - self.first + 1)


@dataclass(frozen=True)
class Listed(Schedule):
    """A list of shares, one for each layer.

    Attributes:
        shares: each in (0, 1].
    """

    shares: tuple[float, ...] = ()

    name: ClassVar[str] = "listed"
    checks: ClassVar[Mapping[str, Check]] = {
        "shares": Check(
            lambda shares: list_of(_SHARE, "numbers").fits(shares) and bool(shares),
            "give a number in (0, 1] for each layer",
        )
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "shares", tuple(map(float, self.shares)))

    def expand(self, layers: int) -> tuple[float, ...]:
        """The list itself, if it has the right length."""
        if len(self.shares) != layers:
            raise ConfigError(
                f"shares={shown(list(self.shares))}: {len(self.shares)} shares, where {layers} layers stand before the "
                "combining module or the end: give one for each, 1 where nothing is to be pruned"
            )
        return self.shares
