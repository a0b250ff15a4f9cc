"""Results in the shapes that formats share: scores by label, sorted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokensieve.runtime.results import Result
from tokensieve.serve.served import Served


def scores_of(served: Served, result: Result, *, raw: bool = False, top_k: int | None = None) -> list[dict[str, Any]]:
    """Every label with its score, the highest first.

    Args:
        served: has the labels.
        result: of a text.
        raw: logits in place of probabilities.
        top_k: so many of them at most; None: all.
    """
    numbers: Sequence[float] = result.logits if raw else result.probabilities
    rows = sorted(zip(numbers, served.labels, strict=True), key=lambda row: -row[0])
    return [{"score": score, "label": label} for score, label in rows[:top_k]]


def facts_of(served: Served, result: Result) -> dict[str, Any]:
    """What is told of a text beside its scores: its label or labels, its tokens, and what answered."""
    labels = [served.labels[number] for number in result.labels]
    return {
        "label": served.labels[result.label],
        **({"labels": labels} if served.is_multi_label else {}),
        "tokens_seen": seen(result),
        "tokens_kept": kept(result),
        "stage": result.stage,
    }


def seen(result: Result) -> int:
    """Tokens that an encoder read; 0 where a bag of words answered."""
    return result.length if result.kept else 0


def kept(result: Result) -> int:
    """Those of them that were left at the last layer."""
    return result.kept[-1] if result.kept else 0
