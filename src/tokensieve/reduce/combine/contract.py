"""The contract of combining: a module among the layers folds the text into combination tokens."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import nn

from tokensieve.checks import Check, is_whole, one_of, whole
from tokensieve.errors import ConfigError
from tokensieve.reduce.cell import Cell

Mode = Literal["replace", "insert"]
_SCALED = re.compile(r"[1-9]\d{0,2}/[1-9]\d{0,2}")


def _is_scaled(layer: str) -> bool:
    """Whether it is the number of a layer with a depth that has it, such as "7/12"."""
    if _SCALED.fullmatch(layer) is None:
        return False
    number, depth = map(int, layer.split("/"))
    return number <= depth


@dataclass(frozen=True)
class Combine(Cell):
    """A combining module: its place among the layers, and the number of tokens that it folds the text into.

    Attributes:
        layer: its 1-based number among the layers; or a text such as "7/12", layer 7 of a model of 12: a model of
            another depth has the module at the same share of its layers, with at least one layer after it.
        mode: the module takes the place of that layer ("replace") or stands before it ("insert").
        tokens: m, the number of combination tokens.
        joins_text: the combination tokens are learned vectors that stand behind the text from the first layer on.
            Otherwise there are none before the module makes them.
        fitted: the module is fitted to the classifier that a training starts from, so that it does not start at random.
    """

    layer: int | str = 1
    mode: Mode = "replace"
    tokens: int = 8

    unnamed: ClassVar[str] = "combining-module"  # the only one for long, so that records may leave its name out
    joins_text: ClassVar[bool] = True
    fitted: ClassVar[bool] = False
    checks: ClassVar[Mapping[str, Check]] = {
        "layer": Check(
            lambda layer: is_whole(layer, 1) or (isinstance(layer, str) and _is_scaled(layer)),
            'give the number of a layer, from 1, or such a number with a depth, such as "7/12"',
        ),
        "mode": one_of(get_args(Mode)),
        "tokens": whole(1, 10_000),  # each is a vector of the model
    }

    def before(self, depth: int) -> int:
        """Layers that stand before the module, in a model of `depth` layers.

        Raises:
            ConfigError: the module does not fit the depth.
        """
        if isinstance(self.layer, str):
            if depth < 2:
                raise ConfigError(f"layer={self.layer!r} needs a model of 2 layers or more, this one has {depth}")
            layer, of = map(int, self.layer.split("/"))
            return min((layer - 1) * depth // of, depth - 2)
        last = depth + (self.mode == "insert")
        if self.layer > last:
            raise ConfigError(
                f"layer={self.layer}: with mode={self.mode!r} a model of {depth} layers (num_hidden_layers) takes 1 to "
                f"{last}"
            )
        return self.layer - 1

    @property
    def starts_as_identity(self) -> bool:
        """Whether the module and its tokens start as `start_as_identity` leaves them, and not at random."""
        return False

    @abstractmethod
    def module(self, hidden_size: int, layer_norm_eps: float) -> nn.Module:
        """The module: `Tokens` in, the combination tokens and the one that each text token joined out."""

    @abstractmethod
    def flops(self, hidden_size: int, text: float) -> float:
        """Multiply-adds times two for a document of `text` tokens."""
