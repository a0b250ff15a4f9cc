"""The demonstration: a dense classifier, a cascade that starts from it, and a bag of words, side by side.

Both encoders come from the default model, all of them learn from the embedded corpus. Training and scoring run as
commands of their own, so that each memory peak is that of one model. Speed is timed in interleaved rounds in this
process, so that all meet the same machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tokensieve.data import Document, standard_library_corpus
from tokensieve.errors import ConfigError, TokensieveError
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.load import load
from tokensieve.runtime.part import check_replaceable, json_with
from tokensieve.training.files.output import RECORD, check_output, read_record
from tokensieve.training.files.reproduce import EMBEDDED_CORPUS
from tokensieve.training.recipe import Recipe
from tokensieve_bench.machine import machine
from tokensieve_bench.rounds import time_interleaved

TRAIN_DOCUMENTS = 500
ROUNDS = 3
TIMED_DOCUMENTS = 120
RECIPE = (
    *("--max-length", "128", "--set", "train.attention_dropout=0", "--set", "train.select=accuracy"),
    *("--set", "train.floors=none"),
)
"""Options of every encoder. Floors are left out, as the bag of words has a column of its own."""
VARIANTS = {
    "dense": ("--preset", "dense", "--set", "pooling=mean", "--epochs", "4", "--learning-rate", "3e-4"),
    "cascade": ("--preset", "cascade", "--model", "dense", "--epochs", "0", "--set", "train.feature_epochs=1"),
    "words": ("--preset", "words"),
}
"""Options by the name of the model, which `--model` of another one may name: it is trained beside it."""

Show = Callable[[str], None]


def run_demo(folder: Path, show: Show) -> dict[str, Any]:
    """Train, measure, print the table, classify a few documents and show what survived.

    Args:
        folder: where the classifiers and the record `demo.json` are saved.
        show: prints a line.

    Returns:
        The record: what was run, the raw figures, the machine.

    Raises:
        ConfigError: `folder` holds something else under a name that is needed.
    """
    corpus = standard_library_corpus()
    show("corpus: the source of functions and classes of Python's standard library; the label is the package")
    show(f"({', '.join(corpus.label_names)}); {TRAIN_DOCUMENTS} training and {len(corpus.test)} test documents")
    folder.mkdir(parents=True, exist_ok=True)
    check_replaceable(folder / "demo.json", json_with("corpus", "recipe", "models"))
    for name in VARIANTS:
        check_output(folder / name, overwrite=True)
        _check_made_by_a_demo(folder / name)
    models = {name: _train_and_score(name, folder / name, show) for name in VARIANTS}
    classifiers = {name: load(folder / name, device="cpu") for name in VARIANTS}
    timed = corpus.test[:TIMED_DOCUMENTS]
    show(f"\ntiming {len(timed)} test documents, {ROUNDS} interleaved rounds after a warm-up")
    for name, speeds in speeds_of(classifiers, timed, ROUNDS, show).items():
        models[name] |= {"documents_per_second": speeds, "flops": _flops(classifiers[name], models[name]["scores"])}
    record = {
        "machine": machine(torch.get_num_threads()),
        "seed": Recipe().seed,  # no command names another
        "corpus": {
            "name": EMBEDDED_CORPUS,
            "train": TRAIN_DOCUMENTS,
            "test": len(corpus.test),
            "timed": len(timed),
        },
        "recipe": list(RECIPE),
        "models": models,
    }
    (folder / "demo.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for line in [*comparison(models), *survivors(classifiers["cascade"], corpus.test[:3])]:
        show(line)
    return record


def _check_made_by_a_demo(folder: Path) -> None:
    """Raise ConfigError if a classifier is there that was trained on other data than a demo's."""
    if (folder / RECORD).is_file() and read_record(folder / RECORD).get("data") != EMBEDDED_CORPUS:
        raise ConfigError(
            f"output {folder} is a classifier that no demo made, so it is not overwritten: give another folder"
        )


def speeds_of(
    classifiers: Mapping[str, Classifier], documents: Sequence[Document], rounds: int, show: Show
) -> dict[str, list[float]]:
    """Documents per second of each classifier by round."""
    calls = {name: partial(classifier.engine.classify, documents) for name, classifier in classifiers.items()}
    found = time_interleaved(calls, rounds, show)
    return {name: [len(documents) / seconds for seconds in own] for name, own in found.items()}


def _flops(classifier: Classifier, scores: Mapping[str, Any]) -> float:
    """FLOPs of the encoder for a document, the mean of those that it reads and those that it does not."""
    read = _read_share(scores)
    return read * classifier.model.plan(round(scores["mean_length"])).flops if read else 0.0


def _read_share(scores: Mapping[str, Any]) -> float:
    """The share of the documents that an encoder reads."""
    return 1.0 - float(scores["stages"].get("words", 0.0))


def survivors(classifier: Classifier, documents: Sequence[Document]) -> list[str]:
    """A few documents with their prediction and the tokens that are left at the end."""
    lines = ["", "tokens that survived, in the first test documents:"]
    for document, result in zip(documents, classifier.results([d.text for d in documents], tokens=True), strict=True):
        label, sure, left = classifier.labels[result.label], max(result.probabilities), result.tokens or ()
        by = "answered by the bag of words" if not result.length else f"{len(left)} of {result.length} tokens"
        lines.append(f"- {document.source}: {label} ({sure:.2f}), {by}")
        lines += ["  " + " ".join(left)] if left else []
    return lines


def _train_and_score(name: str, folder: Path, show: Show) -> dict[str, Any]:
    options = list(VARIANTS[name])
    if "--model" in options:
        place = options.index("--model") + 1
        options[place] = str(folder.parent / options[place])
    recipe = () if "words" in options else (*RECIPE, "--device", "cpu")
    settings = [*options, *recipe, "--max-documents", str(TRAIN_DOCUMENTS)]
    show(f"\ntokensieve train {' '.join(settings)} --output {folder}")
    _command(["train", *settings, "--output", str(folder), "--overwrite"], capture=False)
    show(f"\ntokensieve evaluate --model {folder} --device cpu --json")
    evaluate = ["evaluate", "--model", str(folder), "--device", "cpu", "--json", "--progress"]
    scores = json.loads(_command(evaluate, capture=True))
    training = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    return {
        "settings": list(VARIANTS[name]),
        "scores": {key: value for key, value in scores.items() if key not in ("classes", "model", "rows")},
        "training": {
            key: training.get(key) for key in ("seconds", "peak_memory_bytes", "documents", "best", "versions")
        },
    }


def _command(arguments: list[str], capture: bool) -> str:
    run = [sys.executable, "-m", "tokensieve", *arguments]
    done = subprocess.run(run, stdout=subprocess.PIPE if capture else None, text=True, check=False)
    if done.returncode != 0:
        raise TokensieveError(f"'tokensieve {arguments[0]}' ended with status {done.returncode}; its message is above")
    return done.stdout or ""


def comparison(models: Mapping[str, Mapping[str, Any]], form: str = "plain") -> list[str]:
    """The table of `demo.json`'s models, the ratio to the first one in brackets; "plain" text or "markdown"."""
    figures = {name: _figures(model) for name, model in models.items()}
    first = next(iter(figures.values()))
    rows = [["", *figures]]
    for key, (value, digits, compared) in first.items():
        cells = []
        for own in (figure[key][0] for figure in figures.values()):
            ratio = f" ({own / value:.2f}x)" if compared and own is not None and value and own is not value else ""
            cells.append("-" if own is None else f"{own:.{digits}f}{ratio}")
        rows.append([key, *cells])
    for name, model in models.items():
        if not model["scores"]["kept_tokens"]:
            continue
        kept = " ".join(f"{count:.0f}" for count in model["scores"]["kept_tokens"])
        rows.append(
            [
                f"tokens kept per layer, {name}",
                f"{kept} of {model['scores']['mean_length']:.0f}",
                *[""] * (len(models) - 1),
            ]
        )
    if form == "markdown":
        body = ["| " + " | ".join(row) + " |" for row in rows]
        return [body[0], "|---" * len(rows[0]) + "|", *body[1:]]
    return ["", *(f"{row[0]:32}" + "".join(f"{cell:>24}" for cell in row[1:]).rstrip() for row in rows)]


def _figures(model: Mapping[str, Any]) -> dict[str, tuple[float | None, int, bool]]:
    """Rows of the table: value (None: not measured), digits, and whether a ratio makes sense."""
    scores, training, speeds = model["scores"], model["training"], sorted(model["documents_per_second"])
    peak = training["peak_memory_bytes"]
    working = scores["peak_memory_bytes"] - scores["loaded_memory_bytes"]
    return {
        "accuracy": (scores["accuracy"], 3, False),
        "macro F1": (scores["f1_macro"], 3, False),
        "documents per second, median": (speeds[len(speeds) // 2], 1, True),
        "- slowest round": (speeds[0], 1, False),
        "- fastest round": (speeds[-1], 1, False),
        "peak memory, inference, MB": (scores["peak_memory_bytes"] / 1e6, 0, True),
        "- above the loaded model": (max(working, 1) / 1e6, 0, True),
        "peak memory, training, MB": (None if peak is None else peak / 1e6, 0, True),
        "training time, s": (training["seconds"], 0, True),
        "MFLOPs at mean length": (model["flops"] / 1e6, 0, True),
    } | ({"read by an encoder, %": (100 * _read_share(scores), 0, False)} if "stages" in scores else {})
