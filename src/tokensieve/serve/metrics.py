"""Metrics in Prometheus' text format; names of text-embeddings-inference where it has the same figure."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.core import Metric

from tokensieve.runtime.results import Result

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_TOKENS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Counts:
    """Counters whose names end as they are given: prometheus_client's own add `_total`, which TEI's have not."""

    def __init__(self, names: dict[str, str]) -> None:
        self._help, self._lock = names, threading.Lock()
        self._values: dict[str, dict[tuple[tuple[str, str], ...], float]] = {name: defaultdict(float) for name in names}

    def add(self, name: str, amount: float = 1, /, **labels: str) -> None:
        with self._lock:
            self._values[name][tuple(sorted(labels.items()))] += amount

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            values = {name: dict(own) for name, own in self._values.items()}
        for name, own in values.items():
            metric = Metric(name, self._help[name], "unknown")
            for labels, value in own.items() or [((), 0.0)]:
                metric.add_sample(name, dict(labels), value)
            yield metric


class Metrics:
    """What a server counts.

    Args:
        waiting: tells how many texts are in the queue.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self._counts = _Counts(
            {
                "te_request_count": "Requests to classify whose body could be read.",
                "te_request_success": "Those of them that were answered.",
                "te_request_failure": "Those of them that were not, by the kind of the error; left: by the client.",
                "tokensieve_refused": "Refusals of whatever request, by status; 499: the client has left.",
                "tokensieve_documents": "Texts that were classified, by the stage that answered.",
                "tokensieve_tokens_seen": "Tokens of the texts that an encoder read.",
                "tokensieve_tokens_kept": "Those of them that were left at the last layer.",
                "tokensieve_truncated": "Texts that were truncated.",
                "tokensieve_reloads": "Times that the model was replaced.",
                "tokensieve_reload_failures": "Times that a new model could not be loaded.",
            }
        )
        self.registry.register(self._counts)
        self._duration = self._histogram("te_request_duration", "Seconds from a request's body to its answer.")
        self._tokenizing = self._histogram("te_request_tokenization_duration", "Seconds of tokenizing a request.")
        self._queueing = self._histogram("te_request_queue_duration", "Seconds that a request waited for the model.")
        self._inference = self._histogram("te_request_inference_duration", "Seconds that the model took.")
        self._length = self._histogram("te_request_input_length", "Tokens of a text.", _TOKENS)
        self._texts = self._histogram("te_batch_next_size", "Texts of a batch.", _TEXTS)
        self._tokens = self._histogram("te_batch_next_tokens", "Tokens of a batch.", _TOKENS)
        Gauge("te_queue_size", "Texts in the queue.", registry=self.registry).set_function(waiting)

    def _histogram(self, name: str, text: str, buckets: Sequence[float] = _SECONDS) -> Histogram:
        return Histogram(name, text, buckets=buckets, registry=self.registry)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)

    def request(self, texts: int) -> None:
        """A request has come."""
        self._counts.add("te_request_count", method="single" if texts == 1 else "batch")

    def success(self, texts: int, seconds: float) -> None:
        """A request was answered."""
        self._counts.add("te_request_success", method="single" if texts == 1 else "batch")
        self._duration.observe(seconds)

    def failure(self, kind: str) -> None:
        """A request was not answered."""
        self._counts.add("te_request_failure", err=kind.lower())

    def refused(self, status: int) -> None:
        """Some request, also one that is not to classify or cannot be read, has this status."""
        self._counts.add("tokensieve_refused", status=str(status))

    def tokenized(self, seconds: float, truncated: int) -> None:
        """The texts of a request have their tokens."""
        self._tokenizing.observe(seconds)
        self._counts.add("tokensieve_truncated", truncated)

    def read(self, queue_seconds: float, model_seconds: float) -> None:
        """The model has read the texts of a request."""
        self._queueing.observe(queue_seconds)
        self._inference.observe(model_seconds)

    def batch(self, texts: int, tokens: int) -> None:
        """The model begins a batch."""
        self._texts.observe(texts)
        self._tokens.observe(tokens)

    def results(self, results: Iterable[Result]) -> None:
        """Texts are classified."""
        for result in results:
            self._counts.add("tokensieve_documents", stage=result.stage)
            if result.kept:
                self._length.observe(result.length)
                self._counts.add("tokensieve_tokens_seen", result.length)
                self._counts.add("tokensieve_tokens_kept", result.kept[-1])

    def reloaded(self, well: bool) -> None:
        """A new model took the place of the old one, or could not be loaded."""
        self._counts.add("tokensieve_reloads" if well else "tokensieve_reload_failures")
