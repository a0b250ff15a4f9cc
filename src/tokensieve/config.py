"""PTCConfig: every setting of Pruned Token Compression, its ranges, and what is refused.

Source: "Focus on the Core: Efficient Attention via Pruned Token Compression for Document Classification"
(Findings of EMNLP 2023), sections 3.1 to 3.4; where the paper is silent the choice is a field with a stated default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from tokensieve.checks import BOOLEAN, SHARE, Check, check_values, list_of, number, one_of, shown, whole
from tokensieve.errors import ConfigError
from tokensieve.presets import preset_settings

FORMAT_VERSION = 1

Pruning = Literal["none", "ratio", "fuzzy"]
RatioScope = Literal["candidates", "all"]
Site = Literal["keys", "hidden"]
Heads = Literal["shared", "per_head"]
CombineMode = Literal["replace", "insert"]
Pooling = Literal["auto", "host", "mean"]
CombineInit = Literal["random", "identity"]
CombineAssignment = Literal["hard", "soft"]
Score = Literal["received", "learned"]
ScoreQueries = Literal["all", "anchors", "sample"]

_RATIO = number(lambda share: 0 < share <= 1, "a number in (0, 1]")
_RATIOS = Check(
    lambda shares: bool(shares) and list_of(_RATIO, "numbers").fits(shares),
    "give a number in (0, 1] for each layer",
).or_none()
_AT_LEAST_ZERO = number(lambda value: 0 <= value <= 1e6, "a number of 0 or more, at most 1e6")  # float32 adds it up
_CHECKS: dict[str, Check] = {
    "pruning": one_of(get_args(Pruning)),
    "ratio_scope": one_of(get_args(RatioScope)),
    "site": one_of(get_args(Site)),
    "heads": one_of(get_args(Heads)),
    "combine_mode": one_of(get_args(CombineMode)),
    "pooling": one_of(get_args(Pooling)),
    "combine_init": one_of(get_args(CombineInit)),
    "combine_assignment": one_of(get_args(CombineAssignment)),
    "score": one_of(get_args(Score)),
    "score_queries": one_of(get_args(ScoreQueries)),
    "protect_special": BOOLEAN,
    "merge_pruned": BOOLEAN,
    "leaving_keys": BOOLEAN,
    "combine_scale": BOOLEAN,
    "combine_noise": BOOLEAN,
    "keep_ratio": _RATIO,
    "keep_ratios": _RATIOS,
    "reread_ratios": _RATIOS,
    "alpha_important": SHARE,
    "alpha_unimportant": SHARE,
    "score_noise": _AT_LEAST_ZERO,
    "combine_count_offset": _AT_LEAST_ZERO,
    "reread": number(lambda share: 0 <= share < 1, "a share of the documents, 0 or more and below 1"),
    "combination_tokens": whole(1, 10_000),  # each is a vector of the model
    "score_sample": whole(1),
    "min_length": whole(0),
    "min_tokens": whole(1),
    "combine_layer": whole(1).or_none(),
}


@dataclass(frozen=True)
class PTCConfig:
    """Settings of the token reduction; immutable and checked when built.

    Attributes:
        pruning: "none"; "ratio" (P): keep a share of the tokens; "fuzzy" (PF): spare what is clearly important.
        keep_ratio: p in (0, 1], the share of tokens that stays at every pruning layer.
        keep_ratios: in place of keep_ratio a share for each layer before the combining module, or of all; 1: nothing
            is pruned (or scored) there. At site "keys" the last one has no effect. None: keep_ratio everywhere.
        ratio_scope: fuzzy only: p applies to "all" tokens (candidates leave first) or to the "candidates" alone.
        site: "keys": pruned tokens stop serving as keys and values; "hidden": they leave the model.
        merge_pruned: site "hidden" only: a token that leaves is averaged into the most similar one that stays.
        heads: one kept set "shared" by all heads, or one "per_head" (site "keys" only).
        combine_layer: 1-based number of the combining module among the layers; None: no combining.
        combine_mode: the module takes the place of that layer ("replace") or stands before it ("insert").
        combination_tokens: m, the number of combination tokens; none exist without a combining module.
        protect_special: [CLS], [SEP] and the like are counted but never removed, and are kept out of the quartiles.
        pooling: document vector: the checkpoint's own head on the first remaining token ("host"), the "mean" of the
            final tokens, or "auto": mean with a combining module, else host.
        min_length: documents with fewer tokens than this are not pruned (they are still combined).
        min_tokens: so many of a document's tokens stay in any case, 1 or more.
        alpha_important: alpha-cut of the importance membership, in [0, 1].
        alpha_unimportant: alpha-cut of the unimportance membership, in [0, 1].
        combine_scale: divide the combining module's similarity by sqrt(d).
        combine_noise: Gumbel noise on the assignment, in training only.
        combine_count_offset: added to the number of tokens assigned, in the denominator of the combining step.
        combine_init: what `compress` starts the combining parts with: "random"; "identity": the module's maps are the
            identity, so that it folds tokens as they are, and the combination tokens are words of the checkpoint.
        combine_assignment: every token joins one combination token ("hard", the paper); or ("soft") each combination
            token takes from all tokens, by a softmax over them.
        score: what a token's importance is: the attention that it has "received" in the layer (the paper), or what a
            fitted linear map predicts from its hidden state ("learned", site "hidden" only): tokens then leave ahead
            of the layer's attention, and the first layer, too, sees only what stays.
        leaving_keys: learned score only: the tokens that leave ahead of a layer still serve it as keys and values, one
            last time; as those do that leave between attention and feed-forward by a received score.
        score_noise: scale of Gumbel noise on the learned score, in training only; 1 is the standard deviation of the
            scores within a document.
        score_queries: whose attention makes the received score: "all" queries (the paper); "anchors": the first
            token's and the combination tokens'; "sample": some, evenly spaced.
        score_sample: how many queries of a document "sample" looks at.
        reread: share of the documents, in [0, 1), that a cascade defers to a second stage: those that the first one is
            least sure of, below a confidence that is fitted to validation documents (`tokensieve.cascade`).
        reread_ratios: the second stage's shares of tokens, as keep_ratios; None: it reads all tokens.
    """

    pruning: Pruning = "fuzzy"
    keep_ratio: float = 0.9
    keep_ratios: tuple[float, ...] | None = None
    ratio_scope: RatioScope = "all"
    site: Site = "keys"
    merge_pruned: bool = False
    heads: Heads = "shared"
    combine_layer: int | None = None
    combine_mode: CombineMode = "replace"
    combination_tokens: int = 8
    protect_special: bool = True
    pooling: Pooling = "auto"
    min_length: int = 0
    min_tokens: int = 1
    alpha_important: float = 0.01
    alpha_unimportant: float = 0.9
    combine_scale: bool = True
    combine_noise: bool = True
    combine_count_offset: float = 0.0
    combine_init: CombineInit = "random"
    combine_assignment: CombineAssignment = "hard"
    score: Score = "received"
    leaving_keys: bool = False
    score_noise: float = 0.0
    score_queries: ScoreQueries = "all"
    score_sample: int = 32
    reread: float = 0.0
    reread_ratios: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_values(vars(self), _CHECKS)
        for name in ("keep_ratios", "reread_ratios"):
            ratios: Any = getattr(self, name)
            object.__setattr__(self, name, None if ratios is None else tuple(map(float, ratios)))
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.heads == "per_head" and self.site == "hidden":
            raise ConfigError(
                "heads='per_head' with site='hidden': a token leaves the model for all heads at once; "
                "use heads='shared' or site='keys'"
            )
        if self.merge_pruned and self.site != "hidden":
            raise ConfigError(
                f"merge_pruned=True with site={self.site!r}: there pruned tokens stay in the model; use site='hidden'"
            )
        if self.reread and self.pruning == "none":
            raise ConfigError(f"reread={self.reread!r} with pruning='none': prune some tokens, or leave reread out")
        if self.reread_ratios is not None and not self.reread:
            given = f"reread_ratios={list(self.reread_ratios)} with reread=0"
            raise ConfigError(
                f"{given}: nothing is deferred; give a share of the documents, or leave reread_ratios out"
            )
        self._check_score()
        if self.pooling == "host" and self.combine_layer is not None:
            raise ConfigError(
                "pooling='host' with a combining layer: the first token, which the checkpoint's head reads, is folded "
                "away; use pooling='mean' or 'auto'"
            )
        if self.ratio_scope != "all" and self.pruning != "fuzzy":
            raise ConfigError(
                f"ratio_scope={self.ratio_scope!r} with pruning={self.pruning!r}: only fuzzy pruning has candidates; "
                "use pruning='fuzzy' or leave ratio_scope out"
            )

    def _check_score(self) -> None:
        if self.score == "learned" and self.site != "hidden":
            raise ConfigError(
                f"score='learned' with site={self.site!r}: it lets tokens leave the model ahead of a layer; "
                "use site='hidden'"
            )
        if self.score != "learned" and self.leaving_keys:
            raise ConfigError(
                f"leaving_keys=True with score={self.score!r}: there what leaves has been among the keys in any case; "
                "use score='learned' or leave leaving_keys out"
            )
        if self.score != "learned" and self.score_noise:
            raise ConfigError(
                f"score_noise={self.score_noise!r} with score={self.score!r}: only the learned score has noise; "
                "use score='learned' or leave score_noise out"
            )
        if self.score == "learned" and self.score_queries != "all":
            raise ConfigError(
                f"score_queries={self.score_queries!r} with score='learned': no attention is scored; "
                "use score='received' or leave score_queries out"
            )

    def check_depth(self, num_layers: int) -> None:
        """Raise ConfigError unless the settings fit a model of `num_layers` layers (combine_layer 1..D, or D+1)."""
        last = num_layers + (self.combine_mode == "insert")
        if self.combine_layer is not None and self.combine_layer > last:
            raise ConfigError(
                f"combine_layer={self.combine_layer}: with combine_mode={self.combine_mode!r} a model of {num_layers} "
                f"layers (num_hidden_layers) takes 1 to {last}"
            )
        before = num_layers if self.combine_layer is None else self.combine_layer - 1
        for name, shares in (("keep_ratios", self.keep_ratios), ("reread_ratios", self.reread_ratios)):
            if shares is not None and len(shares) != before:
                raise ConfigError(
                    f"{name}={shown(list(shares))}: {len(shares)} shares, where {before} layers of num_hidden_layers="
                    f"{num_layers} stand before the combining module (combine_layer={self.combine_layer}) or the end: "
                    "give one for each, 1 where nothing is to be pruned"
                )
        first = second = 1.0
        for layer, share in enumerate(self.reread_ratios or ()):
            first, second = first * self.ratio_of(layer), second * share
            if second < first:
                raise ConfigError(
                    f"reread_ratios={shown(list(self.reread_ratios or ()))}: fewer tokens than in the first stage are "
                    f"left in layer {layer + 1}: give larger shares, or leave it out"
                )

    def changed(self, **given: Any) -> PTCConfig:
        """These settings with others in their place. Shares by layer that are not given themselves make room for a
        `keep_ratio`; a `combine_layer` cuts off those after it; other shares drop those of a second stage. Without
        pruning nothing is deferred.

        Raises:
            ConfigError: as the class.
        """
        shares, again, layer = self.keep_ratios, self.reread_ratios, given.get("combine_layer")
        reread = 0.0 if given.get("pruning") == "none" else self.reread
        if "keep_ratio" in given:
            shares = None
        elif shares is not None and type(layer) is int and layer >= 1:
            shares, again = shares[: layer - 1] or None, again and (again[: layer - 1] or None)
        if {"keep_ratio", "keep_ratios"} & given.keys() or not given.get("reread", reread):
            again = None
        return replace(self, **{"keep_ratios": shares, "reread": reread, "reread_ratios": again} | given)

    @property
    def stages(self) -> tuple[PTCConfig, ...]:
        """The settings of each stage: one, or with `reread` two. The second prunes only where the first one does."""
        first = replace(self, reread=0.0, reread_ratios=None)
        if not self.reread:
            return (first,)
        shares = enumerate(self.reread_ratios or ())
        again = tuple(share if self.ratio_of(layer) < 1 else 1.0 for layer, share in shares) or None
        return first, replace(first, keep_ratio=1.0, keep_ratios=again)

    def ratio_of(self, layer: int) -> float:
        """The share that stays in a layer, counted from 0, before the combining module."""
        return self.keep_ratio if self.keep_ratios is None else self.keep_ratios[layer]

    @property
    def combines(self) -> bool:
        """Whether there is a combining module (and with it combination tokens)."""
        return self.combine_layer is not None

    @property
    def resolved_pooling(self) -> Literal["host", "mean"]:
        """`pooling` with "auto" decided."""
        if self.pooling == "auto":
            return "mean" if self.combines else "host"
        return self.pooling

    def to_dict(self) -> dict[str, Any]:
        """The nested record of a checkpoint's config, with its format version."""
        lists = {name: list(value) for name, value in asdict(self).items() if isinstance(value, tuple)}
        return {"format_version": FORMAT_VERSION, **asdict(self), **lists}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> PTCConfig:
        """Read a record written by `to_dict`.

        Raises:
            ConfigError: unknown keys, another format version, or values out of range.
        """
        values = dict(record)
        version = values.pop("format_version", FORMAT_VERSION)
        if type(version) is not int or version != FORMAT_VERSION:
            raise ConfigError(
                f"ptc record has format_version={shown(version)}; this tokensieve reads {FORMAT_VERSION}: install the "
                "version that wrote the checkpoint"
            )
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ConfigError(f"unknown setting {', '.join(map(repr, unknown))}; known are {', '.join(known)}")
        return cls(**values)

    @classmethod
    def preset(cls, name: str, num_layers: int) -> PTCConfig:
        """A named setting for a model of `num_layers` layers, see `tokensieve.presets`.

        Raises:
            ConfigError: unknown name, or a model too shallow for the preset.
        """
        return cls(**preset_settings(name, num_layers))
