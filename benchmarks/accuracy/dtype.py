"""What bfloat16 changes in the answers of a trained classifier -> results/accuracy/dtype-<name>.json.

    python benchmarks/accuracy/dtype.py build/accuracy/bbc-256/hidden-p=.7-seed0 --data DATA/bbc --name bbc-hidden

The documents of a split are classified in float32 and in bfloat16 with the same batches. Nothing is timed: on a
processor without instructions for bfloat16 a time would say nothing about those that have them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tokensieve import load
from tokensieve.data import Document, read_documents, resolve_split_file
from tokensieve.metrics import accuracy_and_f1
from tokensieve.runtime.classifier import Classifier
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS


def main() -> None:
    """Classify twice and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path, help="folder of a trained classifier of one label a document")
    parser.add_argument("--data", type=Path, required=True, help="labelled file, or folder of split files")
    parser.add_argument("--split", default="test")
    parser.add_argument("--name", required=True, help="of the record: results/accuracy/dtype-NAME.json")
    parser.add_argument("--dtype", default="bfloat16", help="what is compared with float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--documents", type=int, help="at most so many, from the start")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    full, half = (load(arguments.model, device=arguments.device, dtype=name) for name in ("float32", arguments.dtype))
    source = resolve_split_file(arguments.data, arguments.split)
    documents = tuple(read_documents(source, known_labels=full.labels))[: arguments.documents]
    record = {
        "model": arguments.model.name,
        "data": arguments.data.name,
        "split": arguments.split,
        "device": arguments.device,
        **compared(full, half, documents),
        "machine": machine(arguments.threads),
    }
    target = RESULTS / "accuracy" / f"dtype-{arguments.name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({key: value for key, value in record.items() if key != "machine"}, indent=2))


def compared(full: Classifier, half: Classifier, documents: Sequence[Document]) -> dict[str, Any]:
    """Scores of both, and how far apart their answers are."""
    answers = [[result for _, result in one.engine.stream(documents, tokens=True)] for one in (full, half)]
    truth = [full.labels.index(str(document.label)) for document in documents]
    scores = [accuracy_and_f1(truth, [result.label for result in results]) for results in answers]
    one, other = (torch.tensor([result.probabilities for result in results]) for results in answers)
    apart = (one - other).abs().amax(1)
    pairs = list(zip(*answers, strict=True))
    return {
        "documents": len(documents),
        "scores": {full.dtype: scores[0], half.dtype: scores[1]},
        "labels_changed": sum(a.label != b.label for a, b in pairs),
        "surviving_tokens_changed": sum(a.tokens != b.tokens for a, b in pairs),
        "probability_difference": {
            "mean": float(apart.mean()),
            "median": float(apart.median()),
            "max": float(apart.max()),
        },
    }


if __name__ == "__main__":
    main()
