"""The jobs of the comparison of methods: each row at shares of the dense encoder's FLOPs, or as it is published.

A row has a dial where its schedule can be made stronger or weaker: each layer's share is raised to the same power. The
power is found by the plan of the documents, ahead of any training. A row that cannot reach a share of the FLOPs is
measured as it is published, once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from tokensieve import ReductionConfig, TokensieveConfig
from tokensieve.errors import ConfigError
from tokensieve.methods import METHODS
from tokensieve.model.flops import dense_flops
from tokensieve.model.plan import make_plan
from tokensieve.reduce.schedule import Listed
from tokensieve.reduce.select.top_share import TopShare
from tokensieve_bench.places import RESULTS

DENSE = "dense"
PUBLISHED = "published"
"""In place of a share: the row's own settings."""
_NEAR = 0.01
"""Distance of a share that counts as reached."""
_STEPS = 20
_FEWEST = 0.01
"""Smallest share of a layer."""


@dataclass(frozen=True)
class Job:
    """A row of one data set at one share.

    Attributes:
        data: name of the set.
        row: of METHODS, or of the config's "layers".
        share: of the dense encoder's FLOPs, as text; or PUBLISHED.
        settings: what is reduced.
        layers: of the dense encoder that stay; None: all.
        recipe: fields that the row sets.
        start: digest of the weights of the dense classifier that it starts from.
    """

    data: str
    row: str
    share: str
    settings: ReductionConfig
    layers: tuple[int, ...] | None
    recipe: dict[str, Any]
    start: str

    @property
    def name(self) -> str:
        """The name of its file and folder. Every dense classifier has a record of its own, which its rows need."""
        row = f"{DENSE}-{self.start[:8]}" if self.row == DENSE else self.row
        return re.sub(r"[^\w.]+", "-", f"{row}-at-{self.share}")

    @property
    def record(self) -> Path:
        """The file that its figures go to."""
        return RESULTS / "methods" / self.data / f"{self.name}.json"


def rows_of(config: dict[str, Any]) -> list[str]:
    """The rows of a comparison: dense, shallower encoders, and those of METHODS that the config does not leave out."""
    return [DENSE, *config["layers"], *(row for row in METHODS if row not in config["left_out"])]


def jobs_of(
    config: dict[str, Any],
    data: str,
    dense: TokensieveConfig,
    lengths: Sequence[int],
    start: str,
    rows: Collection[str] | None = None,
) -> Iterator[Job]:
    """The jobs of one data set.

    Args:
        config: of the comparison.
        data: name of the set.
        dense: of the encoder that all start from.
        lengths: tokens of some of the documents, by which the FLOPs are counted.
        start: digest of that encoder's weights.
        rows: these alone; None: all.
    """
    plain = replace(METHODS["dense"].settings, pooling="mean")
    for row, layers in {DENSE: None, **config["layers"]}.items():
        if rows is None or row in rows:
            yield Job(data, row, PUBLISHED, plain, layers and tuple(layers), {}, start)
    for row, method in METHODS.items():
        if row in config["left_out"] or (rows is not None and row not in rows):
            continue
        recipe = {key: value for key, value in method.recipe.items() if key != "words_first"}
        given = method.settings if method.settings.combine else replace(method.settings, pooling="mean")
        shares = () if row in config["published"] else config["shares"]
        dialed = {share: at_share(given, dense, lengths, share) for share in shares}
        for share, settings in dialed.items():
            if settings is not None:
                yield Job(data, row, f"{share:g}", settings, None, recipe, start)
        if not dialed or None in dialed.values():
            yield Job(data, row, PUBLISHED, given, None, recipe, start)


def at_share(
    settings: ReductionConfig, dense: TokensieveConfig, lengths: Sequence[int], share: float
) -> ReductionConfig | None:
    """Settings with which the model costs this share of the dense encoder's FLOPs; None: they cannot reach it.

    Settings with a second stage have no dial, as their cost depends on what is deferred.
    """
    if settings.prune is None or settings.defer is not None:
        return None
    weak, strong = 0.0, 64.0
    for _ in range(_STEPS):
        power = (weak + strong) / 2
        if flops_share(_dialed(settings, dense, power), dense, lengths) > share:
            weak = power
        else:
            strong = power
    found = _dialed(settings, dense, strong)
    return found if abs(flops_share(found, dense, lengths) - share) < _NEAR else None


def _dialed(settings: ReductionConfig, dense: TokensieveConfig, power: float) -> ReductionConfig:
    assert settings.prune is not None
    shares = tuple(
        max(_FEWEST, round(own**power, 3)) if own < 1 else 1.0 for own in settings.shares(dense.num_hidden_layers)
    )
    return replace(settings, prune=replace(settings.prune, schedule=Listed(shares)))


def flops_share(settings: ReductionConfig, dense: TokensieveConfig, lengths: Sequence[int]) -> float:
    """FLOPs of some documents as a share of the dense encoder's, by the plan.

    A selection whose counts depend on the scores counts as one that keeps the schedule's share.
    """
    try:
        config = _with(dense, settings)
        if any(make_plan(config, length).basis == "bounds" for length in set(lengths)):
            assert settings.prune is not None
            counted = TopShare(min_tokens=settings.prune.select.min_tokens)
            config = _with(dense, replace(settings, prune=replace(settings.prune, select=counted)))
        own = {length: make_plan(config, length).flops for length in set(lengths)}
    except ConfigError:
        return 1.0
    return fmean(own[length] for length in lengths) / fmean(dense_flops(dense, length) for length in lengths)


def _with(dense: TokensieveConfig, settings: ReductionConfig) -> TokensieveConfig:
    config = TokensieveConfig.from_dict(dense.to_dict() | {"reduction": settings.to_dict()})
    assert isinstance(config, TokensieveConfig)
    return config
