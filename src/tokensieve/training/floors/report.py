"""What a comparison with floors says, in words."""

from __future__ import annotations

from typing import Any

from tokensieve.training.compare import Comparison, in_points

NAMES = {"words": "a bag of words", "static": "the mean of static vectors"}


def advice(record: dict[str, Any], compared: dict[str, Comparison]) -> str:
    """One sentence on what to use: the better floor against the encoder."""
    if not compared:
        return "no floor could be fitted, so there is nothing to compare the encoder with"
    best = max(compared, key=lambda name: compared[name].floor)  # of equal ones the bag of words
    comparison, name, faster = compared[best], NAMES[best], times(record[best]["times_faster"])
    (low, high), points = comparison.interval, in_points(comparison.difference, comparison.interval)
    remedy = " (--preset words)" if best == "words" else ""
    if low > 0:
        return f"{name} is better here ({points}), and {faster}: use it{remedy}"
    if high < 0:
        return f"the encoder is better here: {name} loses ({points}), and is {faster}"
    documents = record["documents"]
    if comparison.difference < 0:
        return (
            f"{name} may be as good here: {documents} documents show no clear difference ({points}), and it is "
            f"{faster}: use it{remedy} unless so small a difference counts"
        )
    return (
        f"{name} is as good here, as far as {documents} documents can tell ({points}), and {faster}: use it{remedy} "
        "unless more documents show a difference"
    )


def times(ratio: float) -> str:
    """How many times faster, in words."""
    return f"{ratio:.0f} times faster" if ratio >= 2 else f"{ratio:.1f} times as fast"


def floor_lines(record: dict[str, Any] | None) -> list[str]:
    """What a record of floors says, in lines for people."""
    if record is None:
        return []
    if "why_none" in record:
        return [f"floors: none, as there are {record['why_none']}"]
    metric = record["metric"].replace("_", " ")
    lines = []
    for name in NAMES:
        floor = record.get(name)
        if floor is None or "why_none" in floor:
            lines += [] if floor is None else [f"floor, {NAMES[name]}: none ({floor['why_none']})"]
            continue
        lines.append(
            f"floor, {NAMES[name]}: {metric} {floor['score']:.4f}, "
            f"{in_points(floor['difference'], floor['interval'])} to the encoder's {record['encoder']['score']:.4f}; "
            f"{floor['documents_per_second']:.0f} documents/s to its {record['encoder']['documents_per_second']:.0f}"
        )
    return [*lines, record["advice"]]
