"""Every variant of the settings, a tiny random model of each, and batches of very unequal documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor

from flat import reduction
from tokensieve import Prune, ReductionConfig, TokensieveConfig, TokensieveForSequenceClassification
from tokensieve.cascade.build import cascade_of
from tokensieve.cascade.classifier import TokensieveCascadeForSequenceClassification
from tokensieve.methods import METHODS
from tokensieve.model.norms import norms_and_biases
from tokensieve.reduce.merge.most_similar import MostSimilar
from tokensieve.reduce.merge.within_band import WithinBand
from tokensieve.reduce.schedule import Constant, Even, Listed, OneLayer, Open
from tokensieve.reduce.score.band_similarity import BandSimilarity
from tokensieve.reduce.score.key_similarity import KeySimilarity
from tokensieve.reduce.score.learned import Importance, Learned
from tokensieve.reduce.score.received import Received
from tokensieve.reduce.score.skim_predictor import SkimPredictor
from tokensieve.reduce.select.learned_threshold import LearnedThreshold, ThresholdGate
from tokensieve.reduce.select.pairs import Pairs
from tokensieve.reduce.select.similar_pairs import SimilarPairs
from tokensieve.reduce.select.skim import Skim
from tokensieve.reduce.select.soft_extract import RankWeights, SoftExtract
from tokensieve.reduce.select.top_share import TopShare
from tokensieve.reduce.site import Ahead, Hidden
from tokensieve.tokens import Tokens

DEPTH, WIDTH, HEADS, POSITIONS, LABELS = 4, 32, 4, 64, 3
PAD, CLS, SEP, VOCABULARY = 0, 1, 2, 100
UNEQUAL = (17, 1, 40, 2)
"""Text tokens of the documents of the usual batch: odd, one token, even, [CLS] [SEP] alone."""

WHAT_PRUNES: tuple[dict[str, Any], ...] = (
    {"pruning": "ratio"},
    {"pruning": "fuzzy"},
    {"pruning": "fuzzy", "ratio_scope": "candidates"},
)
WHERE: tuple[dict[str, Any], ...] = ({}, {"heads": "per_head"}, {"site": "hidden"})
COMBINING: tuple[dict[str, Any], ...] = (
    {"pooling": "host"},
    {"combine_layer": 3},
    {"combine_layer": DEPTH + 1, "combine_mode": "insert"},
    {"pooling": "mean"},
    {"combine_layer": 1},
    {"combine_layer": DEPTH},
    {"combine_layer": 2, "combine_mode": "insert"},
)
WITHOUT_PROTECTION = COMBINING[:3]


def _variants() -> Iterator[dict[str, Any]]:
    for combining in COMBINING:
        yield {"pruning": "none", **combining}
        for what in WHAT_PRUNES:
            for where in WHERE:
                yield {**what, **where, **combining}
                if combining in WITHOUT_PROTECTION:
                    yield {**what, **where, **combining, "protect_special": False}


def settings(**changes: Any) -> ReductionConfig:
    """Settings as given; prunes hard and folds into few, so that every rule has work in a tiny document."""
    return reduction(**{"keep_ratio": 0.6, "combination_tokens": 3} | changes)


def _name(changes: dict[str, Any]) -> str:
    return "-".join(str(value) if isinstance(value, str) else f"{name}={value}" for name, value in changes.items())


FEW_QUERIES: tuple[dict[str, Any], ...] = (
    {"pruning": "ratio", "score_queries": "anchors", "combine_layer": 3},
    {"pruning": "ratio", "score_queries": "anchors", "site": "hidden", "protect_special": False, "pooling": "host"},
    {"pruning": "fuzzy", "ratio_scope": "candidates", "score_queries": "sample", "score_sample": 5},
    {"pruning": "ratio", "score_queries": "sample", "score_sample": 7, "heads": "per_head", "combine_layer": 3},
    {"pruning": "fuzzy", "score_queries": "sample", "score_sample": 4, "site": "hidden", "combine_layer": 4},
)
"""The importance score from some of the queries."""
RATIOS: tuple[dict[str, Any], ...] = (
    {"pruning": "ratio", "keep_ratios": (1.0, 0.5, 1.0, 0.4), "pooling": "host"},
    {"pruning": "ratio", "keep_ratios": (0.5, 1.0, 0.6, 1.0), "site": "hidden", "pooling": "mean"},
    {"pruning": "fuzzy", "ratio_scope": "candidates", "keep_ratios": (0.3, 0.8), "site": "hidden", "combine_layer": 3},
    {"pruning": "fuzzy", "keep_ratios": (1.0, 0.7, 0.5), "heads": "per_head", "combine_layer": 4},
)
"""A share for each layer."""
MERGING: tuple[dict[str, Any], ...] = tuple(
    {"pruning": "ratio", "site": "hidden", "merge_pruned": True} | changes
    for changes in (
        {},
        {"combine_layer": 3},
        {"combine_layer": 2},
        {"pruning": "fuzzy", "ratio_scope": "candidates", "protect_special": False, "pooling": "host"},
        {"keep_ratios": (1.0, 0.3, 0.8, 0.5), "pooling": "mean"},
    )
)
"""What leaves is merged into what stays."""
SOFT: tuple[dict[str, Any], ...] = (
    {"pruning": "fuzzy", "combine_layer": 3, "combine_assignment": "soft"},
    {
        "pruning": "ratio",
        "site": "hidden",
        "combine_layer": 4,
        "combine_assignment": "soft",
        "combine_init": "identity",
    },
)
"""Combination tokens that take from all tokens."""


LEARNED: tuple[dict[str, Any], ...] = tuple(
    {"site": "hidden", "score": "learned"} | changes
    for changes in (
        {"pruning": "ratio", "pooling": "mean"},
        {"pruning": "ratio", "combine_layer": 3},
        {"pruning": "ratio", "keep_ratios": (0.5, 1.0, 0.6, 1.0), "protect_special": False, "pooling": "host"},
        {"pruning": "fuzzy", "ratio_scope": "candidates", "pooling": "mean"},
        {"pruning": "fuzzy", "combine_layer": 4, "merge_pruned": True},
        {"pruning": "ratio", "pooling": "mean", "score_noise": 1.0},
        {"pruning": "ratio", "keep_ratios": (0.5, 0.8, 1.0, 0.4), "merge_pruned": True, "pooling": "mean"},
        {"pruning": "ratio", "pooling": "mean", "leaving_keys": True},
        {"pruning": "ratio", "combine_layer": 3, "leaving_keys": True},
        {"pruning": "fuzzy", "ratio_scope": "candidates", "combine_layer": 4, "leaving_keys": True},
        {"keep_ratios": (0.5, 1.0, 0.6, 1.0), "protect_special": False, "pooling": "host", "leaving_keys": True},
        {"pruning": "ratio", "keep_ratios": (0.5, 0.8, 1.0, 0.4), "merge_pruned": True, "leaving_keys": True},
    )
)
"""Tokens that leave ahead of a layer, by what their hidden states foretell."""
FEWEST: tuple[dict[str, Any], ...] = (
    {"pruning": "ratio", "site": "hidden", "min_tokens": 9, "pooling": "mean"},
    {"pruning": "ratio", "min_tokens": 12, "heads": "per_head", "combine_layer": 4},
    {"pruning": "fuzzy", "ratio_scope": "candidates", "min_tokens": 12, "site": "hidden", "combine_layer": 4},
    {"pruning": "fuzzy", "min_tokens": 9, "protect_special": False, "pooling": "host"},
    {"site": "hidden", "score": "learned", "keep_ratio": 0.3, "min_tokens": 9, "leaving_keys": True},
)
"""A minimum number of tokens that stay in every document."""


GATED = {
    "ltp-mean": ReductionConfig(prune=Prune(Received(), LearnedThreshold(), Open(), Hidden()), pooling="mean"),
    "ltp-few": ReductionConfig(
        prune=Prune(
            Received(queries="sample", sample=5), LearnedThreshold(9, through_scores=False), Open(first=2), Hidden()
        ),
        protect_special=False,
    ),
    "ltp-learned": ReductionConfig(
        prune=Prune(Learned(), LearnedThreshold(final=0.0, temperature=1.0), OneLayer(3), Ahead())
    ),
    "skim-mean": ReductionConfig(prune=Prune(SkimPredictor(), Skim(), Open(), Ahead()), pooling="mean"),
    "skim-few": ReductionConfig(
        prune=Prune(SkimPredictor(), Skim(9, temperature=0.5), Open(first=2), Ahead()), protect_special=False
    ),
    "skim-hidden": ReductionConfig(prune=Prune(SkimPredictor(), Skim(), OneLayer(2), Hidden()), min_length=12),
    "skim-once-more": ReductionConfig(
        prune=Prune(SkimPredictor(), Skim(), Listed((0.5, 1.0, 0.5, 1.0)), Ahead(keys_once_more=True)), pooling="mean"
    ),
    "power-mean": ReductionConfig(
        prune=Prune(Received(), SoftExtract(bins=8), Constant(0.6), Hidden()), pooling="mean"
    ),
    "power-few": ReductionConfig(
        prune=Prune(Received(own=False), SoftExtract(9), Listed((0.5, 1.0, 0.6, 0.7)), Hidden()), protect_special=False
    ),
    "power-learned": ReductionConfig(prune=Prune(Learned(), SoftExtract(), Constant(0.6), Ahead()), min_length=12),
    "ltp-own": ReductionConfig(
        prune=Prune(Received(own=False), LearnedThreshold(), Listed((0.5, 1.0, 0.5, 1.0)), Hidden(), MostSimilar())
    ),
}
"""Selections that learn."""


_NEAR, _NEAR_INPUTS = WithinBand(3, proportional=True), WithinBand(2, by="inputs")
LOCAL = {
    "local-3": ReductionConfig(prune=Prune(BandSimilarity(3), Pairs(), Even(0.3), Hidden(), _NEAR), pooling="mean"),
    "local-ahead": ReductionConfig(
        prune=Prune(BandSimilarity(2, by="inputs"), Pairs(), Constant(0.7), Ahead(), _NEAR_INPUTS),
        protect_special=False,
    ),
    "local-once-more": ReductionConfig(
        prune=Prune(
            BandSimilarity(by="inputs"),
            Pairs(min_tokens=9),
            Listed((0.6, 1.0, 0.6, 0.7)),
            Ahead(keys_once_more=True),
            WithinBand(by="inputs", proportional=True),
        ),
        pooling="mean",
    ),
    "local-threshold": ReductionConfig(
        prune=Prune(BandSimilarity(), SimilarPairs(0.3), Open(), Hidden(), WithinBand(proportional=True)),
        pooling="mean",
    ),
    "local-threshold-few": ReductionConfig(
        prune=Prune(BandSimilarity(2), SimilarPairs(-0.5, 9), Open(first=2), Hidden(), WithinBand(2)),
        protect_special=False,
    ),
    "local-received": ReductionConfig(
        prune=Prune(Received(), TopShare(), Constant(0.6), Hidden(), WithinBand(100)), pooling="mean"
    ),
    "tome-threshold": ReductionConfig(
        prune=Prune(KeySimilarity(), SimilarPairs(0.5), Open(), Hidden(), MostSimilar("keys")), pooling="mean"
    ),
}
"""Merging within a band, and by a threshold."""

GROUPS = (*_variants(), *FEW_QUERIES, *RATIOS, *MERGING, *SOFT, *LEARNED, *FEWEST)
METHODS_TRIED = {
    f"method {name}": replace(method.settings, min_length=0, defer=None) for name, method in METHODS.items()
}
"""Every method of the package; without `min_length`, so that short documents are pruned, too."""
VARIANTS = {_name(changes): settings(**changes) for changes in GROUPS} | GATED | LOCAL | METHODS_TRIED
"""Every variant of the settings, and every method."""
COUNTED = {
    name: config
    for name, config in VARIANTS.items()
    if config.prune is None or config.prune.select.counts((8,), (2,), Fraction(1, 2)) is not None
}
"""The variants whose token counts are known from length alone."""
SPREADING = {name: config for name, config in VARIANTS.items() if config.prune is not None}
"""The variants that prune."""


def _each(variants: dict[str, ReductionConfig]) -> pytest.MarkDecorator:
    """A test of each; those that are no method by name are marked as variants."""
    marks = {name: () if name in METHODS_TRIED else (pytest.mark.variant,) for name in variants}
    return pytest.mark.parametrize(
        "reduction", [pytest.param(config, id=name, marks=marks[name]) for name, config in variants.items()]
    )


each_variant, each_counted_variant, each_pruning_variant = _each(VARIANTS), _each(COUNTED), _each(SPREADING)

CASCADES: dict[str, ReductionConfig] = {
    f"cascade-{_name(changes)}": settings(reread=0.4, **changes)
    for changes in (
        {"pruning": "ratio", "site": "hidden"},
        {"pruning": "ratio", "site": "hidden", "min_length": 12, "reread_ratios": (0.9,) * 4},
        {"pruning": "ratio", "heads": "per_head", "combine_layer": 3, "min_length": 12},
        {"pruning": "fuzzy", "ratio_scope": "candidates", "pooling": "mean", "reread_ratios": (0.9,) * 4},
        {"pruning": "ratio", "site": "hidden", "score": "learned", "pooling": "mean", "leaving_keys": True}
        | {"min_length": 12, "min_tokens": 9},
        {"pruning": "ratio", "site": "hidden", "score": "learned", "keep_ratios": (0.5, 1.0, 0.6, 1.0)}
        | {"reread_ratios": (0.9, 0.8, 0.9, 1.0), "combine_layer": None},
        {"pruning": "ratio", "site": "hidden", "merge_pruned": True, "combine_layer": 4, "combine_mode": "insert"},
    )
}
"""Settings of a cascade: the second stage reads all tokens, or more than the first one keeps."""


def model_config(settings: ReductionConfig, **sizes: Any) -> TokensieveConfig:
    """A tiny BERT; weights so large that attention is far from uniform and scores are well apart."""
    small: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": HEADS,
        "intermediate_size": 2 * WIDTH,
        "max_position_embeddings": POSITIONS,
        "num_labels": LABELS,
        "initializer_range": 0.3,
        "special_token_ids": [CLS, SEP],
    }
    return TokensieveConfig(reduction=settings, **small | sizes)


def tiny_model(settings: ReductionConfig, **sizes: Any) -> TokensieveForSequenceClassification:
    """The model in eval mode, always the same for the same shapes; biases are random too: one left out must show."""
    torch.manual_seed(1)
    model = TokensieveForSequenceClassification(model_config(settings, **sizes)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.2)
        for module in model.modules():
            if isinstance(module, Importance):
                module.weight.normal_()
            if isinstance(module, ThresholdGate):
                module.difference.uniform_(0.01, 0.05)  # near the mean of the scores, and other in each layer
            if isinstance(module, RankWeights):
                module.retention.uniform_(0.2, 1.0)
    return model


def tiny_cascade(settings: ReductionConfig, **sizes: Any) -> TokensieveCascadeForSequenceClassification:
    """A cascade in eval mode, whose second stage has a last layer and norms of its own; nothing is deferred yet."""
    cascade: TokensieveCascadeForSequenceClassification = cascade_of(
        tiny_model(settings.stages(DEPTH)[0], **sizes), settings
    )
    cascade.give_own_norms(True)
    with torch.no_grad():
        for parameter in norms_and_biases(cascade.second.encoder.layer).values():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
        for parameter in cascade.second.head.classifier.parameters():
            parameter.normal_(std=0.3)
    return cascade


def documents(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    """Ids of documents of `lengths` text tokens, [CLS] and [SEP] included; one token is [CLS] alone."""
    generator = torch.Generator().manual_seed(seed)
    words = [torch.randint(5, VOCABULARY, (length,), generator=generator).tolist() for length in lengths]
    return [[CLS, *word[2:], SEP][: len(word)] for word in words]


def batch(texts: Sequence[list[int]], side: str = "right", width: int | None = None) -> dict[str, Tensor]:
    """input_ids and attention_mask, padded on `side` to `width` or the longest document."""
    width = width or max(map(len, texts))
    rows, masks = [], []
    for text in texts:
        padding, ones = [PAD] * (width - len(text)), [1] * len(text)
        rows.append(text + padding if side == "right" else padding + text)
        masks.append(ones + padding if side == "right" else padding + ones)
    return {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(masks)}


def layer_trace(model: TokensieveForSequenceClassification, inputs: dict[str, Tensor]) -> list[list[list[set[int]]]]:
    """Positions that every layer leaves to the next one: [layer][document][head set], before the combining module.

    For site "keys" they are the next layer's keys, for "hidden" the tokens that go on.
    """
    seen: list[list[list[set[int]]]] = []

    def note(_: torch.nn.Module, __: Any, output: Any) -> None:
        tokens, keys = output
        rows = torch.arange(len(tokens.values)).unsqueeze(0) if keys is None else keys.rows
        lengths = tokens.lengths if keys is None else keys.lengths
        if (tokens.origin >= 0).any():
            seen.append(_positions(tokens, rows, lengths))

    hooks = [layer.register_forward_hook(note) for layer in model.encoder.layer if hasattr(layer, "attention")]
    with torch.no_grad():
        model(**inputs)
    for hook in hooks:
        hook.remove()
    return seen


def _positions(tokens: Tokens, rows: Tensor, lengths: Sequence[int]) -> list[list[set[int]]]:
    per_document = tokens.origin[rows].split(list(lengths), dim=1)
    return [[set(own[own >= 0].tolist()) for own in part] for part in per_document]
