"""The records of results/frontier, cascade and int8 -> which classifier at which speed: tables and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import numpy as np

from tokensieve_bench.figures import Spread, paired
from tokensieve_bench.places import FIVE_SETS, frontier_of
from tokensieve_bench.record_files import Record
from tokensieve_bench.records import Results
from tokensieve_bench.report.accuracy import interval, recipe_of, with_interval
from tokensieve_bench.report.cascades import SHOWN as CASCADE
from tokensieve_bench.report.cascades import trained_with
from tokensieve_bench.table import alternatives, made_with, render, rounds_apart, threads_of

GROUPS = {
    "floors": ("words", "static"),
    "rivals": (
        *("transformers", "transformers bf16", "ONNX Runtime int8"),
        *("OpenVINO bf16", "OpenVINO int8", "3 layers"),
    ),
    "tokensieve, float32": ("dense", "fast", "cascade"),
    "tokensieve, int8": ("dense int8", "fast int8", "cascade int8", "cascade int8, 1 point"),
}
"""Contenders by what they are, in the order of the tables."""
RIVAL = "transformers"
DENSE = "dense"
WORDS = "words"
_STAGES = {"words": "words", "dense": "dense", RIVAL: "dense", "fast": "fast", "cascade": CASCADE}
"""Contenders whose answers are those of a stage in results/cascade; transformers gives the same answers as `dense`."""
_INT8 = {"dense int8": "dense", "fast int8": "fast"}
"""Contenders whose answers are those of a variant in results/int8."""

Right = Mapping[int, np.ndarray]
"""Whether each test document was classified rightly, by seed."""


@dataclass(frozen=True)
class Measured:
    """Answers and speeds of all contenders.

    Attributes:
        right: by set and contender.
        answered: what the answers were made with.
        tokens: that encoders read, of all sets.
        speeds: by set, the records of the timings.
    """

    right: dict[str, Mapping[str, Right]]
    answered: Sequence[Mapping[str, Any]]
    tokens: Sequence[int]
    speeds: dict[str, Record]

    def complete(self) -> Iterator[str]:
        """Contenders whose answers are there for every set, in the order of the tables."""
        for group in GROUPS.values():
            yield from (own for own in group if all(own in found for found in self.right.values()))

    def against(self, contender: str, other: str) -> np.ndarray:
        """Points that a contender has more than another, by document of all sets, means over their seeds.

        Seeds that both have are compared with each other; a contender without these with the mean of the other's.
        """
        points = []
        for found in self.right.values():
            own, theirs = found[contender], found[other]
            common = sorted(own.keys() & theirs.keys())
            rows = [[side[seed] for seed in common or side] for side in (own, theirs)]
            points.append(100 * (np.mean(rows[0], axis=0) - np.mean(rows[1], axis=0)))
        return np.concatenate(points)

    def ratios(self, contender: str) -> list[Spread]:
        """Times faster than transformers in the same round, by set."""
        timed = [record["seconds"] for record in self.speeds.values()]
        return [paired(found[RIVAL], found[contender]) for found in timed if contender in found]

    def times(self, contender: str) -> list[float]:
        """The medians of these."""
        return [own.median for own in self.ratios(contender)]


def measured(results: Results, config: str = FIVE_SETS) -> Measured:
    """All records of a config that are there; a set counts from when its contenders were asked."""
    place = frontier_of(config)
    folders = sorted(folder for folder in (results.folder / place).glob("*") if folder.is_dir())
    names = [folder.name for folder in folders if results.has(f"{config}/{folder.name}")]
    speeds = {name: results.read(f"{place}/{name}/speed") for name in names if results.has(f"{place}/{name}/speed")}
    answers = {name: _Answers.of(results, config, name) for name in names}
    return Measured(
        {name: own.right() for name, own in answers.items()},
        [machine for own in answers.values() for machine in own.machines()],
        [recipe_of(own.cascade["config"])["max_length"] for own in answers.values()]
        + [record["max_length"] for record in speeds.values()],
        speeds,
    )


@dataclass(frozen=True)
class _Answers:
    """The records that have the answers of a set: of cascades, of int8, and of single contenders and seeds."""

    cascade: Record
    int8: Record
    others: Sequence[Record]

    @classmethod
    def of(cls, results: Results, config: str, name: str) -> _Answers:
        has_int8 = config == FIVE_SETS and results.has(f"int8/{name}")
        int8 = results.read(f"int8/{name}") if has_int8 else {"runs": []}
        others = results.read_all(f"{frontier_of(config)}/{name}/seed*").values()
        return cls(results.read(f"{config}/{name}"), int8, [*others])

    def machines(self) -> list[Mapping[str, Any]]:
        return [self.cascade["machine"], *(run["machine"] for run in (*self.int8["runs"], *self.others))]

    def right(self) -> Mapping[str, Right]:
        truth, found = np.array(self.cascade["truth"]["test"]), dict[str, dict[int, np.ndarray]]()
        for contender, stage in _STAGES.items():
            found[contender] = {run["seed"]: _equal(run["predicted"][stage], truth) for run in self.cascade["runs"]}
        for contender, variant in _INT8.items():
            runs = [run for run in self.int8["runs"] if run["variant"] == variant]
            if runs:
                found[contender] = {run["seed"]: _equal(run["int8"], np.array(self.int8["truth"])) for run in runs}
        for run in self.others:
            found.setdefault(run["contender"], {})[run["seed"]] = _equal(run["predicted"], truth)
        return found


def _equal(answers: list[Any], truth: np.ndarray) -> np.ndarray:
    own: np.ndarray = (np.array(answers) == truth).astype(float)
    return own


def contender_tables(results: Results, config: str = FIVE_SETS) -> str:
    """All sets together, then accuracy and speed of each."""
    found = measured(results, config)
    if not found.right:
        return "Not measured yet."
    parts = [_pooled(found), _by_set(found, "accuracy"), _by_set(found, "documents per second")]
    return "\n\n".join(
        ["\n".join(render(rows, "markdown")) for rows in parts] + ["\n".join(_conditions(results, found, config))]
    )


def _pooled(found: Measured) -> list[list[str]]:
    heads = ("times transformers", "against `dense`, points [95 %]", "against words, points [95 %]", "seeds")
    rows = [["contender", *heads]]
    for own in found.complete():
        points = [found.against(own, other) if own != other else None for other in (DENSE, WORDS)]
        told = ["" if each is None or not each.any() else with_interval(each, interval(each)) for each in points]
        seeds = sorted({len(sides[own]) for sides in found.right.values()})
        rows.append(
            [own, _spread(found.times(own)), *told, " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))]
        )
    return rows


def _by_set(found: Measured, what: str) -> list[list[str]]:
    rows = [[what, *found.right]]
    for own in found.complete():
        cells = []
        for name, sides in found.right.items():
            times = found.speeds.get(name, {"seconds": {}})["seconds"].get(own)
            if what == "accuracy":
                cells.append(f"{np.mean([*sides[own].values()]):.4f}")
            else:
                cells.append(f"{found.speeds[name]['documents'] / median(times):,.4g}" if times else "")
        rows.append([own, *cells])
    return rows


def _spread(times: list[float]) -> str:
    if not times:
        return ""
    return f"{geometric_mean(times):.3g} ({min(times):.3g}-{max(times):.3g})"


def _conditions(results: Results, found: Measured, config: str) -> list[str]:
    counts = ", ".join(f"{name} {len(next(iter(sides[DENSE].values())))}" for name, sides in found.right.items())
    lines = [
        f"- Test documents: {counts}. The encoders read {alternatives(found.tokens)} tokens, the bag of "
        "words whole texts.",
        "- Differences are of the same documents, all sets pooled, means over seeds; the interval is a bootstrap over "
        "documents.",
        f"- answers: {made_with(found.answered)}",
        *trained_with(results, {name: sides[DENSE].keys() for name, sides in found.right.items()}, config),
    ]
    if found.speeds:
        timed = ", ".join(f"{name} {record['documents']}" for name, record in found.speeds.items())
        machines = [record["machine"] for record in found.speeds.values()]
        rounds = alternatives(len(record["seconds"][RIVAL]) for record in found.speeds.values())
        ratios = {own: found.ratios(own) for own in found.complete() if own != RIVAL and found.ratios(own)}
        batches = "; ".join(f"{name} {_batches(record.get('batches', {}))}" for name, record in found.speeds.items())
        lines += [
            f"- Times: geometric mean over the sets, with the lowest and the highest; medians of {rounds} interleaved "
            f"rounds over test documents ({timed}), from text to label, tokenizing included, {threads_of(machines)} "
            f"for all; {made_with(machines)}",
            f"- {rounds_apart(ratios)}",
            f"- Documents in a batch of the rivals: {batches}.",
        ]
    return lines


def _batches(batches: Mapping[str, int]) -> str:
    return ", ".join(f"{own} {size}" for own, size in batches.items()) or "8"


def contender_plot(results: Results, path: Path) -> None:
    """Points of accuracy against dense over times faster than transformers, a colour a group, with intervals."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    found = measured(results)
    with rc_context({"svg.hashsalt": "tokensieve", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 4.8), layout="constrained")
        axes = figure.subplots()
        complete = list(found.complete())
        for group, contenders in GROUPS.items():
            drawn = [own for own in contenders if own in complete and found.times(own)]
            points = {own: (geometric_mean(found.times(own)), found.against(own, DENSE)) for own in drawn}
            middles = [float(each.mean()) for _, each in points.values()]
            ends = [interval(each) if each.any() else (0.0, 0.0) for _, each in points.values()]
            bars = [[m - low for m, (low, _) in zip(middles, ends, strict=True)]]
            bars += [[high - m for m, (_, high) in zip(middles, ends, strict=True)]]
            xs = [x for x, _ in points.values()]
            axes.errorbar(xs, middles, bars, fmt="o", capsize=2, markersize=5, label=group)
            for own, x, middle in zip(points, xs, middles, strict=True):
                axes.annotate(own, (x, middle), textcoords="offset points", xytext=(5, 5), fontsize=8)
        axes.set_xscale("log")
        axes.margins(x=0.15)
        axes.axhline(0, color="black", linewidth=0.6)
        axes.set_xlabel("documents per second, times transformers' dense model (float32, SDPA, sorted)")
        axes.set_ylabel("points of accuracy against the dense encoder")
        axes.legend(fontsize=8)
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, metadata={"Date": None})


def promise_table(results: Results) -> str:
    """A row a set and budget: what the validation documents promise and the test documents give, means over seeds."""
    if not results.has("frontier/promises"):
        return "Not measured yet."
    found = results.read("frontier/promises")["rows"]
    heads = ("times dense", "promised, points [95 %]", "test, points", "inside", "test against words")
    rows = [["set", "budget", "seeds", *heads]]
    for budget in dict.fromkeys(row["budget"] for row in found):
        of_budget = [row for row in found if row["budget"] == budget]
        for name in dict.fromkeys(row["data"] for row in of_budget):
            own = [row for row in of_budget if row["data"] == name]
            low, high = (float(np.mean([row["interval"][end] for row in own])) for end in (0, 1))
            rows.append(_promised(name, str(len(own)), own, f" [{low:+.2f}, {high:+.2f}]"))
        rows.append(_promised("all", "", of_budget))
    return "\n".join(render(rows, "markdown"))


def _promised(name: str, seeds: str, rows: list[dict[str, Any]], interval: str = "") -> list[str]:
    """The cells of some runs at one budget, in which a test document counts once."""
    weights = [row["test_documents"] for row in rows]
    promised, test, words = (
        np.average([row[key] for row in rows], weights=weights) for key in ("promised", "test", "test_against_words")
    )
    inside = sum(row["interval"][0] <= row["test"] <= row["interval"][1] for row in rows)
    cells = (name, f"{rows[0]['budget']:g}", seeds, _spread([row["speed"] for row in rows]))
    return [*cells, f"{promised:+.2f}{interval}", f"{test:+.2f}", f"{inside} of {len(rows)}", f"{words:+.2f}"]
