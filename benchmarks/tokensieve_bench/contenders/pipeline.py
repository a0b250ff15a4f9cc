"""transformers' pipeline, from text to label, at the batch size that suits it best."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from tokensieve.errors import ConfigError
from tokensieve_bench.contenders.contender import Contender, ContenderConfig, FileClassifier, Setting
from tokensieve_bench.flops import Flops, dense_cost
from tokensieve_bench.work import Batch, Work

_TRIED_ON = 64


@dataclass(frozen=True)
class Pipeline(ContenderConfig):
    """`pipeline("text-classification")` as its documentation has it: documents in the order given.

    Attributes:
        batch_sizes: tried on the first documents; the fastest is taken, whatever the batch size of the cell.
    """

    batch_sizes: tuple[int, ...] = (1, 4, 8, 16, 32)

    measures: ClassVar[frozenset[str]] = frozenset({"throughput", "latency", "end_to_end"})
    needs_texts: ClassVar[bool] = True

    def __post_init__(self) -> None:
        sizes: Any = self.batch_sizes
        if not isinstance(sizes, tuple) or not sizes or not all(type(size) is int and size > 0 for size in sizes):
            raise ConfigError(f"batch_sizes={sizes!r}: give a list of whole numbers of 1 or more")

    def load(self, setting: Setting) -> Contender:
        """With its batch size decided."""
        return PipelineContender(*self._classifier(setting), setting)

    def load_for_files(self, setting: Setting) -> tuple[FileClassifier, dict[str, Any]]:
        """A loop over the lines of a file, as its users write it."""
        classify, facts = self._classifier(setting)

        def classify_file(source: Path, target: Path) -> None:
            with open(source, encoding="utf-8") as lines, open(target, "w", encoding="utf-8") as out:
                for found in classify(json.loads(line)["text"] for line in lines):
                    out.write(json.dumps(found) + "\n")

        return classify_file, facts

    def _classifier(self, setting: Setting) -> tuple[Callable[..., Iterator[Any]], dict[str, Any]]:
        """The pipeline over a stream of texts, and what was found about batch sizes."""
        from transformers import pipeline

        backbone = setting.backbone
        made: Any = pipeline("text-classification", model=backbone.model, tokenizer=backbone.tokenizer, device="cpu")

        def classify(texts: Iterable[str], size: int) -> Iterator[Any]:
            stream = (text for text in texts)  # a generator, and no other iterator, is a stream to it
            yield from made(stream, batch_size=size, truncation=True, max_length=setting.max_length)

        def seconds(size: int) -> float:
            start = time.perf_counter()
            list(classify(setting.texts[:_TRIED_ON], size))
            return time.perf_counter() - start

        list(classify(setting.texts[:4], 4))  # warms up
        tried = {size: seconds(size) for size in self.batch_sizes} if len(self.batch_sizes) > 1 else {}
        best = min(tried, key=tried.__getitem__) if tried else self.batch_sizes[0]
        facts = {"order": "given", "dtype": "float32", "batch_size": best, "tried_seconds": tried}
        return lambda texts, size=best: classify(texts, size), facts


class PipelineContender(Contender):
    """The pipeline on the texts of a cell; its time has tokenization in it."""

    def __init__(self, classify: Callable[..., Iterator[Any]], facts: dict[str, Any], setting: Setting) -> None:
        self.classify, self.facts, self.order, self.setting = classify, facts, "given", setting

    def forward(self, batch: Batch) -> Tensor:
        """Not offered: it reads texts."""
        raise NotImplementedError

    def calls(self, work: Work) -> list[Callable[[], object]]:
        """One over all texts; in batches of 1 one for each."""
        if work.batch > 1:
            return [lambda: list(self.classify(work.texts))]
        return [lambda text=text: list(self.classify([text], 1)) for text in work.texts]  # type: ignore[misc]

    def cost(self, work: Work) -> Flops:
        """Those of the backbone."""
        return dense_cost(self.setting.backbone.ours, work)
