"""One side of compare_versions.py: a process that answers and times with the tokensieve on its path.

It runs with every version, so it uses the public doors alone: `tokensieve.load` and `results`. A request is a line of
JSON on stdin, its answer a line of JSON on stdout.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers

import tokensieve


class Worker:
    """Holds one loaded classifier and its work.

    Args:
        threads: to compute with.
    """

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self.classifier: Any = None
        self.texts: list[Any] = []

    def about(self) -> dict[str, Any]:
        """What answers here."""
        return {
            "file": tokensieve.__file__,
            "tokensieve": tokensieve.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        }

    def load(self, model: str, texts: list[Any], timed: int, batch_tokens: int | None) -> dict[str, Any]:
        """Load a folder, and take its work: texts to answer, of which the first `timed` are timed; in batches of so
        many tokens, if that is given.
        """
        self.classifier = None
        gc.collect()
        options = {} if batch_tokens is None else {"batch_tokens": batch_tokens}
        self.classifier = tokensieve.load(model, device="cpu", **options)
        self.texts = [tuple(text) if isinstance(text, list) else text for text in texts]
        self.timed = self.texts[:timed]
        return {"labels": list(self.classifier.labels)}

    def answers(self) -> dict[str, Any]:
        """Of every text labels, probabilities, margin, and the tokens kept."""
        config = self.classifier.model.config
        several = config.problem_type == "multi_label_classification"
        thresholds = (config.thresholds or [0.5] * len(self.classifier.labels)) if several else None
        documents = [
            {
                "labels": list(result.labels),
                "probabilities": list(result.probabilities),
                "margin": margin(result.probabilities, thresholds),
                "kept": list(result.kept),
                "tokens": list(result.tokens),
            }
            for result in self.classifier.results(self.texts, tokens=True)
        ]
        return {"documents": documents}

    def round(self) -> dict[str, Any]:
        """Seconds of one pass over the timed work."""
        gc.collect()
        start = time.perf_counter()
        self.classifier.results(self.timed)
        return {"seconds": time.perf_counter() - start}


def margin(probabilities: tuple[float, ...], thresholds: list[float] | None) -> float:
    """How far an answer is from another one: the lead of the first class over the second, or with several labels a
    document the distance of a probability from its threshold, the smallest.
    """
    if thresholds is not None:
        return min(abs(p - least) for p, least in zip(probabilities, thresholds, strict=True))
    first, second = sorted(probabilities, reverse=True)[:2]
    return first - second


def main() -> None:
    """Answer requests until stdin ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    worker = Worker(int(sys.argv[1]))
    requests: dict[str, Callable[..., dict[str, Any]]] = {
        "about": worker.about,
        "load": worker.load,
        "answers": worker.answers,
        "round": worker.round,
    }
    for line in sys.stdin:
        request = json.loads(line)
        answer = requests[request.pop("do")](**request)
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
