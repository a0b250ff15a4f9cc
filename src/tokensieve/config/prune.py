"""Prune: which tokens leave a model, and where; the cells that make a method, and which of them go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

from tokensieve.checks import Check, check_values
from tokensieve.errors import ConfigError
from tokensieve.reduce.cell import Cell
from tokensieve.reduce.contract import Score, Select
from tokensieve.reduce.merge.contract import Merge
from tokensieve.reduce.schedule import Constant, Open, Schedule
from tokensieve.reduce.score.received import Received
from tokensieve.reduce.select.fuzzy import Fuzzy
from tokensieve.reduce.site import Keys, Site


@dataclass(frozen=True)
class Prune:
    """Which tokens leave, and where.

    Attributes:
        score: one number a token.
        select: which of the scored tokens stay.
        schedule: the share that stays in each layer.
        site: where the other tokens leave.
        merge: what becomes of the tokens that leave the model; None: they are dropped.
    """

    score: Score = field(default_factory=Received)
    select: Select = field(default_factory=Fuzzy)
    schedule: Schedule = field(default_factory=Constant)
    site: Site = field(default_factory=Keys)
    merge: Merge | None = None

    nested: ClassVar[Mapping[str, type[Any]]] = {
        "score": Score,
        "select": Select,
        "schedule": Schedule,
        "site": Site,
        "merge": Merge,
    }

    def __post_init__(self) -> None:
        check_values(vars(self), checks_of(self.nested, ("merge",)))
        if self.score.needs_attention and self.site.ahead:
            raise ConfigError(
                f"score={self.score.name} with site={self.site.name}: attention is not known ahead of the layer; use "
                "site=hidden, or a score of hidden states such as learned"
            )
        self._check_vectors()
        self._check_pairs()
        if self.score.per_head and self.site.leaves:
            raise ConfigError(
                f"score.heads='per_head' with site={self.site.name}: a token leaves the model for all heads at once; "
                "use heads='shared' or site=keys"
            )
        if not self.site.leaves:
            self._check_keys()
        self._check_decisions()

    def _check_keys(self) -> None:
        """Refuse what needs tokens that leave the model, where they only stop being keys."""
        if self.merge is not None:
            raise ConfigError(
                f"merge={self.merge.name} with site={self.site.name}: there pruned tokens stay in the model; use "
                "site=hidden"
            )
        if self.select.gated:
            raise ConfigError(
                f"select={self.select.name} with site={self.site.name}: it learns by tokens that leave the model; use "
                "site=hidden"
            )
        if self.score.needs_graph:
            raise ConfigError(
                f"score={self.score.name} with site={self.site.name}: there queries and keys are other tokens; use "
                "site=hidden"
            )
        if not self.score.own:
            raise ConfigError(
                f"score.own=False with site={self.site.name}: there queries and keys are other tokens; use site=hidden"
            )

    def _check_decisions(self) -> None:
        """Refuse a score, a selection and a schedule of which none says how many tokens stay, or two do."""
        if self.score.decides != self.select.reads_decisions:
            raise ConfigError(
                f"score={self.score.name} with select={self.select.name}: score=skim-predictor and select=skim belong "
                "together; give both or none"
            )
        if self.score.needs_counts and self.select.counts((8,), (0,), Fraction(1, 2)) is None:
            raise ConfigError(
                f"score={self.score.name} with select={self.select.name}: the score has to know how many tokens leave; "
                "use select=top-share, or score.similar=0"
            )
        if isinstance(self.schedule, Open) and self.select.reads_share:
            raise ConfigError(
                f"schedule=open with select={self.select.name}: nothing says how many tokens stay; use another "
                "schedule, such as constant"
            )

    def _check_pairs(self) -> None:
        """Refuse a threshold on what is no likeness, and partners that are looked for in two bands."""
        if self.select.reads_likeness and not self.score.is_likeness:
            raise ConfigError(
                f"score={self.score.name} with select={self.select.name}: its threshold is on the similarity of pairs; "
                "use score=band-similarity or score=key-similarity"
            )
        merge = self.merge
        if merge is not None and merge.band and self.score.band and merge.band != self.score.band:
            raise ConfigError(f"score.band={self.score.band} with merge.band={merge.band}: give both the same number")

    def _check_vectors(self) -> None:
        """Raise ConfigError where keys are needed ahead of the attention that makes them."""
        merge = self.merge
        if self.site.ahead and (self.score.needs_keys or (merge is not None and merge.needs_keys)):
            place = f"score={self.score.name}" if self.score.needs_keys else "merge.by='keys'"
            raise ConfigError(
                f"{place} with site={self.site.name}: keys are not known ahead of the layer; use site=hidden"
            )


def checks_of(kinds: Mapping[str, type[Any]], optional: tuple[str, ...]) -> dict[str, Check]:
    """Checks that nested settings are of their kind; `optional` ones may be None."""

    def check(kind: type[Any]) -> Check:
        named = f", in a record one of {', '.join(kind.choices)}" if issubclass(kind, Cell) else ""
        return Check(lambda value: isinstance(value, kind), f"give an object of the class {kind.__name__}{named}")

    return {name: check(kind).or_none() if name in optional else check(kind) for name, kind in kinds.items()}
