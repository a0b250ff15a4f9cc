"""A contender of a benchmark: its config, as a JSON file gives it, and how it becomes something that runs."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tokensieve.errors import ConfigError, MissingExtraError
from tokensieve.runtime.precision import DTYPES
from tokensieve_bench.backbone import Backbone
from tokensieve_bench.flops import Flops, dense_cost
from tokensieve_bench.work import Batch, Order, Work

RUNNING = frozenset({"throughput", "latency", "memory"})
CPU = torch.device("cpu")
FileClassifier = Callable[[Path, Path], None]
"""Reads a JSONL file of documents (field `text`) and writes a JSONL file with a line for each, labels in it."""


@dataclass(frozen=True)
class Setting:
    """The surroundings that contenders are made in.

    Attributes:
        backbone: whose weights they share.
        folder: for files that they need, shared by all processes of a benchmark.
        threads: that a contender may use; torch's are set already.
        texts: real ones of the benchmark, to try settings on.
        max_length: tokens at which these are truncated.
        alone: nobody else in this process needs the backbone.
    """

    backbone: Backbone
    folder: Path
    threads: int
    texts: tuple[str, ...] = ()
    max_length: int = 0
    alone: bool = False


class Contender(ABC):
    """Something that runs, in eval mode.

    Attributes:
        order: of the documents in its batches.
        facts: what a record says of it.
    """

    order: Order = "sorted"
    facts: dict[str, Any]

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Logits [B, C] of a batch."""

    def calls(self, work: Work) -> list[Callable[[], object]]:
        """A pass over the documents, as a call a batch; batches are made here, and not in the calls."""
        return [lambda batch=batch: self.forward(batch) for batch in work.batches(self.order)]  # type: ignore[misc]

    def cost(self, work: Work) -> Flops | None:
        """Mean FLOPs of a document, or None where nobody has counted them."""
        return None


class ModuleContender(Contender):
    """A module of torch that takes input_ids and attention_mask, and gives logits.

    Args:
        module: in eval mode.
        order: of the documents in its batches.
        dtype: that the module is in, by name.
        facts: what a record says of it besides.
    """

    def __init__(self, module: nn.Module, order: Order, dtype: str, facts: dict[str, Any]) -> None:
        self.module, self.order = module, order
        self.facts = {"order": order, "dtype": dtype, **facts}

    def outputs(self, batch: Batch) -> Any:
        """All that the module gives."""
        return self.module(input_ids=batch.input_ids, attention_mask=batch.attention_mask)

    @torch.inference_mode()
    def forward(self, batch: Batch) -> Tensor:
        """Logits [B, C] of a batch."""
        logits: Tensor = self.outputs(batch).logits
        return logits


class DenseContender(ModuleContender):
    """A module that computes the backbone's own function, every token in every layer."""

    def __init__(self, module: nn.Module, backbone: Backbone, order: Order, dtype: str, facts: dict[str, Any]) -> None:
        super().__init__(module, order, dtype, facts)
        self.backbone = backbone

    def cost(self, work: Work) -> Flops | None:
        """Those of the backbone."""
        return dense_cost(self.backbone.ours, work)


class ContenderConfig(ABC):
    """Settings of a contender; one frozen dataclass for each kind, whose fields a JSON file may give.

    Attributes:
        measures: what it can be measured for.
        needs_texts: it reads texts, not ids.
        packages: that it imports beyond the package's own dependencies.
        extra: that brings these.
        modules: to import before memory is counted.
    """

    measures: ClassVar[frozenset[str]] = RUNNING
    needs_texts: ClassVar[bool] = False
    packages: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = "bench"
    modules: ClassVar[tuple[str, ...]] = ()

    def check(self, backbone: Backbone, measure: str) -> None:
        """Refuse, before anything is loaded, what cannot be made of this backbone, on this machine, or measured so.

        Raises:
            ConfigError: settings that do not fit.
            MissingExtraError: a package that is not installed.
        """
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                raise MissingExtraError(f"a contender of kind {type(self).__name__.lower()!r}", package, self.extra)

    def prepare(self, setting: Setting) -> None:  # noqa: B027 - most need nothing
        """Write the files that it needs into the setting's folder."""

    @abstractmethod
    def load(self, setting: Setting) -> Contender:
        """Make it run."""

    def load_for_files(self, setting: Setting) -> tuple[FileClassifier, dict[str, Any]]:
        """For the measure "end_to_end": from file to file, and what a record says of it."""
        raise ConfigError(f"a contender of kind {type(self).__name__.lower()!r} classifies no files")


def check_order(config: Any) -> None:
    """Raise ConfigError unless the field `order` is one."""
    if config.order not in ("given", "sorted"):
        raise ConfigError(f"order={config.order!r}: choose 'sorted' (by length, longest first) or 'given'")


def check_dtype(config: Any, more: tuple[str, ...] = ()) -> None:
    """Raise ConfigError unless the field `dtype` is a type, or one of `more`."""
    if not isinstance(config.dtype, str) or config.dtype not in (*DTYPES, *more):
        raise ConfigError(f"dtype={config.dtype!r}: choose one of {', '.join((*DTYPES, *more))}")
