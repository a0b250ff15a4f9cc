"""Site: where tokens leave a layer: as keys alone, between attention and feed-forward, or ahead of attention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tokensieve.checks import BOOLEAN, Check
from tokensieve.reduce.cell import Cell


class Site(Cell):
    """The place in a layer where tokens leave.

    Attributes:
        leaves: they leave the model: no later tensor has a row for them. Otherwise they only stop being keys and values
            and stay queries.
        ahead: they leave ahead of the layer's attention, so that the score cannot be attention.
        keys_once_more: what leaves ahead of a layer is keys and values in it for the last time.
    """

    leaves: ClassVar[bool] = True
    ahead: ClassVar[bool] = False
    keys_once_more: bool = False


@dataclass(frozen=True)
class Keys(Site):
    """Tokens that leave are keys and values no longer, from the next layer on (PTC section 3.2); they stay queries."""

    name: ClassVar[str] = "keys"
    leaves: ClassVar[bool] = False


@dataclass(frozen=True)
class Hidden(Site):
    """Tokens leave between attention and feed-forward, and are in no later tensor."""

    name: ClassVar[str] = "hidden"


@dataclass(frozen=True)
class Ahead(Site):
    """Tokens leave ahead of attention, and are in no later tensor.

    Attributes:
        keys_once_more: they still serve this layer as keys and values.
    """

    keys_once_more: bool = False

    name: ClassVar[str] = "ahead"
    ahead: ClassVar[bool] = True
    checks: ClassVar[dict[str, Check]] = {"keys_once_more": BOOLEAN}
