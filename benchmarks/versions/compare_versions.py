"""Compare an old version with this checkout: labels, kept tokens and speed -> results/versions/NAME.json.

    python benchmarks/versions/compare_versions.py MODEL ... --old CHECKOUT --data DATA/20newsgroups --threads 1 \
        --name NAME

MODEL is a classifier's folder that the old version wrote; nothing is trained. CHECKOUT is a git worktree of the old
version, run by this Python or by --old-python. Each side is a process that stays alive, with the same threads.

First both sides classify the same documents. Then they time the same work in pairs of rounds; who begins alternates.
The ratio of a pair is old seconds / new seconds, so above 1 the new version is faster. The interval is that of the
median ratio, by order statistics, at 95 % or more. --length 512 --batch 8 makes documents of so many tokens out of
random words, in batches of so many documents, --batches of them in a round.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from itertools import islice
from math import comb
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import AutoTokenizer
from version_side import Side

from tokensieve.data import read_documents, resolve_split_file
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS, ROOT
from tokensieve_bench.table import render, short_commit

CLOSE = 1e-4
"""Margin below which another label is a rounding error."""


def main(given: list[str] | None = None) -> None:
    """Compare every model, write the record, print the table."""
    arguments = parser().parse_args(given)
    texts = texts_of(arguments)
    sides = {}
    try:
        for name in ("old", "new"):
            python = getattr(arguments, f"{name}_python")
            sides[name] = Side(getattr(arguments, name), python, arguments.threads)
        models = {}
        for folder in arguments.models:
            print(f"{folder}", file=sys.stderr)
            models[folder.name] = compare(sides, folder, texts, arguments)
    finally:
        for side in sides.values():
            side.close()
    record = {
        "old": {key: value for key, value in sides["old"].about.items() if key != "file"},
        "new": {key: value for key, value in sides["new"].about.items() if key != "file"},
        "data": None if arguments.data is None else arguments.data.name,
        "split": arguments.split,
        "documents": len(texts) or arguments.batches * arguments.batch,
        "timed": min(arguments.timed, len(texts)) or arguments.batches * arguments.batch,
        "length": arguments.length,
        "batch": None if arguments.length is None else arguments.batch,
        "rounds": arguments.rounds,
        "models": models,
        "machine": machine(arguments.threads),
    }
    target = arguments.output or RESULTS / "versions" / f"{arguments.name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print("\n".join(table(record)))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    own = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    own.add_argument("models", type=Path, nargs="+", help="folders of classifiers that the old version wrote")
    own.add_argument("--old", type=Path, required=True, help="checkout of the old version, such as a git worktree")
    own.add_argument("--old-python", default=sys.executable, help="its interpreter (default: this one)")
    own.add_argument("--new", type=Path, default=ROOT, help="checkout of the new version (default: this one)")
    own.add_argument("--new-python", default=sys.executable, help="its interpreter (default: this one)")
    own.add_argument("--data", type=Path, help="labelled file, or folder of split files")
    own.add_argument("--split", default="test")
    own.add_argument("--pair-column", help="column of the second text, for classifiers of pairs")
    own.add_argument("--documents", type=int, default=2000, help="documents whose answers are compared, the first")
    own.add_argument("--timed", type=int, default=400, help="of these are timed, the first")
    own.add_argument("--length", type=int, help="documents of so many tokens out of random words, in place of --data")
    own.add_argument("--batch", type=int, default=8, help="documents of --length in a batch")
    own.add_argument("--batches", type=int, default=4, help="batches of --length in a round")
    own.add_argument("--rounds", type=int, default=15, help="pairs of rounds that count")
    own.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of each side")
    place = own.add_mutually_exclusive_group(required=True)
    place.add_argument("--name", help="of the record: results/versions/NAME.json")
    place.add_argument("--output", type=Path, help="file of the record")
    return own


def texts_of(arguments: argparse.Namespace) -> list[Any]:
    """Texts, or pairs of texts; none where --length makes them."""
    if (arguments.data is None) == (arguments.length is None):
        raise SystemExit("give either --data, for documents, or --length, for random words")
    for name, least in (
        ("documents", 1),
        ("timed", 1),
        ("rounds", 1),
        ("threads", 1),
        ("batch", 1),
        ("batches", 1),
        ("length", 3),
    ):
        if getattr(arguments, name) is not None and getattr(arguments, name) < least:
            raise SystemExit(f"--{name} {getattr(arguments, name)}: give {least} or more")
    for folder in arguments.models:
        if not (folder / "config.json").is_file():
            raise SystemExit(f"{folder}: no config.json in it: give the folder of a classifier")
    if len({folder.name for folder in arguments.models}) < len(arguments.models):
        raise SystemExit(
            "two models have the same folder name, by which the record calls them: compare them one by one"
        )
    if arguments.length is not None:
        return []
    source = resolve_split_file(arguments.data, arguments.split)
    documents = read_documents(source, label_column=None, pair_column=arguments.pair_column)
    first = list(islice(documents, arguments.documents))
    return [own.text if own.pair is None else (own.text, own.pair) for own in first]


def random_texts(folder: Path, length: int, count: int) -> list[str]:
    """Texts of so many tokens, special ones included: random words that are a token each."""
    tokenizer, generator = AutoTokenizer.from_pretrained(folder), random.Random(0)
    own = sorted(word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha() and word.islower())
    words = [word for word in own if tokenizer.tokenize(word) == [word]]
    return [" ".join(generator.choices(words, k=length - 2)) for _ in range(count)]


def compare(sides: dict[str, Side], folder: Path, texts: list[Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Answers and seconds of one model by both sides."""
    length, tokens = arguments.length, None
    if length is not None:
        texts = random_texts(folder, length, arguments.batch * arguments.batches)
        tokens = arguments.batch * length
    asked = {"model": str(folder.resolve()), "texts": texts, "timed": arguments.timed, "batch_tokens": tokens}
    loaded = {name: side.ask("load", **asked) for name, side in sides.items()}
    old, new = (side.ask("answers")["documents"] for side in sides.values())
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(arguments.rounds + 1):
        for name in list(sides) if number % 2 else list(sides)[::-1]:
            taken = sides[name].ask("round")["seconds"]
            if number:  # the first warms up
                seconds[name].append(taken)
    ratios = [one / other for one, other in zip(seconds["old"], seconds["new"], strict=True)]
    low, high = median_interval(ratios)
    labels = loaded["old"]["labels"]
    if labels != loaded["new"]["labels"]:
        raise SystemExit(f"{folder}: its labels are {labels} for one side and {loaded['new']['labels']} for the other")
    return {
        "folder": folder.name,
        **differences(old, new, labels),
        "seconds": seconds,
        "ratio": {"median": median(ratios), "low": low, "high": high},
    }


def differences(old: list[dict[str, Any]], new: list[dict[str, Any]], labels: list[str]) -> dict[str, Any]:
    """Documents whose answers differ, by their place; and how far apart the probabilities are."""
    pairs = list(enumerate(zip(old, new, strict=True)))

    def named(document: dict[str, Any]) -> list[str]:
        return [labels[number] for number in document["labels"]]

    changed = [
        {"document": place, "old": named(one), "new": named(other), "margin": [one["margin"], other["margin"]]}
        for place, (one, other) in pairs
        if one.get("labels") != other.get("labels")
    ]
    return {
        "labels_changed": changed,
        "labels_changed_clearly": sum(max(own["margin"]) >= CLOSE for own in changed),
        "kept_changed": [
            {"document": place, "old": one["kept"], "new": other["kept"]}
            for place, (one, other) in pairs
            if one.get("kept") != other.get("kept")
        ],
        "tokens_changed": [place for place, (one, other) in pairs if one.get("tokens") != other.get("tokens")],
        "largest_difference": max(
            abs(a - b)
            for _, (one, other) in pairs
            for a, b in zip(one["probabilities"], other["probabilities"], strict=True)
        ),
    }


def median_interval(figures: list[float], level: float = 0.95) -> tuple[float, float]:
    """Between which of the sorted figures the median of all rounds lies, at this level (Conover, sign test); of fewer
    than six figures the lowest and the highest, which is less sure.
    """
    ordered, count = sorted(figures), len(figures)
    outside, rank = 0.0, 0  # of each end
    while rank < (count - 1) // 2 and outside + comb(count, rank) / 2**count <= (1 - level) / 2:
        outside += comb(count, rank) / 2**count
        rank += 1
    rank = max(rank, 1)
    return ordered[rank - 1], ordered[count - rank]


def table(record: dict[str, Any]) -> list[str]:
    """A row a model."""
    head = (
        "model, labels changed, of these clearly, kept counts changed, tokens changed, largest difference, old, new, "
    )
    rows = [(head + "old / new").split(", ")]
    for name, own in record["models"].items():
        counts = [len(own["labels_changed"]), own["labels_changed_clearly"], len(own["kept_changed"])]
        ratio, seconds = own["ratio"], own["seconds"]
        rows.append(
            [
                name,
                *map(str, [*counts, len(own["tokens_changed"])]),
                f"{own['largest_difference']:.1e}",
                *(f"{median(seconds[side]):.3f} s" for side in ("old", "new")),
                f"{ratio['median']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}]",
            ]
        )
    sides = [
        f"{own}: {record[own]['tokensieve']}, commit {short_commit(record[own]['commit'])}" for own in ("old", "new")
    ]
    what = f"{record['data']}, {record['split']}" if record["data"] else f"random words, {record['length']} tokens"
    return [
        *render(rows, "plain"),
        "",
        "; ".join(sides),
        f"{what}: {record['documents']} documents compared, {record['timed']} timed",
        f"{record['rounds']} pairs of rounds, {record['machine']['threads']} threads each, "
        f"{record['machine']['processor']}",
    ]


if __name__ == "__main__":
    main()
