"""What follows from the raw figures of a record: medians and spread, ratios to the baseline, efficiency, bars.

Efficiency is the speed-up divided by the cut in FLOPs: 1 where the clock follows the FLOPs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, median
from typing import Any

import numpy as np

Record = Mapping[str, Any]
Cell = Mapping[str, Any]


@dataclass(frozen=True)
class Spread:
    """Of the rounds: their median, the lowest and the highest."""

    median: float
    low: float
    high: float

    @property
    def apart(self) -> float:
        """How far the rounds lie apart, as a share of the median."""
        return (self.high - self.low) / self.median

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread:
        """Of one figure a round."""
        return cls(median(figures), min(figures), max(figures))


def round_seconds(cell: Cell, contender: str, percentile: float = 50) -> list[float]:
    """One figure a round: seconds of a pass, of a training step (mean), or a percentile of a document's seconds."""
    if "call_seconds" in cell:
        return [float(np.percentile(calls, percentile)) for calls in cell["call_seconds"][contender]]
    if "step_seconds" in cell:
        return [fmean(steps) for steps in cell["step_seconds"][contender]]
    return list(cell["seconds"][contender])


def latency(cell: Cell, contender: str, percentile: float) -> float:
    """A percentile of the seconds of single documents, those of all rounds together."""
    return float(np.percentile([own for calls in cell["call_seconds"][contender] for own in calls], percentile))


def has_seconds(cell: Cell) -> bool:
    """Whether time was measured."""
    return not {"seconds", "call_seconds", "step_seconds"}.isdisjoint(cell)


def speedup(cell: Cell, contender: str, against: str, percentile: float = 50) -> Spread:
    """How many times faster than another contender, in the same round."""
    return paired(round_seconds(cell, against, percentile), round_seconds(cell, contender, percentile))


def documents_per_second(cell: Cell, contender: str) -> Spread:
    """Of every round."""
    documents = 1 if "call_seconds" in cell else cell["batch"] if "step_seconds" in cell else cell["documents"]
    return Spread.of([documents / own for own in round_seconds(cell, contender)])


def best_cells(record: Record) -> list[Cell]:
    """A cell for each length, in which every contender has its fastest batch size ("batches") and the seconds of that.

    Its ratios are of rounds with the same number, which batch sizes that differ had at different times.
    """
    found: list[Cell] = []
    for length in dict.fromkeys(cell["length"] for cell in record["cells"]):
        cells = [cell for cell in record["cells"] if cell["length"] == length and "seconds" in cell]
        picked = {name: min(cells, key=partial(_typical_seconds, name)) for name in record["contenders"] if cells}
        if picked:
            batches = {name: cell["batch"] for name, cell in picked.items()}
            seconds = {name: cell["seconds"][name] for name, cell in picked.items()}
            found.append(dict(cells[0]) | {"batch": "best", "batches": batches, "seconds": seconds})
    return found


def _typical_seconds(contender: str, cell: Cell) -> float:
    return median(round_seconds(cell, contender))


def best_rival(record: Record, cell: Cell) -> str | None:
    """The fastest contender that is none of ours; None where all are."""
    rivals = [name for name in record["contenders"] if not is_ours(record, name)]
    return min(rivals, key=lambda name: _typical_seconds(name, cell), default=None)


def is_ours(record: Record, contender: str) -> bool:
    """Whether a contender is a model of ours, dense or not."""
    return bool(record["config"]["contenders"][contender]["kind"] == "tokensieve")


def peak_bytes(cell: Cell, contender: str) -> Spread | None:
    """Peak memory less imports; None where it was not measured."""
    return Spread.of(cell["peak_bytes"][contender]) if "peak_bytes" in cell else None


def memory_ratio(cell: Cell, contender: str, against: str) -> Spread:
    """Peak memory as a share of another contender's, in the same round."""
    return paired(cell["peak_bytes"][contender], cell["peak_bytes"][against])


def working_memory_ratio(cell: Cell, contender: str, against: str) -> Spread:
    """As `memory_ratio`, of what the work took above the loaded model."""

    def working(name: str) -> list[int]:
        pairs = zip(cell["peak_bytes"][name], cell["loaded_bytes"][name], strict=True)
        return [max(1, peak - own) for peak, own in pairs]  # of a tiny model the two may be the same

    return paired(working(contender), working(against))


def paired(figures: Sequence[float], others: Sequence[float]) -> Spread:
    """Ratios of figures to others of the same round."""
    return Spread.of([own / other for own, other in zip(figures, others, strict=True)])


def reduction(cell: Cell, contender: str) -> float | None:
    """How many times fewer FLOPs than dense without padding; None where nobody has counted them."""
    flops = cell.get("flops", {}).get(contender)
    return None if flops is None else float(flops["dense"] / flops["own"])


def efficiency(record: Record, cell: Cell, contender: str, against: str | None = None) -> Spread | None:
    """Divide the speed-up over the fair dense baseline by the FLOP reduction.

    None where FLOPs or time are not known, the contender is not float32, or the baseline is not transformers' model on
    documents sorted by length.
    """
    baseline = against or record["baseline"]
    if not is_fair(record, baseline) or _uncounted(record, cell, contender):
        return None
    return _share_of_flops(cell, contender, baseline)


def pruning_efficiency(record: Record, cell: Cell, contender: str) -> Spread | None:
    """Efficiency over our own dense model: what pruning alone wins, as kernels and packing are the same on both sides.

    None besides where no dense model of ours took part, or the contender is none of ours.
    """
    dense = our_dense(record)
    if dense in (None, contender) or not is_ours(record, contender) or _uncounted(record, cell, contender):
        return None
    return _share_of_flops(cell, contender, str(dense))


def our_dense(record: Record) -> str | None:
    """The contender that is our packed model with nothing reduced, in float32, sorted; None where there is none."""
    return next((name for name in record["contenders"] if _is_our_dense(record["config"]["contenders"][name])), None)


def _share_of_flops(cell: Cell, contender: str, baseline: str) -> Spread:
    flops = cell["flops"][contender]
    fewer, faster = flops["dense"] / flops["own"], speedup(cell, contender, baseline)
    return Spread(faster.median / fewer, faster.low / fewer, faster.high / fewer)


def _uncounted(record: Record, cell: Cell, contender: str) -> str:
    """Why a speed-up cannot be divided by the cut in FLOPs; "" where it can."""
    if not has_seconds(cell):
        return "time was not measured"
    if not _is_float32(record["config"]["contenders"][contender]):
        return f"{contender} is not float32"  # what another type wins is not pruning's
    return "FLOPs were not counted" if reduction(cell, contender) is None else ""


def _is_float32(options: Mapping[str, Any]) -> bool:
    return bool(options.get("dtype", options.get("precision", "float32")) == "float32")


def _is_our_dense(options: Mapping[str, Any]) -> bool:
    plain = set(options) <= {"kind", "preset", "dtype", "order"} and options.get("order", "sorted") == "sorted"
    return plain and options["kind"] == "tokensieve" and options.get("preset") == "dense" and _is_float32(options)


def is_fair(record: Record, contender: str) -> bool:
    """Whether a contender can be the baseline of efficiency: dense, float32, fused, sorted by length."""
    given: Mapping[str, str] = record["config"]["contenders"][contender]
    return given["kind"] == "transformers" and _is_float32(given) and given.get("order", "sorted") == "sorted"


@dataclass(frozen=True)
class Verdict:
    """A bar, and what was measured where it is missed by most or met by least.

    Attributes:
        bar: as the config has it.
        cell: where; of a bar that is not judged a cell without a figure.
        figure: of the bar's metric; None: the bar is not judged.
        met: whether the median reaches the bar.
        unjudged: why the cell has no figure; "" where it has one.
    """

    bar: Mapping[str, Any]
    cell: Cell
    figure: Spread | None
    met: bool
    unjudged: str = ""

    @property
    def told(self) -> str:
        """In a word, or why there is none."""
        if self.unjudged:
            return f"not judged: {self.unjudged}"
        return "met" if self.met else "missed"


def verdicts(record: Record) -> list[Verdict]:
    """Every bar whose contenders took part."""
    found = []
    for bar in record["config"].get("bars", []):
        against = bar.get("against") or record["baseline"]
        among = best_cells(record) if bar.get("batch") == "best" else record["cells"]
        cells = [cell for cell in among if _meant(bar, cell)]
        if cells and {bar["contender"], against} <= set(record["contenders"]):  # else left out by --only
            found.append(_verdict(record, bar, cells, against))
    return found


def _verdict(record: Record, bar: Mapping[str, Any], cells: Sequence[Cell], against: str) -> Verdict:
    """The bar is missed if it is in one cell, and met if it is in all of them."""
    whys = [_unjudged(record, bar, cell, against) for cell in cells]
    lacking = [(cell, why) for cell, why in zip(cells, whys, strict=True) if why]
    figures = [(cell, _figure(bar, cell, against)) for cell, why in zip(cells, whys, strict=True) if not why]
    least = bar.get("at_least")
    if figures:
        pick = max if least is None else min
        cell, figure = pick(figures, key=lambda pair: pair[1].median)
        met = figure.median <= bar["at_most"] if least is None else figure.median >= least
        if not met or not lacking:
            return Verdict(bar, cell, figure, met)
    cell, why = lacking[0]
    return Verdict(bar, cell, None, False, why)


def _unjudged(record: Record, bar: Mapping[str, Any], cell: Cell, against: str) -> str:
    """Why a cell has no figure for a bar; "" where it has one."""
    metric = bar["metric"]
    if metric == "memory_ratio":
        return "" if "peak_bytes" in cell else "memory was not measured"
    if metric == "p95_speedup" and "call_seconds" not in cell:
        return "single documents were not timed"
    if metric == "efficiency":
        unfair = f"{against} is not transformers' model in float32, sorted by length"
        return unfair if not is_fair(record, against) else _uncounted(record, cell, bar["contender"])
    return "" if has_seconds(cell) else "time was not measured"


def _meant(bar: Mapping[str, Any], cell: Cell) -> bool:
    return all(bar.get(key) in (None, cell[key]) for key in ("batch", "length"))


def _figure(bar: Mapping[str, Any], cell: Cell, against: str) -> Spread:
    metric = bar["metric"]
    if metric == "memory_ratio":
        return memory_ratio(cell, bar["contender"], against)
    if metric == "efficiency":
        return _share_of_flops(cell, bar["contender"], against)
    return speedup(cell, bar["contender"], against, 95 if metric == "p95_speedup" else 50)
