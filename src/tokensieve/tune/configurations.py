"""The configurations (s, q, l) of quantile pruning that a search tries, and a checkpoint's encoders by them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PreTrainedModel

from tokensieve.config import Prune, ReductionConfig
from tokensieve.errors import ConfigError
from tokensieve.kernels.linear import lay_out_weights
from tokensieve.reduce.merge.most_similar import MostSimilar
from tokensieve.reduce.schedule import OneLayer
from tokensieve.reduce.score.received import Received
from tokensieve.reduce.select.quantile import Quantile
from tokensieve.reduce.site import Hidden
from tokensieve.runtime.sentences import SentenceEncoder, body_by, encoder_of, read_encoder


class Configuration(NamedTuple):
    """Quantile pruning in one layer.

    Attributes:
        min_length: s, tokens from which on a text is pruned, special tokens included.
        quantile: q, in (0, 1): tokens below this quantile of the text's scores leave.
        layer: l, 1-based number of the layer that prunes.
        merged: m, whether a token that leaves is averaged into the most similar one that stays. It is an extension of
            ours: False drops the token, as the source does.
    """

    min_length: int
    quantile: float
    layer: int
    merged: bool = False

    @property
    def settings(self) -> ReductionConfig:
        """The reduction settings."""
        keep = round(1 - self.quantile, 6)  # 1 - 0.9 is 0.09999999999999998
        merge = MostSimilar() if self.merged else None
        prune = Prune(Received(), Quantile(), OneLayer(self.layer, keep), Hidden(), merge)
        return ReductionConfig(prune=prune, pooling="mean", min_length=self.min_length)

    def __str__(self) -> str:
        return f"s={self.min_length} q={self.quantile:g} l={self.layer} m={int(self.merged)}"


@dataclass(frozen=True)
class Grid:
    """The configurations of a search: every combination.

    Attributes:
        min_lengths: values of s.
        quantiles: values of q.
        layers: values of l.
        merged: values of m.

    Raises:
        ConfigError: a list is empty, or a value is out of range.
    """

    min_lengths: tuple[int, ...] = (1, 8, 12, 16)
    quantiles: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    layers: tuple[int, ...] = (1, 2, 3, 4)
    merged: tuple[bool, ...] = (False, True)

    def __post_init__(self) -> None:
        wanted = {
            "min_lengths": ("whole numbers, 0 or more", lambda value: value >= 0 and value == int(value)),
            "quantiles": ("quantiles above 0 and below 1", lambda value: 0 < value < 1),
            "layers": ("whole numbers, 1 or more", lambda value: value >= 1 and value == int(value)),
            "merged": ("0, 1 or both", lambda value: value in (0, 1)),
        }
        for name, (what, fits) in wanted.items():
            values = getattr(self, name)
            if not values or not all(map(fits, values)):
                raise ConfigError(f"{name}={','.join(map(str, values))}: give {what}")

    def without_length(self) -> list[Configuration]:
        """The configurations without s, which is 0: those that have to be encoded."""
        return [Configuration(0, *own) for own in product(self.quantiles, self.layers, self.merged)]


class Encoders:
    """Encoders of one checkpoint by any configuration.

    Args:
        model: as `load_encoder` takes it; its reduction settings are left out.
        options: as `Engine` takes them, such as `max_length`.
    """

    def __init__(self, model: str | Path | None = None, **options: Any) -> None:
        self.source: PreTrainedModel
        self.source, self.tokenizer = read_encoder(model)
        self.options = options

    def by(self, configuration: Configuration | None) -> SentenceEncoder:
        """The encoder of a configuration; None: the unpruned one."""
        settings = ReductionConfig.preset("dense") if configuration is None else configuration.settings
        body = body_by(self.source, self.tokenizer, settings)
        lay_out_weights(body)
        return encoder_of(body, self.tokenizer, **self.options)
