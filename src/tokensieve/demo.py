"""The demonstration: a dense classifier and a PTC classifier, trained and measured side by side.

Both come from the default model and the embedded corpus by one recipe. Training and scoring run as commands of their
own, so that memory peaks are those of one model; speed is timed in turns in this process, so that both meet the same
machine.
"""

from __future__ import annotations

import json
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokensieve.data import Document, standard_library_corpus
from tokensieve.errors import TokensieveError
from tokensieve.runtime.load import Classifier, load

logger = logging.getLogger(__name__)

TRAIN_DOCUMENTS = 900
ROUNDS = 5
RECIPE = ("--epochs", "3", "--max-length", "128", "--learning-rate", "1e-4", "--attention-dropout", "0")
VARIANTS = {
    "dense": ("--preset", "dense"),
    "PTC": ("--pruning", "fuzzy", "--site", "hidden", "--keep-ratio", "0.8"),
}


@dataclass(frozen=True)
class Row:
    """A model of the table."""

    name: str
    scores: dict[str, Any]
    speeds: list[float]
    training: dict[str, Any]
    flops: float


def run_demo(folder: Path, show: Callable[[str], None]) -> dict[str, Any]:
    """Train, measure, print the table, classify a few documents and show what survived.

    Args:
        folder: where the two classifiers are saved.
        show: prints a line.

    Returns:
        The figures of the table.
    """
    corpus = standard_library_corpus()
    show(f"corpus: {len(corpus.train)} training and {len(corpus.test)} test documents, the source of functions and")
    show(f"classes of Python's standard library; the label is the package: {', '.join(corpus.label_names)}")
    folder.mkdir(parents=True, exist_ok=True)
    scores = {name: _train_and_score(name, folder / name, show) for name in VARIANTS}
    classifiers = {name: load(folder / name, device="cpu") for name in VARIANTS}
    speeds = time_in_turns(classifiers, corpus.test, ROUNDS)
    rows = []
    for name, classifier in classifiers.items():
        plan = classifier.model.plan(round(scores[name]["mean_length"]))
        training = json.loads((folder / name / "training.json").read_text(encoding="utf-8"))
        rows.append(Row(name, scores[name], speeds[name], training, plan.flops))
    for line in table(rows):
        show(line)
    for line in survivors(classifiers["PTC"], corpus.test[:3]):
        show(line)
    return {row.name: {**row.scores, "speeds": row.speeds, "flops": row.flops} for row in rows}


def time_in_turns(
    classifiers: dict[str, Classifier], documents: Sequence[Document], rounds: int
) -> dict[str, list[float]]:
    """Documents per second of each classifier, the classifiers taking turns for so many rounds after a warm-up."""
    texts = [document.text for document in documents]
    speeds: dict[str, list[float]] = {name: [] for name in classifiers}
    for turn in range(rounds + 1):
        for name, classifier in classifiers.items():
            start = time.perf_counter()
            classifier.engine.classify(texts)
            if turn > 0:
                speeds[name].append(len(texts) / (time.perf_counter() - start))
    return speeds


def table(rows: Sequence[Row]) -> list[str]:
    """The comparison, each figure with its ratio to the first row."""
    dense = rows[0]
    lines = ["", f"{'':24}" + "".join(f"{row.name:>24}" for row in rows)]

    def add(name: str, figure: Callable[[Row], float], form: str, ratio: bool = True) -> None:
        cells = []
        for row in rows:
            against = f" ({figure(row) / figure(dense):.2f}x)" if ratio and row is not dense else ""
            cells.append(f"{format(figure(row), form) + against:>24}")
        lines.append(f"{name:24}" + "".join(cells))

    add("accuracy", lambda row: row.scores["accuracy"], ".3f", ratio=False)
    add("macro F1", lambda row: row.scores["f1_macro"], ".3f", ratio=False)
    add("documents per second", lambda row: statistics.median(row.speeds), ".1f")
    add("  slowest round", lambda row: min(row.speeds), ".1f", ratio=False)
    add("  fastest round", lambda row: max(row.speeds), ".1f", ratio=False)
    add("peak memory, MB", lambda row: row.scores["peak_memory_bytes"] / 1e6, ".0f")
    add("  above loaded model, MB", lambda row: row.scores["working_memory_bytes"] / 1e6, ".0f")
    add("  in training, MB", lambda row: row.training["peak_memory_bytes"] / 1e6, ".0f")
    add("training time, s", lambda row: row.training["seconds"], ".0f")
    add("MFLOPs at mean length", lambda row: row.flops / 1e6, ".0f")
    lines.append("")
    lines += [f"tokens kept per layer, {row.name:8}" + _counts(row) for row in rows]
    return lines


def survivors(classifier: Classifier, documents: Sequence[Document]) -> list[str]:
    """A few documents with their prediction and the tokens that are left at the end."""
    lines = ["", "tokens that survived, in the first test documents:"]
    for document, result in zip(documents, classifier.results([d.text for d in documents], tokens=True), strict=True):
        label, sure = classifier.labels[result.label], max(result.probabilities)
        lines.append(
            f"- {document.source}: {label} ({sure:.2f}), {len(result.tokens or ())} of {result.length} tokens:"
        )
        lines.append("  " + " ".join(result.tokens or ()))
    return lines


def _counts(row: Row) -> str:
    kept = " ".join(f"{count:6.1f}" for count in row.scores["kept_tokens"])
    return f"{kept}  (of {row.scores['mean_length']:.1f})"


def _train_and_score(name: str, folder: Path, show: Callable[[str], None]) -> dict[str, Any]:
    train = ["train", *VARIANTS[name], *RECIPE, "--max-documents", str(TRAIN_DOCUMENTS), "--device", "cpu"]
    show("")
    show(f"tokensieve {' '.join(train)} --output {folder}")
    _command([*train, "--output", str(folder), "--overwrite"], capture=False)
    scored = _command(["evaluate", "--model", str(folder), "--device", "cpu", "--json"], capture=True)
    scores: dict[str, Any] = json.loads(scored)
    return scores


def _command(arguments: list[str], capture: bool) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tokensieve", *arguments],
        stdout=subprocess.PIPE if capture else None,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise TokensieveError(f"'tokensieve {arguments[0]}' ended with status {done.returncode}; its message is above")
    return done.stdout or ""
