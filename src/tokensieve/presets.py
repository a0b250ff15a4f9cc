"""Named settings: the paper's, and ours, which are several times faster at about the same accuracy.

The number in a paper preset is the paper's combining layer L of 12; for depth D, min(floor((L - 1) D / 12), D - 2)
layers stand before the module. "accurate", "balanced", "fast" and "fastest" are not the paper's: tokens leave by their
learned importance, a large share ahead of the first layer and the same small share ahead of each other one, chosen so
that any depth ends with about as many (floors add up). They leave documents of fewer than 48 tokens alone. "fast" is
a cascade: a second stage of all tokens gets what the first one is least sure of. "fastest" is one stage, and loses
tokens sooner.
"""

from __future__ import annotations

from typing import Any

from tokensieve.errors import ConfigError

_PAPER: dict[str, tuple[str, int | None]] = {
    "dense": ("none", None),
    "paper-p": ("ratio", None),
    "paper-pf": ("fuzzy", None),
    "paper-c-7": ("none", 7),
    "paper-c-11": ("none", 11),
    "paper-pfc-7": ("fuzzy", 7),
    "paper-pfc-11": ("fuzzy", 11),
}
_SHARES = {"accurate": (0.95, 0.48), "balanced": (0.9, 0.3), "fast": (0.42, 0.1), "fastest": (0.42, 0.04)}
"""Of a document's tokens, those that enter the first layer, and those that are left in the last one."""
_AGAIN = {"fast": 0.08}
"""Share of the documents that are deferred to a second stage (docs/LOG.md)."""
_HASTY: dict[str, Any] = {"leaving_keys": True, "min_tokens": 24}
"""Of the fast ones: a large share leaves ahead of the first layer, and is keys and values there, a sixth fewer FLOPs at
the same accuracy; and a tenth of a short document tells too little (docs/LOG.md). Of the others little leaves."""
_SHORTEST = 48
"""Tokens of a document that they prune: of shorter ones some would reach the end of six layers as [CLS] and [SEP]."""
PRESET_NAMES = (*_PAPER, *_SHARES)


def preset_settings(name: str, num_layers: int) -> dict[str, Any]:
    """The fields of `PTCConfig` that a preset sets, for a model of `num_layers` layers.

    Raises:
        ConfigError: unknown name, or a model too shallow for the preset.
    """
    if name not in PRESET_NAMES:
        raise ConfigError(f"preset {name!r}: choose one of {', '.join(PRESET_NAMES)}")
    if name in _SHARES:
        learned = {"pruning": "ratio", "site": "hidden", "score": "learned", "score_noise": 0.5, "pooling": "mean"}
        ratios = _evenly(*_SHARES[name], num_layers)
        own = {**learned, "keep_ratios": ratios, "min_length": _SHORTEST}
        own |= _HASTY if name.startswith("fast") else {}
        return own | ({"reread": _AGAIN[name]} if name in _AGAIN else {})
    pruning, paper_layer = _PAPER[name]
    if name == "dense":
        return {"pruning": pruning}
    if paper_layer is None:
        return {"pruning": pruning, "pooling": "mean"}
    if num_layers < 2:
        raise ConfigError(f"preset {name!r} needs a model of 2 layers or more, this one has {num_layers}")
    before = min((paper_layer - 1) * num_layers // 12, num_layers - 2)
    return {"pruning": pruning, "combine_layer": before + 1, "pooling": "mean"}


def _evenly(first: float, last: float, num_layers: int) -> tuple[float, ...]:
    """The share that stays of the tokens ahead of each layer, from what enters the first and what the last is left."""
    others = num_layers - 1
    return (first, *(round((last / first) ** (1 / others), 3) for _ in range(others)))
