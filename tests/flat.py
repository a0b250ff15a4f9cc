"""Reduction settings by the flat names of version 0.1.0, which are short to write in a table of variants.

So every test of a variant also tries the converter of those names (`tokensieve.config.old`).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tokensieve import Prune, ReductionConfig
from tokensieve.config.ptc import changed, from_flat
from tokensieve.reduce.combine.combining_module import CombiningModule
from tokensieve.reduce.score.received import Received


def reduction(**flat: Any) -> ReductionConfig:
    """The settings of flat fields; those left out have their defaults."""
    return from_flat(flat)


def with_flat(settings: ReductionConfig, **flat: Any) -> ReductionConfig:
    """Settings with flat fields in place of what they have."""
    return changed(settings, flat)


def flat_of(settings: ReductionConfig, depth: int = 4) -> SimpleNamespace:
    """The settings as the flat fields tell them, for a model of `depth` layers; without pruning with the defaults."""
    prune, combine = settings.prune or Prune(), settings.combine
    score, select, site = prune.score, prune.select, prune.site
    received = score if isinstance(score, Received) else Received()
    module = combine if isinstance(combine, CombiningModule) else CombiningModule()
    selects = {"top-share": "ratio", "soft-extract": "ratio"}
    return SimpleNamespace(
        pruning="none" if settings.prune is None else selects.get(select.name, select.name),
        keep_ratio=(*settings.shares(depth), 1.0)[0],
        keep_ratios=settings.shares(depth),
        ratio_scope=getattr(select, "scope", "all"),
        alpha_important=getattr(select, "alpha_important", 0.01),
        alpha_unimportant=getattr(select, "alpha_unimportant", 0.9),
        min_tokens=select.min_tokens,
        threshold=getattr(select, "threshold", 0.0),
        relative=getattr(select, "relative", "nothing"),
        score_is_log=score.is_log,
        score=score.name,
        score_queries=received.queries,
        score_sample=received.sample,
        score_own=received.own,
        score_noise=getattr(score, "noise", 0.0),
        heads=received.heads,
        site="hidden" if site.leaves else "keys",
        leaving_keys=site.keys_once_more,
        merge_pruned=prune.merge is not None,
        combine_layer=None if combine is None else settings.before(depth) + 1,
        combine=None if combine is None else combine.name,
        combine_mode="replace" if combine is None else combine.mode,
        projects_by=getattr(combine, "by", None),
        combine_scale=module.scale,
        combine_count_offset=module.count_offset,
        combine_assignment=module.assignment,
        reread=settings.deferred,
        reread_ratios=None if settings.defer is None else settings.defer.schedule,
        min_length=settings.min_length,
        protect_special=settings.protect_special,
        pooling="host" if settings.resolved_pooling == "pretrained" else "mean",
        prune=settings.prune,
        combination_tokens=settings.combination_tokens,
    )
