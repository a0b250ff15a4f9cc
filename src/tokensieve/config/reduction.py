"""ReductionConfig: the settings of a token reduction, composed of cells (`tokensieve.reduce`).

Source: "Focus on the Core: Efficient Attention via Pruned Token Compression for Document Classification"
(Findings of EMNLP 2023), sections 3.1 to 3.4; where the paper is silent the choice is a field with a stated default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field, replace
from typing import Any, ClassVar, Literal, get_args

from tokensieve.checks import BOOLEAN, check_values, nearest, number, one_of, shown, whole
from tokensieve.config import old
from tokensieve.config.prune import Prune, checks_of
from tokensieve.config.record import FORMAT_VERSION, from_record, to_record
from tokensieve.errors import ConfigError
from tokensieve.reduce.combine.contract import Combine
from tokensieve.reduce.schedule import Constant, Listed, Schedule

Pooling = Literal["auto", "pretrained", "mean"]


PRESETS: dict[str, ReductionConfig] = {}
"""Settings by name; `tokensieve.methods` puts a preset there for each of its rows."""


@dataclass(frozen=True)
class Deferral:
    """A cascade: the first stage defers its least confident documents to a second one (`tokensieve.cascade`).

    Attributes:
        share: share of the documents that are deferred, above 0 and below 1. The confidence below which a document is
            deferred is fitted to validation documents.
        schedule: share of tokens that the second stage keeps in each layer; None: it reads all tokens.
    """

    share: float = 0.1
    schedule: Schedule | None = None

    nested: ClassVar[Mapping[str, type[Any]]] = {"schedule": Schedule}

    def __post_init__(self) -> None:
        share = number(lambda share: 0 < share < 1, "a share of the documents, above 0 and below 1")
        check_values(vars(self), {"share": share} | checks_of(self.nested, ("schedule",)))


@dataclass(frozen=True)
class ReductionConfig:
    """Settings of the token reduction; immutable and checked when built.

    Attributes:
        keep: short for a `prune` that keeps this share of the tokens in every layer, in (0, 1].
        prune: which tokens leave, and where; None: none do.
        combine: the module that folds the text into few tokens; None: there is none.
        defer: a cascade's second stage; None: there is one stage.
        pooling: document vector: the checkpoint's own head on the first remaining token ("pretrained"), the "mean" of
            the final tokens, or "auto": mean with a combining module, else pretrained.
        protect_special: [CLS], [SEP] and the like are counted but never removed, and are kept out of the quartiles.
        min_length: documents with fewer tokens than this are not pruned (they are still combined).

    Raises:
        ConfigError: a value out of range, or settings that do not go together.
    """

    keep: InitVar[float | None] = None
    prune: Prune | None = field(default_factory=Prune)
    combine: Combine | None = None
    defer: Deferral | None = None
    pooling: Pooling = "auto"
    protect_special: bool = True
    min_length: int = 0

    nested: ClassVar[Mapping[str, type[Any]]] = {"prune": Prune, "combine": Combine, "defer": Deferral}

    def __post_init__(self, keep: float | None) -> None:
        checks = checks_of(self.nested, tuple(self.nested))
        checks |= {"pooling": one_of(get_args(Pooling)), "protect_special": BOOLEAN, "min_length": whole(0)}
        check_values(vars(self), checks)
        if keep is not None:
            if self.prune is None:
                raise ConfigError(f"keep={shown(keep)} with prune=None: nothing is pruned; give a prune, or no keep")
            object.__setattr__(self, "prune", replace(self.prune, schedule=Constant(keep)))
        if self.defer is not None and self.prune is None:
            raise ConfigError(f"defer.share={self.defer.share:g} with prune=none: prune some tokens, or defer nothing")
        if self.combine is not None and self.prune is not None and self.prune.select.gated:
            raise ConfigError(
                f"prune.select={self.prune.select.name} with a combining module: it does not read the weights that "
                "rows have while the selection learns; use combine=none"
            )
        if self.pooling == "pretrained" and self.combine is not None:
            raise ConfigError(
                "pooling='pretrained' with a combining module: the first token, which the checkpoint's head reads, is "
                "folded away; use pooling='mean' or 'auto'"
            )

    @classmethod
    def preset(cls, name: object) -> ReductionConfig:
        """A named setting, a row of `tokensieve.methods.METHODS`; it fits any depth.

        Raises:
            ConfigError: unknown name.
        """
        if not isinstance(name, str) or name not in PRESETS:
            raise ConfigError(f"preset {shown(name)}: {nearest(name, PRESETS)}choose one of {', '.join(PRESETS)}")
        return PRESETS[name]

    def before(self, depth: int) -> int:
        """The number of layers ahead of the combining module, or of all, in a model of `depth` layers.

        Raises:
            ConfigError: the module does not fit the depth.
        """
        try:
            return depth if self.combine is None else self.combine.before(depth)
        except ConfigError as error:
            raise ConfigError(f"combine.{error}") from error

    def shares(self, depth: int) -> tuple[float, ...]:
        """The share of tokens that stays in each layer ahead of the combining module, or in all; 1: no pruning."""
        return _expand("prune", None if self.prune is None else self.prune.schedule, self.before(depth))

    def check_depth(self, depth: int) -> None:
        """Raise ConfigError unless the settings fit a model of `depth` layers."""
        firsts = self.shares(depth)
        if self.defer is None or self.defer.schedule is None:
            return
        first = second = 1.0
        for layer, (kept, kept_by_second) in enumerate(
            zip(firsts, _expand("defer", self.defer.schedule, self.before(depth)), strict=True), 1
        ):
            first, second = first * kept, second * kept_by_second
            if second < first:
                raise ConfigError(
                    f"defer.schedule={shown(to_record(self.defer.schedule))}: fewer tokens than in the first stage are "
                    f"left in layer {layer}: give larger shares, or leave it out"
                )

    def stages(self, depth: int) -> tuple[ReductionConfig, ...]:
        """The settings of each stage: one, or two for a cascade. The second prunes only where the first does."""
        first = replace(self, defer=None)
        if self.defer is None:
            return (first,)
        if self.defer.schedule is None or self.prune is None:
            return first, replace(first, prune=None)
        shares = zip(self.shares(depth), _expand("defer", self.defer.schedule, self.before(depth)), strict=True)
        second = _listed(tuple(by_second if by_first < 1 else 1.0 for by_first, by_second in shares))
        return first, replace(first, prune=replace(self.prune, schedule=second))

    def expanded(self, depth: int) -> ReductionConfig:
        """The same settings written out for one depth, so that settings with the same effect there are equal."""
        before = self.before(depth)
        combine = None if self.combine is None else replace(self.combine, layer=before + 1)
        prune = None if self.prune is None else replace(self.prune, schedule=_listed(self.shares(depth)))
        defer = self.defer
        if defer is not None and defer.schedule is not None:
            defer = replace(defer, schedule=_listed(_expand("defer", defer.schedule, before)))
        return replace(self, prune=prune, combine=combine, defer=defer, pooling=self.resolved_pooling)

    @property
    def deferred(self) -> float:
        """Share of the documents that a second stage gets; 0 without one."""
        return 0.0 if self.defer is None else self.defer.share

    @property
    def second_reads_all(self) -> bool:
        """Whether the second stage of a cascade reads all tokens."""
        return self.defer is not None and self.defer.schedule is None

    @property
    def combination_tokens(self) -> int:
        """m, the number of combination tokens; 0 without a combining module."""
        return 0 if self.combine is None else self.combine.tokens

    @property
    def joined_tokens(self) -> int:
        """Combination tokens that stand among the text ahead of the combining module; 0 where it makes them."""
        return self.combination_tokens if self.combine is not None and self.combine.joins_text else 0

    @property
    def resolved_pooling(self) -> Literal["pretrained", "mean"]:
        """`pooling` with "auto" decided."""
        if self.pooling == "auto":
            return "pretrained" if self.combine is None else "mean"
        return self.pooling

    def to_dict(self) -> dict[str, Any]:
        """The record of a checkpoint's config, with its format version."""
        return {"format_version": FORMAT_VERSION, **to_record(self)}

    @classmethod
    def from_dict(cls, record: object) -> ReductionConfig:
        """Read a record that `to_dict` wrote, or the flat one of version 0.1.0.

        Raises:
            ConfigError: no object, unknown names, another format version, or values out of range.
        """
        if not isinstance(record, Mapping):
            raise ConfigError(f"the reduction record is {shown(record)}: give an object, such as `to_dict` makes")
        values = old.nested(record) if old.is_flat(record) else dict(record)
        version = values.pop("format_version", FORMAT_VERSION)
        if type(version) is not int or version != FORMAT_VERSION:
            raise ConfigError(
                f"the reduction record has format_version={shown(version)}; this tokensieve reads 1 and "
                f"{FORMAT_VERSION}: install the version that wrote the checkpoint"
            )
        return from_record(cls, values)  # type: ignore[no-any-return]


def _expand(place: str, schedule: Schedule | None, layers: int) -> tuple[float, ...]:
    try:
        return (1.0,) * layers if schedule is None else schedule.expand(layers)
    except ConfigError as error:
        raise ConfigError(f"{place}.schedule.{error}") from error


def _listed(shares: tuple[float, ...]) -> Schedule:
    """The schedule of these shares. There are none if a combining module stands ahead of all layers."""
    return Listed(shares) if shares else Constant()
