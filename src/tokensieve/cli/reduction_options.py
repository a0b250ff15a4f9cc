"""Options of the reduction settings, one for each field of PTCConfig; what is not given is the preset's."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tokensieve.cli.options import REDUCTION
from tokensieve.methods import METHODS


def _reduction(*names: str, help: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=REDUCTION)


Preset = Annotated[
    str | None,
    _reduction("--preset", help=f"Start from named settings: {', '.join(METHODS)} (default: fuzzy pruning of keys)."),
]
Pruning = Annotated[str | None, _reduction("--pruning", help="none, ratio or fuzzy.")]
KeepRatio = Annotated[float | None, _reduction("--keep-ratio", help="Share of tokens that stays per layer, (0, 1].")]
KeepRatios = Annotated[
    str | None, _reduction("--keep-ratios", help="In its place a share for each layer, such as 1,0.7,0.5.")
]
RatioScope = Annotated[
    str | None, _reduction("--ratio-scope", help="fuzzy: the ratio applies to all or to candidates.")
]
Site = Annotated[str | None, _reduction("--site", help="keys: no longer keys and values; hidden: out of the model.")]
MergePruned = Annotated[
    bool | None,
    _reduction("--merge-pruned/--no-merge-pruned", help="hidden: what leaves is averaged into what stays."),
]
Heads = Annotated[str | None, _reduction("--heads", help="One kept set shared by the heads, or per_head.")]
CombineLayer = Annotated[int | None, _reduction("--combine-layer", help="Layer of the combining module, from 1.")]
CombineMode = Annotated[str | None, _reduction("--combine-mode", help="replace that layer, or insert before it.")]
CombinationTokens = Annotated[
    int | None, _reduction("--combination-tokens", help="How many tokens remain after combining.")
]
ProtectSpecial = Annotated[
    bool | None, _reduction("--protect-special/--no-protect-special", help="Never prune [CLS], [SEP].")
]
Pooling = Annotated[str | None, _reduction("--pooling", help="auto, host (the checkpoint's head) or mean.")]
MinLength = Annotated[int | None, _reduction("--min-length", help="Shorter documents are not pruned.")]
MinTokens = Annotated[int | None, _reduction("--min-tokens", help="So many of a longer document stay in any case.")]
AlphaImportant = Annotated[float | None, _reduction("--alpha-important", help="Cut of fuzzy importance.")]
AlphaUnimportant = Annotated[float | None, _reduction("--alpha-unimportant", help="Cut of fuzzy unimportance.")]
CombineScale = Annotated[bool | None, _reduction("--combine-scale/--no-combine-scale", help="Scale the similarity.")]
CombineNoise = Annotated[
    bool | None, _reduction("--combine-noise/--no-combine-noise", help="Gumbel noise in training.")
]
CombineCountOffset = Annotated[float | None, _reduction("--combine-count-offset", help="Added to the tokens assigned.")]
CombineInit = Annotated[
    str | None, _reduction("--combine-init", help="Start values of the combining parts: random or identity.")
]
CombineAssignment = Annotated[
    str | None, _reduction("--combine-assignment", help="A token joins one (hard) or gives to all (soft).")
]
Score = Annotated[str | None, _reduction("--score", help="Importance: attention received, or learned.")]
LeavingKeys = Annotated[
    bool | None,
    _reduction("--leaving-keys/--no-leaving-keys", help="learned: what leaves is keys and values once more."),
]
ScoreNoise = Annotated[float | None, _reduction("--score-noise", help="On the learned score, in training.")]
ScoreQueries = Annotated[
    str | None, _reduction("--score-queries", help="Whose attention is the score: all, anchors or sample.")
]
ScoreSample = Annotated[int | None, _reduction("--score-sample", help="Queries that sample looks at.")]
Reread = Annotated[float | None, _reduction("--reread", help="Share of documents that a cascade defers.")]
RereadRatios = Annotated[
    str | None, _reduction("--reread-ratios", help="Shares that its second stage keeps, a layer each (default: all).")
]
