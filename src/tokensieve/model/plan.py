"""The plan: how many tokens every step sees for a document of a given length, and what that costs against dense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from tokensieve.config import ReductionConfig
from tokensieve.errors import ConfigError
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.flops import dense_flops, embedding_flops, head_flops, layer_flops
from tokensieve.model.steps import Step, encoder_steps
from tokensieve.reduce.contract import ScoredLayer

Basis = Literal["exact", "bounds", "measured"]


@dataclass(frozen=True)
class PlanStep:
    """One step of a plan. Counts that depend on the scores are upper bounds, or measured means.

    Attributes:
        number: place in the encoder, from 1.
        kind: "layer" or "combine".
        rows: rows that enter (queries), combination tokens included.
        keys: rows that serve as keys and values, combination tokens included (text tokens alone for "combine").
        rows_out: rows that go on.
        kept: what `Trace.kept` counts: text tokens kept, or m after combining.
        fewest: lower bound of `kept`.
        flops: multiply-adds times two.
    """

    number: int
    kind: str
    rows: float
    keys: float
    rows_out: float
    kept: float
    fewest: float
    flops: float


@dataclass(frozen=True)
class Plan:
    """Token counts and FLOPs of one document.

    Attributes:
        length: text tokens, special tokens included.
        basis: "exact" counts, upper "bounds" (settings whose counts depend on the scores), or "measured" means.
        steps: the encoder's steps.
        flops: FLOPs of the whole model for one document: embedding projection, steps, head. A cascade's include those
            of the next stage, for the share `deferred`.
        dense_flops: FLOPs of the same backbone with nothing reduced and its own head.
        deferred: share of such documents that a cascade's next stage reads as well.
    """

    length: int
    basis: Basis
    steps: tuple[PlanStep, ...]
    flops: float
    dense_flops: int
    deferred: float = 0.0

    @property
    def ratio(self) -> float:
        """FLOPs as a share of dense."""
        return self.flops / self.dense_flops

    @property
    def reduction(self) -> float:
        """How many times fewer FLOPs than dense."""
        return self.dense_flops / self.flops

    @property
    def kept_tokens(self) -> tuple[float, ...]:
        """`kept` of every step."""
        return tuple(step.kept for step in self.steps)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "ratio": self.ratio, "reduction": self.reduction}

    def __str__(self) -> str:
        """A table with a line a step."""
        lines = [f"{'step':>4} {'kind':8} {'rows':>7} {'keys':>7} {'out':>7} {'kept':>7} {'MFLOPs':>10}"]
        for s in self.steps:
            counts = " ".join(f"{value:7.6g}" for value in (s.rows, s.keys, s.rows_out, s.kept))
            low = f"  (at least {s.fewest:g} kept)" if s.fewest != s.kept and self.basis == "bounds" else ""
            lines.append(f"{s.number:>4} {s.kind:8} {counts} {s.flops / 1e6:10.1f}{low}")
        basis = {"exact": "", "bounds": " at most", "measured": " on average"}[self.basis]
        lines.append(
            f"{self.length} tokens:{basis} {self.flops / 1e9:.3f} GFLOPs, {self.ratio:.3f}x of dense "
            f"({self.dense_flops / 1e9:.3f} GFLOPs), {self.reduction:.2f} times fewer"
        )
        if self.deferred:
            lines.append(f"{self.deferred:.1%} of such documents are deferred to the next stage, which is counted")
        return "\n".join(lines)


def make_plan(
    config: TokensieveConfig, length: int, *, special: int = 2, shares: Sequence[float] | None = None
) -> Plan:
    """Plan a document of `length` tokens.

    Args:
        config: the model.
        length: text tokens, special tokens included.
        special: how many of them are protected, if the settings protect any.
        shares: mean share of its tokens that a sample document keeps at each step. If the counts depend on the scores,
            it takes the place of upper bounds.

    Raises:
        ConfigError: the length is outside 1..the position table, or `shares` has not one figure per step.
    """
    if not 1 <= length <= config.longest_document:
        raise ConfigError(f"length={length}: give 1 to {config.longest_document}, what the model takes")
    steps = encoder_steps(config.settings, config.num_hidden_layers, config.block.local_layers)
    bounds = kept_bounds(config.settings, steps, length, special)
    exact = all(bound.fewest == bound.most for bound in bounds)
    basis: Basis = "exact" if exact else "bounds" if shares is None else "measured"
    kept = [float(bound.most) for bound in bounds]
    if shares is not None and not exact:
        if len(shares) != len(steps):
            raise ConfigError(f"{len(shares)} measured shares for {len(steps)} steps: give one for each")
        text_steps = config.settings.before(config.num_hidden_layers)
        kept[:text_steps] = [share * length for share in shares[:text_steps]]
    planned = tuple(
        _plan_step(config, step, number, length, kept[number - 2] if number > 1 else length, kept[number - 1], bound)
        for number, (step, bound) in enumerate(zip(steps, bounds, strict=True), 1)
    )
    body = embedding_flops(config, length) + sum(step.flops for step in planned)
    flops = body + head_flops(config, planned[-1].rows_out)
    return Plan(length, basis, planned, flops, dense_flops(config, length))


def body_flops(config: TokensieveConfig, length: int, kept: Sequence[int]) -> float:
    """FLOPs of the body, without a head, for one document that was read.

    Args:
        config: the model.
        length: tokens of the document, special tokens included.
        kept: tokens that it kept at each step, as `Trace.kept` counts them.
    """
    plan = make_plan(config, length, shares=[count / length for count in kept])
    return plan.flops - head_flops(config, plan.steps[-1].rows_out)


def kept_shares(kept: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[float]:
    """Mean share of its tokens that a document keeps at each step, from `Trace.kept` and the documents' lengths."""
    return [sum(count / length for count, length in zip(step, lengths, strict=True)) / len(lengths) for step in kept]


class Bounds(NamedTuple):
    """Fewest and most tokens that a step keeps, as `Trace.kept` counts them; and whether it scores tokens."""

    fewest: int
    most: int
    scores: bool


def kept_bounds(settings: ReductionConfig, steps: Sequence[Step], length: int, special: int) -> list[Bounds]:
    """The bounds of every step."""
    protected = min(special, length) if settings.protect_special else 0
    now = following = (length, length)
    bounds, combined = [], False
    for step in steps:
        combined |= step.kind == "combine"
        now, scores = following, False
        if step.prune is not None and length >= settings.min_length:
            select, share = step.prune.select, step.share
            following = (select.bounds(now[0], protected, share)[0], select.bounds(now[1], protected, share)[1])
            scores = following != now or select.counts(now[:1], (protected,), share) is None
            now = following if step.prune.site.leaves else now
        bounds.append(Bounds(*((settings.combination_tokens,) * 2 if combined else now), scores))
    return bounds


def _plan_step(
    config: TokensieveConfig, step: Step, number: int, length: int, previous: float, kept: float, bounds: Bounds
) -> PlanStep:
    """Rows, keys and FLOPs of one step; `previous` is what the step before kept."""
    settings, d = config.settings, config.hidden_size
    m, joined = settings.combination_tokens, settings.joined_tokens
    prune, leaves = step.prune, settings.prune is not None and settings.prune.site.leaves
    ahead = prune is not None and prune.site.ahead
    text = kept if ahead else previous if leaves else length
    if step.kind == "combine":
        assert settings.combine is not None
        return PlanStep(number, "combine", text + joined, text, m, m, m, settings.combine.flops(d, text))
    if settings.combine is not None and number > settings.before(config.num_hidden_layers) + 1:
        rows = keys = out = float(m)
    elif leaves:
        served = previous if prune is not None and prune.site.keys_once_more else text
        rows, keys, out = text + joined, served + joined, kept + joined
    else:
        rows, keys, out = text + joined, kept + joined, text + joined
    per_head = settings.prune is not None and settings.prune.score.per_head
    local = step.source in config.block.local_layers
    flops = layer_flops(config, rows, keys, out, rows if per_head else keys, local=local)
    heads, depth = config.num_attention_heads, (step.source or 0) / config.num_hidden_layers
    if prune is not None and bounds.scores:
        flops += prune.score.flops(ScoredLayer(d, heads, depth, previous + joined, rows, keys, joined))
    if prune is not None and prune.merge is not None:
        flops += prune.merge.flops(d // heads if prune.merge.needs_keys else d, previous + joined, out)
    return PlanStep(number, "layer", rows, keys, out, kept, bounds.fewest, flops)
