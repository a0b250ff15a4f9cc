"""Ways to decide which tokens stay. A method is one file; its name in a PTCConfig finds it here."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from tokensieve.config import PTCConfig
from tokensieve.reducers.contract import KeyRows, Reducer, Scored, select_rows
from tokensieve.reducers.fuzzy import FuzzyCandidatesReducer, fuzzy_all
from tokensieve.reducers.importance import Importance
from tokensieve.reducers.queries import rows_scored
from tokensieve.reducers.ratio import RatioReducer
from tokensieve.reducers.schedule import exact_ratio

__all__ = ["REDUCERS", "Importance", "KeyRows", "Reducer", "Scored", "build_reducer", "select_rows"]


def _ratio(config: PTCConfig, ratio: Fraction) -> Reducer:
    return RatioReducer(ratio, config.heads == "shared", config.min_tokens)


def _fuzzy(config: PTCConfig, ratio: Fraction) -> Reducer:
    shared = config.heads == "shared"
    if config.ratio_scope == "all":
        return fuzzy_all(ratio, shared, config.min_tokens)
    return FuzzyCandidatesReducer(ratio, config.alpha_important, config.alpha_unimportant, shared, config.min_tokens)


REDUCERS: dict[str, Callable[[PTCConfig, Fraction], Reducer]] = {"ratio": _ratio, "fuzzy": _fuzzy}


def build_reducer(config: PTCConfig, ratio: Fraction | None = None) -> Reducer | None:
    """The reducer that a setting names, at the ratio of a layer (None: its keep_ratio); None for pruning "none"."""
    if config.pruning == "none":
        return None
    reducer = REDUCERS[config.pruning](config, exact_ratio(config.keep_ratio) if ratio is None else ratio)
    reducer.queries = rows_scored(config)
    return reducer
