"""results/worth/*.json -> tables: where an encoder is better than a bag of words, and what each costs in speed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tokensieve_bench.places import CONFIGS
from tokensieve_bench.records import Results
from tokensieve_bench.report.accuracy import interval, with_interval
from tokensieve_bench.table import alternatives, made_with, render, threads_of

CONFIG = CONFIGS / "worth.json"
CONTENDERS = {
    "words": "bag of words",
    "static": "static vectors",
    "dense": "`dense`",
    "fast": "`fast`",
    "words -> encoder": "words → encoder",
}
"""Their names in records and in tables."""
LIKE_DENSE = "as `dense`"
"""In place of a figure of `fast`, which was not trained where nearly all texts are too short for it to prune."""
SHORT = 0.95
"""Share of such texts from which that holds."""

Records = Mapping[str, Mapping[str, Any]]


def worth_tables(results: Results) -> str:
    """Both tables and what they hold for, of the records that are there, in the order of the config."""
    config = json.loads(CONFIG.read_text(encoding="utf-8"))
    found = results.read_all("worth/*")
    records = {name: found[name] for name in (*config["sets"], *config["recorded"]) if name in found}
    lines = [*render(accuracy_rows(records), "markdown"), "", "Documents per second, from text to label:", ""]
    return "\n".join([*lines, *render(speed_rows(records), "markdown"), "", *_conditions(records)])


def accuracy_rows(records: Records) -> list[list[str]]:
    """A row a set: test accuracies, and dense against the bag of words on the same documents."""
    head = ["test accuracy", *CONTENDERS.values(), "`dense` less bag of words, points [95 %]", "better"]
    rows = [head]
    for name, record in records.items():
        cells = [_cell(record, own, lambda figures: f"{figures['accuracy']:.3f}") for own in CONTENDERS]
        points = 100 * (_right(record, "dense") - _right(record, "words"))
        ends = interval(points)
        rows.append([f"{name} ({record['documents']['train']:,})", *cells, with_interval(points, ends), better(*ends)])
    return rows


def speed_rows(records: Records) -> list[list[str]]:
    """A row a set: documents per second, and what is best at its speed."""
    rows = [["documents/s", *CONTENDERS.values(), "best at its speed, fastest first"]]
    for name, record in records.items():
        cells = [_cell(record, own, lambda figures: _speed(figures["documents_per_second"])) for own in CONTENDERS]
        rows.append([name, *cells, ", ".join(CONTENDERS[own] for own in front(record["contenders"]))])
    return rows


def better(low: float, high: float) -> str:
    """What an interval of dense less bag of words says."""
    if low > 0:
        return "`dense`"
    return "bag of words" if high < 0 else "not told apart"


def front(contenders: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Contenders that are more accurate than every faster one, from fast to slow."""
    best, names = -1.0, []
    for name, own in sorted(contenders.items(), key=lambda item: -item[1]["documents_per_second"]):
        if own["accuracy"] > best:
            best = own["accuracy"]
            names.append(name)
    return names


def _right(record: Mapping[str, Any], name: str) -> np.ndarray:
    answers = np.array(record["contenders"][name]["predicted"])
    found: np.ndarray = (answers == np.array(record["truth"])).astype(float)
    return found


def _cell(record: Mapping[str, Any], name: str, figure: Any) -> str:
    if name in record["contenders"]:
        return str(figure(record["contenders"][name]))
    return LIKE_DENSE if record["short"] > SHORT else "-"


def _speed(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 10 else f"{figure:.1f}"


def _conditions(records: Records) -> list[str]:
    """The conditions that the figures hold for."""
    machines = [record["machine"] for record in records.values()]
    timed = [record["timed"] for record in records.values()]
    lines = [
        "- In brackets: training documents. One seed. The interval is a bootstrap over the test documents, paired; it "
        "leaves out the spread of seeds.",
    ]
    lines += [f"- {name}: {_told(record)}" for name, record in records.items()]
    if not records:
        return lines
    return [
        *lines,
        f"- Speed: medians of {alternatives(own['rounds'] for own in timed)} rounds by turns over the first "
        f"{alternatives(own['documents'] for own in timed)} test documents, {threads_of(machines)}{_load(machines)}.",
        f"- {made_with(machines)}",
    ]


def _load(machines: Iterable[Mapping[str, Any]]) -> str:
    """How busy the machines were, where they say."""
    loads = [own["load"] for own in machines if own.get("load") is not None]
    return f", at a load average of {min(loads):g} to {max(loads):g}, this work included" if loads else ""


def _told(record: Mapping[str, Any]) -> str:
    """A set, and how its encoders were trained."""
    counts, cascade = record["documents"], record["cascade"]
    told = (
        f"{record['labels']} labels, {counts['train']:,} training, {counts['validation']:,} validation and "
        f"{counts['test']:,} test documents; {record['epochs']} epochs, seed {record['seed']}. At most "
        f"{record['max_length']} tokens, {record['mean_length']:.0f} on average; {100 * record['short']:.0f} % of the "
        f"documents have fewer than 48. The cascade defers {100 * cascade['deferred']:.0f} % to `{cascade['encoder']}`."
    )
    if "recorded" not in record:
        return told
    return told + (
        " The answers of the encoders are those of an earlier record. The speeds of `fast` and of the cascade follow "
        "from that of `dense` and an earlier benchmark."
    )
