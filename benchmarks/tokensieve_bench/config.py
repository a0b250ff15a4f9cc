"""A benchmark's config: what is measured, on which documents, and who takes part."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tokensieve.checks import (
    TEXT,
    Check,
    check_choice,
    check_integer,
    check_number,
    check_values,
    is_whole,
    shown,
    whole,
)
from tokensieve.errors import ConfigError
from tokensieve_bench.contenders import CONTENDER_CONFIGS, ContenderConfig

Measure = Literal["throughput", "latency", "training", "memory", "end_to_end"]
Metric = Literal["speedup", "p95_speedup", "memory_ratio", "efficiency"]
BEST: Literal["best"] = "best"


_OF_A_BAR = {
    "contender": TEXT,
    "against": TEXT.or_none(),
    "batch": Check(lambda batch: batch in (None, BEST) or is_whole(batch, 1), f"give 1 or more, or {BEST!r}"),
    "length": whole(3).or_none(),
    "what": TEXT,
}


@dataclass(frozen=True)
class DataSet:
    """Documents at their own lengths.

    Attributes:
        set: a file or folder below the folder given as `--data`.
        max_length: documents are truncated to this many tokens.
        split: of a folder.
    """

    set: str
    max_length: int
    split: str = "test"

    def __post_init__(self) -> None:
        _check_text(self, "set")
        _check_text(self, "split")
        check_integer(self, "max_length", 3)


@dataclass(frozen=True)
class Training:
    """A training step, by AdamW.

    Attributes:
        attention_dropout: on the attention weights, of all contenders alike.
        dropout: elsewhere.
        steps: timed steps of a process, after one to warm up.
        learning_rate: so small that the weights hardly move.
    """

    attention_dropout: float
    dropout: float = 0.1
    steps: int = 1
    learning_rate: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("attention_dropout", "dropout"):
            check_number(self, name, lambda p: 0 <= p < 1, "a number in [0, 1)")
        check_number(self, "learning_rate", lambda rate: rate > 0, "a number above 0")
        check_integer(self, "steps", 1)


@dataclass(frozen=True)
class Bar:
    """The figure that a contender has to reach, in every cell that is meant.

    Attributes:
        contender: whose figure.
        metric: "speedup" (times faster), "p95_speedup" (the same by the 95th percentile of latencies), "memory_ratio"
            (peak as a share), "efficiency" (speed-up / FLOP reduction).
        at_least: the bar from below, or
        at_most: the bar from above.
        against: the contender to compare with; None: the baseline.
        batch: cells of this batch size; "best": each of the two at its fastest batch size; None: cells of all.
        length: cells of this length; None: of all.
        what: its name in a table; "": the contender and the metric.
    """

    contender: str
    metric: Metric
    at_least: float | None = None
    at_most: float | None = None
    against: str | None = None
    batch: int | Literal["best"] | None = None
    length: int | None = None
    what: str = ""

    def __post_init__(self) -> None:
        check_values(vars(self), _OF_A_BAR)
        check_choice(self, "metric", Metric)
        if (self.at_least is None) == (self.at_most is None):
            raise ConfigError("give one of at_least and at_most")
        check_number(self, "at_most" if self.at_least is None else "at_least", lambda bar: bar > 0, "a number above 0")


@dataclass(frozen=True)
class BenchConfig:
    """A whole benchmark. Its cells are every batch size at every length, or every batch size over the data set.

    Attributes:
        backbone: "default" (the embedded model), the name of a shape with random weights ("bert-base", "tiny"), or the
            folder of a checkpoint of transformers.
        measure: "throughput" (seconds of a pass over all documents), "latency" (batch 1, seconds of every document),
            "training" (seconds of a step, and peak memory), "memory" (peak at inference), "end_to_end" (from a file of
            documents to a file of labels).
        contenders: who takes part, by name.
        baseline: the contender that the others are compared with.
        documents: of a cell; of a data set the first so many.
        batches: documents of a batch.
        lengths: tokens of a document, special tokens included; random ids. Or
        data: documents at their own lengths.
        rounds: that count; one to warm up comes before them.
        seed: of random weights and ids.
        num_labels: of the classifiers.
        training: how a step is made, for the measure of that name alone.
        bars: what is asked for.
    """

    backbone: str
    measure: Measure
    contenders: Mapping[str, ContenderConfig]
    baseline: str
    documents: int
    batches: tuple[int, ...] = (1,)
    lengths: tuple[int, ...] = ()
    data: DataSet | None = None
    rounds: int = 3
    seed: int = 0
    num_labels: int = 2
    training: Training | None = None
    bars: tuple[Bar, ...] = ()

    def __post_init__(self) -> None:
        for name in ("backbone", "baseline"):
            _check_text(self, name)
        check_choice(self, "measure", Measure)
        for name, least in (("documents", 1), ("rounds", 1), ("seed", 0), ("num_labels", 2)):
            check_integer(self, name, least)
        _check_sizes(self, "batches", 1)
        self._check_documents()
        self._check_contenders()
        for bar in self.bars:
            self._check_bar(bar)

    def _check_documents(self) -> None:
        if (self.data is None) == (not self.lengths):
            raise ConfigError("give one of lengths (tokens of a document) and data (documents at their own lengths)")
        if self.lengths:
            _check_sizes(self, "lengths", 3)
        if max(self.batches) > self.documents:
            raise ConfigError(f"documents={self.documents}: give at least one batch of {max(self.batches)}")
        if self.measure in ("latency", "end_to_end") and self.batches != (1,):
            raise ConfigError(
                f"batches={list(self.batches)}: with measure {self.measure!r} documents come one at a time, or as each "
                "contender likes it; leave batches out"
            )
        if self.measure == "end_to_end" and self.data is None:
            raise ConfigError("measure 'end_to_end' reads real documents: give data")
        if (self.measure == "training") != (self.training is not None):
            raise ConfigError("measure 'training' and the settings of the same name go together: give both or neither")

    def _check_contenders(self) -> None:
        if self.baseline not in self.contenders:
            raise ConfigError(f"baseline={self.baseline!r}: choose one of {', '.join(map(repr, self.contenders))}")
        for name, contender in self.contenders.items():
            if self.measure not in contender.measures:
                fitting = ", ".join(
                    repr(kind) for kind, config in CONTENDER_CONFIGS.items() if self.measure in config.measures
                )
                raise ConfigError(
                    f"contender {name!r} cannot be measured for {self.measure}; kinds that can: {fitting}"
                )
            if contender.needs_texts and self.data is None:
                raise ConfigError(
                    f"contender {name!r} reads texts, and fixed lengths are made of random ids: give data"
                )

    def _check_bar(self, bar: Bar) -> None:
        for name in (bar.contender, bar.against):
            if name is not None and name not in self.contenders:
                raise ConfigError(f"a bar names the contender {name!r}: choose one of {', '.join(self.contenders)}")
        if bar.batch == BEST and self.measure != "throughput":
            raise ConfigError(f"a bar names the batch size {BEST!r}: it is found by the measure 'throughput' alone")
        if bar.batch not in (None, BEST, *self.batches):
            raise ConfigError(f"a bar names the batch size {bar.batch!r}: choose one of {list(self.batches)}")
        if bar.length is not None and bar.length not in self.lengths:
            raise ConfigError(f"a bar names the length {bar.length!r}: choose one of {list(self.lengths)}")

    def only(self, names: tuple[str, ...]) -> BenchConfig:
        """The same with these contenders, the baseline, and the bars that they can be held to.

        Raises:
            ConfigError: a name that no contender has.
        """
        if unknown := [name for name in names if name not in self.contenders]:
            raise ConfigError(f"--only {unknown[0]!r}: choose from {', '.join(map(repr, self.contenders))}")
        kept = {name: contender for name, contender in self.contenders.items() if name in (*names, self.baseline)}
        bars = tuple(bar for bar in self.bars if bar.contender in kept and (bar.against or self.baseline) in kept)
        return dataclasses.replace(self, contenders=kept, bars=bars)


def _check_text(settings: object, name: str) -> None:
    value = getattr(settings, name)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name}={shown(value)}: give a text")


def _check_sizes(settings: object, name: str, least: int) -> None:
    values = getattr(settings, name)
    numbers = isinstance(values, tuple) and all(is_whole(value, least) for value in values)
    if not numbers or not values or len(set(values)) < len(values):
        given = shown(list(values) if isinstance(values, tuple) else values)
        raise ConfigError(f"{name}={given}: give a list of different whole numbers of {least} or more")
