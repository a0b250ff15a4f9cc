"""Records of accuracy and score in a results folder -> tables.

They have the accuracy with its interval against dense, cost and conditions, and what another type or a cheaper score
changes in the answers.
"""

from __future__ import annotations

from statistics import mean, median
from typing import Any

import numpy as np

from tokensieve_bench.records import Results
from tokensieve_bench.table import render


def accuracy_table(results: Results, name: str, brief: bool = False) -> str:
    """A row a variant; cost columns where `<name>-cost.json` is there. `brief` leaves out columns and conditions."""
    record, of_cost = results.read(f"accuracy/{name}"), f"accuracy/{name}-cost"
    cost = results.read(of_cost) if results.has(of_cost) else None
    truth = np.array(record["truth"])
    right = {
        variant: np.array([np.array(run["predicted"]) == truth for run in record["runs"] if run["variant"] == variant])
        for variant in record["config"]["variants"]
    }
    head = ["variant", "seeds", "accuracy", "macro F1", "validation accuracy", "against dense, points [95 %]"]
    rows = [head + (COST if cost else [])]
    for variant, own in right.items():
        runs = [run for run in record["runs"] if run["variant"] == variant]
        if not runs:
            continue
        scores = [_mean_and_range([run[key] for run in runs]) for key in ("accuracy", "f1_macro")]
        validation = mean(run["validation"]["eval_accuracy"] for run in runs)
        cells = [variant, str(len(runs)), *scores, f"{validation:.4f}"]
        cells.append(difference(own, right["dense"]) if variant != "dense" else "")
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


def difference(own: np.ndarray, dense: np.ndarray) -> str:
    """Mean over the seeds that both have, and a bootstrap interval over documents, on the same documents."""
    seeds = min(len(own), len(dense))
    by_document = (own[:seeds].astype(float) - dense[:seeds]).mean(0) * 100
    return with_interval(by_document, interval(by_document))


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


BRIEF = {"variant", "accuracy", "against dense, points [95 %]", "inference", "training step", "peak memory, training"}
COST = ["inference", "training step", "peak memory, inference", "peak memory, training"]


def costs(cost: dict[str, Any], variant: str) -> list[str]:
    """Speed as times faster than dense, memory as a share of dense's; medians of interleaved rounds."""
    cells = []
    for kind in ("inference_seconds", "training_step_seconds"):
        own, dense = cost[kind][variant], cost[kind]["dense"]
        spread = f"{min(own):.2f}-{max(own):.2f} s"
        cells.append(f"{median(dense) / median(own):.2f}x ({spread})")
    for kind in ("inference", "training"):
        own, dense = cost["peak_bytes"][variant][kind], cost["peak_bytes"]["dense"][kind]
        cells.append(f"{own / dense:.2f}x ({own / 1e6:.0f} MB)")
    return cells


def conditions(record: dict[str, Any], cost: dict[str, Any] | None) -> str:
    """What the figures hold for."""
    run, config = record["runs"][0], record["config"]
    counts = run["documents"]
    commits: dict[str, set[int]] = {}
    for own in record["runs"]:
        commits.setdefault(own["machine"]["commit"][:10], set()).add(own["seed"])
    told = "; ".join(f"{commit} (seeds {', '.join(map(str, sorted(own)))})" for commit, own in commits.items())
    seeds = ", ".join(map(str, sorted({run["seed"] for run in record["runs"]})))
    recipe = ", ".join(f"{name} {value}" for name, value in config["recipe"].items())
    lines = [
        f"- {config['data']}: {counts['train']} training, {counts['validation']} validation and {counts['test']} test "
        f"documents of the split; seeds {seeds}; {recipe}, batches of 16; the epoch by validation loss.",
        "- Accuracy and F1 are means over the seeds on the test documents. The interval is a bootstrap over documents, "
        "on the same documents and seeds for both; it leaves out the spread of seeds, which is the range in brackets.",
        f"- commit {told}, {run['machine']['processor']}, torch {run['machine']['torch']}, "
        f"transformers {run['machine']['transformers']}, Python {run['machine']['python']}",
    ]
    if cost is not None:
        lines.append(
            f"- Cost: {cost['machine']['threads']} threads, float32, {cost['rounds']} interleaved rounds after a "
            f"warm-up; inference is text to label of the first {cost['documents']} test documents, speeds and shares "
            "are against our own dense model (packed, fused attention); memory a process's peak less what it used "
            f"after its imports; training in batches of {cost['training']['batch']} with AdamW, attention dropout 0."
        )
    return "\n".join(lines)


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
            f"- {record['data']}, test split: {counts}; commit {record['machine']['commit'][:10]}",
        ]
    )
