"""METHODS: every method of token reduction, as a composition of cells; a row for each.

A row is a named setting (`ReductionConfig.preset`). It holds for any depth: schedules and the place of the combining
module are expanded when the model's depth is known. A new method made of cells that exist is a new row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tokensieve.config.prune import Prune
from tokensieve.config.reduction import PRESETS, Deferral, ReductionConfig
from tokensieve.reduce.combine.combining_module import CombiningModule
from tokensieve.reduce.combine.projection import Projection
from tokensieve.reduce.merge.most_similar import MostSimilar
from tokensieve.reduce.merge.within_band import WithinBand
from tokensieve.reduce.schedule import Constant, Even, LastLayers, OneLayer, Open, Spaced, Taper
from tokensieve.reduce.score.band_similarity import BandSimilarity
from tokensieve.reduce.score.energy import Energy
from tokensieve.reduce.score.first import First
from tokensieve.reduce.score.gradient import Gradient  # noqa: F401 - puts the cell into its registry; no row has it
from tokensieve.reduce.score.key_similarity import KeySimilarity
from tokensieve.reduce.score.learned import Learned
from tokensieve.reduce.score.page_rank import PageRank
from tokensieve.reduce.score.random import Random
from tokensieve.reduce.score.received import Received
from tokensieve.reduce.score.skim_predictor import SkimPredictor
from tokensieve.reduce.select.fuzzy import Fuzzy
from tokensieve.reduce.select.learned_threshold import LearnedThreshold
from tokensieve.reduce.select.pairs import Pairs
from tokensieve.reduce.select.quantile import Quantile
from tokensieve.reduce.select.similar_pairs import SimilarPairs  # noqa: F401 - no row has it
from tokensieve.reduce.select.skim import Skim
from tokensieve.reduce.select.soft_extract import SoftExtract
from tokensieve.reduce.select.threshold import Threshold
from tokensieve.reduce.select.top_share import TopShare
from tokensieve.reduce.site import Ahead, Hidden


@dataclass(frozen=True)
class Method:
    """A row.

    Attributes:
        settings: the composition.
        source: where the method comes from.
        recipe: fields of the training's recipe that the row sets, unless they are given.
    """

    settings: ReductionConfig
    source: str
    recipe: Mapping[str, Any] = field(default_factory=dict)


_PAPER = "PTC, Findings of EMNLP 2023"
_ACCOUNT = "PTC, as a widely read account has it"
_OURS = "tokensieve"
_P = Prune(Received(), TopShare())
_PF = Prune(Received(), Fuzzy())
_SHORTEST = 48
"""Our presets do not prune documents of fewer tokens: some would reach the end of six layers as [CLS] and [SEP]."""


def _paper(prune: Prune | None, layer: str | None = None) -> Method:
    """A variant of the paper; `layer` is the place of its combining module among the paper's 12 layers."""
    combine = None if layer is None else CombiningModule(layer=layer)
    return Method(ReductionConfig(prune=prune, combine=combine, pooling="mean"), _PAPER)


def _account(combine: Projection | None = None) -> Method:
    """What the other account of PTC describes; its threshold is fitted to the share of the schedule."""
    select = Threshold(threshold=0.2, relative="maximum", fit=True)
    prune = Prune(Learned(target="gradient"), select, OneLayer(1, 0.4), Ahead())
    return Method(ReductionConfig(prune=prune, combine=combine, pooling="mean", min_length=_SHORTEST), _ACCOUNT)


def _ours(first: float, last: float, *, hasty: bool = False, deferred: float | None = None) -> Method:
    """A preset of ours, by learned importance.

    A large share of the tokens may leave ahead of the first layer, and the same smaller share ahead of each other one.

    Args:
        first: share of a document's tokens that enters the first layer.
        last: share that is left in the last one.
        hasty: tokens that leave ahead of a layer are its keys and values once more, so that more may leave ahead of the
            first one: a sixth fewer FLOPs at the same accuracy. And at least 24 tokens stay, as a tenth of a short
            document says too little (docs/log/2026-11-28.md).
        deferred: share of the documents that go to a second stage, which reads all tokens.
    """
    prune = Prune(
        Learned(noise=0.5),
        TopShare(min_tokens=24 if hasty else 1),
        Taper(first, last),
        Ahead(keys_once_more=hasty),
    )
    defer = None if deferred is None else Deferral(deferred)
    return Method(ReductionConfig(prune=prune, defer=defer, pooling="mean", min_length=_SHORTEST), _OURS)


_FAST = _ours(0.42, 0.1, hasty=True, deferred=0.08)

METHODS: dict[str, Method] = {
    "dense": Method(ReductionConfig(prune=None), "nothing is reduced"),
    "paper-p": _paper(_P),
    "paper-pf": _paper(_PF),
    "paper-c-7": _paper(None, "7/12"),
    "paper-c-11": _paper(None, "11/12"),
    "paper-pfc-7": _paper(_PF, "7/12"),
    "paper-pfc-11": _paper(_PF, "11/12"),
    "merge": Method(
        ReductionConfig(prune=Prune(Received(), TopShare(), site=Hidden(), merge=MostSimilar()), pooling="mean"),
        "P, and the weighted mean of token merging (Bolya et al., ICLR 2023)",
    ),
    "tome": Method(
        ReductionConfig(
            prune=Prune(KeySimilarity(), Pairs(), Even(0.3), Hidden(), MostSimilar(by="keys", proportional=True)),
            pooling="mean",
        ),
        "ToMe (Bolya et al., ICLR 2023), on text",
    ),
    "pitome": Method(
        ReductionConfig(
            prune=Prune(Energy(), Pairs("next"), LastLayers(3, 0.6), Hidden(), MostSimilar(by="keys")), pooling="mean"
        ),
        "PiToMe (Tran et al., NeurIPS 2024), its text encoders; sizes are carried on",
    ),
    "zero-tprune": Method(
        ReductionConfig(
            prune=Prune(PageRank(similar=0.5), TopShare(), Spaced(), Hidden()),
            pooling="mean",
        ),
        "Zero-TPrune (Wang et al., CVPR 2024)",
    ),
    "local-merge": Method(
        ReductionConfig(
            prune=Prune(BandSimilarity(), Pairs(), Even(0.3), Hidden(), WithinBand(proportional=True)), pooling="mean"
        ),
        "local token merging (Götz et al., ICML 2025), of neighbours",
    ),
    "length-adaptive": Method(
        ReductionConfig(prune=Prune(Received(), TopShare(), Constant(0.9), Hidden()), pooling="mean"),
        "Length-Adaptive Transformer (Kim and Cho, ACL 2021); one classifier for any keep share from 0.8 on",
        {"length_drop": 0.2},
    ),
    "quantile": Method(
        ReductionConfig(prune=Prune(Received(), Quantile(), OneLayer(2, 0.5), Hidden()), pooling="mean", min_length=32),
        "Qi et al., arXiv 2408.11799, by its abstract",
    ),
    "summary-p": _account(),
    "summary-pc": _account(Projection(layer="7/12")),
    "ltp": Method(
        ReductionConfig(prune=Prune(Received(), LearnedThreshold(), Open(), Hidden())),
        "Kim et al., KDD 2022",
        {"gate_epochs": 2, "gate_learning_rate": 1e-4},
    ),
    "transkimmer": Method(
        ReductionConfig(prune=Prune(SkimPredictor(), Skim(), Open(), Ahead())),
        "Guan et al., ACL 2022",
        {"gate_epochs": 5, "gate_learning_rate": 1e-4, "epochs": 0},
    ),
    "power-bert": Method(
        ReductionConfig(prune=Prune(Received(own=False), SoftExtract(), Constant(0.9), Hidden())),
        "Goyal et al., ICML 2020",
        {"gate_epochs": 2, "gate_learning_rate": 3e-3},
    ),
    "accurate": _ours(0.95, 0.48),
    "balanced": _ours(0.9, 0.3),
    "fast": _FAST,
    "cascade": Method(
        replace(_FAST.settings, defer=None),
        "tokensieve; a bag of words answers first, the first stage of `fast` reads the rest",
        {"words_first": 0.5},
    ),
    "fastest": _ours(0.42, 0.04, hasty=True),
    "random": Method(
        ReductionConfig(
            prune=Prune(Random(), TopShare(), Taper(0.9, 0.3), Ahead()), pooling="mean", min_length=_SHORTEST
        ),
        "a floor for comparisons: as many tokens as `balanced` keeps, at random",
    ),
    "first": Method(
        ReductionConfig(
            prune=Prune(First(), TopShare(), OneLayer(1, 0.5), Ahead()), pooling="mean", min_length=_SHORTEST
        ),
        "a floor for comparisons: the first half of a document",
    ),
}

PRESETS.update({name: method.settings for name, method in METHODS.items()})
