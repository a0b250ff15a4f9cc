"""Records of accuracy and score in a results folder -> tables.

They have the accuracy with its interval against dense, cost and conditions, and what another type or a cheaper score
changes in the answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import mean
from typing import Any

import numpy as np

from tokensieve_bench.figures import paired
from tokensieve_bench.records import Results
from tokensieve_bench.table import made_with, render, short_commit, threads_of

DEFAULTS = {"epochs": 5, "learning_rate": 2e-5, "max_length": 512, "batch_size": 16, "select": "loss"}
"""The defaults of `tokensieve.training.recipe.Recipe`, for records whose recipe leaves these fields out."""


def accuracy_table(results: Results, name: str, brief: bool = False) -> str:
    """A row a variant; cost columns where `<name>-cost.json` is there. `brief` leaves out columns and conditions."""
    record, of_cost = results.read(f"accuracy/{name}"), f"accuracy/{name}-cost"
    cost = results.read(of_cost) if results.has(of_cost) else None
    dense = right(record, "dense", "test")
    head = ["variant", "seeds", "accuracy", "macro F1", "validation accuracy", "against dense, points [95 %]"]
    rows = [head + (COST if cost else [])]
    for variant in record["config"]["variants"]:
        runs = [run for run in record["runs"] if run["variant"] == variant]
        if not runs:
            continue
        scores = [_mean_and_range([run[key] for run in runs]) for key in ("accuracy", "f1_macro")]
        validation = mean(run["validation"]["eval_accuracy"] for run in runs)
        cells = [variant, str(len(runs)), *scores, f"{validation:.4f}"]
        cells.append(_difference(right(record, variant, "test"), dense) if variant != "dense" else "")
        rows.append(cells + (costs(cost, variant) if cost else []))
    if brief:
        shown = [place for place, column in enumerate(rows[0]) if column in BRIEF]
        rows = [[row[place].partition(" (")[0] for place in shown] for row in rows]
    table = render(rows, "markdown")
    return "\n".join(table if brief else [*table, "", conditions(record, cost)])


def _mean_and_range(scores: list[float]) -> str:
    """Of the seeds."""
    spread = f" ({min(scores):.3f}-{max(scores):.3f})" if len(scores) > 1 else ""
    return f"{mean(scores):.4f}{spread}"


def right(record: dict[str, Any], variant: str, split: str) -> dict[int, np.ndarray]:
    """Whether each document of a split was classified rightly, by seed."""
    runs = [run for run in record["runs"] if run["variant"] == variant]
    if split == "validation":
        return {run["seed"]: np.array(run["validation_right"], dtype=float) for run in runs}
    truth = np.array(record["truth"])
    return {run["seed"]: (np.array(run["predicted"]) == truth).astype(float) for run in runs}


def gained(own: Mapping[int, np.ndarray], other: Mapping[int, np.ndarray]) -> np.ndarray | None:
    """Points that one has more than another on each document.

    They are means over the seeds that both have; None if they have none in common.
    """
    seeds = sorted(own.keys() & other.keys())
    if not seeds:
        return None
    points: np.ndarray = 100 * np.mean([own[seed] - other[seed] for seed in seeds], axis=0)
    return points


def _difference(own: Mapping[int, np.ndarray], dense: Mapping[int, np.ndarray]) -> str:
    """The mean with its interval, on the same documents and seeds."""
    by_document = gained(own, dense)
    return "no seed in common" if by_document is None else with_interval(by_document, interval(by_document))


def interval(by_document: np.ndarray) -> tuple[float, float]:
    """Of the mean, 95 %, by bootstrap over the documents."""
    generator = np.random.default_rng(0)
    draws = [generator.choice(by_document, len(by_document)).mean() for _ in range(10_000)]  # all at once is a gigabyte
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def with_interval(by_document: np.ndarray, ends: tuple[float, float]) -> str:
    """Mean and interval."""
    low, high = ends
    return f"{by_document.mean():+.2f} [{low:+.2f}, {high:+.2f}]"


def loss_verdict(by_document: np.ndarray, most: float, where: str = "") -> str:
    """The verdict on a bar of points that may be lost: it is met if the whole interval is above it.

    Args:
        by_document: points gained on each document.
        most: points that may be lost.
        where: follows on the verdict.
    """
    middle, (low, _) = float(by_document.mean()), interval(by_document)
    if middle < -most:
        return f"missed{where}"
    return f"met{where}" if low > -most else f"met by the mean{where}; the interval reaches {low:+.2f}"


BRIEF = {"variant", "accuracy", "against dense, points [95 %]", "inference", "training step", "peak memory, training"}
COST = ["inference", "training step", "peak memory, inference", "peak memory, training"]


def costs(cost: dict[str, Any], variant: str) -> list[str]:
    """Speed as times faster than dense in the same round, memory as a share of dense's; medians of the rounds."""
    cells = []
    for kind in ("inference_seconds", "training_step_seconds"):
        own, dense = cost[kind][variant], cost[kind]["dense"]
        spread = f"{min(own):.2f}-{max(own):.2f} s"
        cells.append(f"{paired(dense, own).median:.2f}x ({spread})")
    for kind in ("inference", "training"):
        own, dense = cost["peak_bytes"][variant][kind], cost["peak_bytes"]["dense"][kind]
        cells.append(f"{own / dense:.2f}x ({own / 1e6:.0f} MB)")
    return cells


def conditions(record: dict[str, Any], cost: dict[str, Any] | None) -> str:
    """The conditions that the figures hold for."""
    config, counts = record["config"], record["runs"][0]["documents"]
    commits: dict[str, set[int]] = {}
    for own in record["runs"]:
        commits.setdefault(short_commit(own["machine"]["commit"]), set()).add(own["seed"])
    by_commit = "; ".join(f"{commit}: {_listed(own)}" for commit, own in commits.items())
    recipe = recipe_of(config)
    told = ", ".join(f"{key} {value}" for key, value in recipe.items() if key not in ("batch_size", "select"))
    lines = [
        f"- {config['data']}: {counts['train']} training, {counts['validation']} validation and {counts['test']} test "
        f"documents of the split; seeds {_listed(own['seed'] for own in record['runs'])}; {told}, batches of "
        f"{recipe['batch_size']}; the epoch by validation {recipe['select']}.",
        "- Accuracy and F1 are means over the seeds on the test documents. The interval is a bootstrap over documents, "
        "on the same documents and seeds for both; it leaves out the spread of seeds, which is the range in brackets.",
        f"- {made_with([own['machine'] for own in record['runs']], 'torch', 'transformers', 'python')}"
        + (f"; seeds by commit: {by_commit}" if len(commits) > 1 else ""),
    ]
    if cost is not None:
        step = cost["training"]
        lines.append(
            f"- Cost: {threads_of([cost['machine']])}, float32, {cost['rounds']} interleaved rounds after a "
            f"warm-up; inference is text to label of the first {cost['documents']} test documents, speeds and shares "
            "are against our own dense model (packed, fused attention); memory a process's peak less what it used "
            f"after its imports; training in batches of {step['batch']} with {step['optimizer']}, attention dropout "
            f"{step['attention_dropout']:g}; {made_with([cost['machine']])}."
        )
    return "\n".join(lines)


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(set(seeds))))


def recipe_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe of a record's config, the config's fields first, with the defaults of those that it leaves out."""
    return {**config["recipe"], **{key: value for key, value in DEFAULTS.items() if key not in config["recipe"]}}


def dtype_table(results: Results) -> str:
    """A row a classifier: what bfloat16 changes."""
    head = "classifier, test documents, float32, bfloat16, labels changed, documents with other tokens left"
    rows = [head.split(", ")]
    for record in results.read_all("accuracy/dtype-*").values():
        full, half = (record["scores"][name]["accuracy"] for name in ("float32", "bfloat16"))
        cells = [record["model"], record["documents"], f"{full:.4f}", f"{half:.4f}", record["labels_changed"]]
        rows.append([str(cell) for cell in (*cells, record["surviving_tokens_changed"])])
    return "\n".join(render(rows, "markdown"))


def score_table(results: Results, name: str) -> str:
    """A row a classifier and a choice of queries: agreement with the exact score, accuracy without more training."""
    record = results.read(f"score/{name}")
    rows = [["classifier", "queries", "kept alike", "rank correlation", "accuracy", "macro F1"]]
    for classifier, own in record["classifiers"].items():
        for choice, scores in own["accuracy"].items():
            agreement = own["agreement"].get(choice, {"kept alike": 1.0, "rank correlation": 1.0})
            figures = [*agreement.values(), scores["accuracy"], scores["f1_macro"]]
            rows.append([classifier, choice, *(f"{figure:.4f}" for figure in figures)])
    counts = f"{record['compared_documents']} documents for agreement, {record['test_documents']} for accuracy"
    return "\n".join(
        [
            *render(rows, "markdown"),
            "",
            f"- {record['data']}, test split: {counts}; {made_with([record['machine']])}",
        ]
    )
