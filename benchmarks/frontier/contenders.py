"""Who could do the job, each from texts to labels: floors, rivals' runtimes, shallower models, and ours."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from tokensieve import load
from tokensieve.data import DataSplits
from tokensieve.quantize.gate import Gate
from tokensieve.quantize.quantize import quantize
from tokensieve.runtime.precision import is_native
from tokensieve.training.fits.bag import texts_of
from tokensieve_bench.contenders import Onnx, OpenVino, Setting, Transformers
from tokensieve_bench.contenders.contender import CPU, ContenderConfig
from tokensieve_bench.floors import static_floor
from tokensieve_bench.runs import LOGITS, run_folder, weights_digest
from tokensieve_bench.trained import Answer, TrainedBackbone, cascade_folder, padded

UNLABELLED = 1000
"""Training documents that no run had, by which int8 ranges are fitted, beside those of validation."""
BATCH = 8
"""Documents in a batch of the rivals, for their answers."""
BATCHES = (8, 16, 32)
"""Sizes of batches that are tried; a rival is timed at its fastest."""
SHALLOW = "shallow"
"""The config of shallower models."""


@dataclass(frozen=True)
class Trained:
    """The runs of one set and seed, from which all contenders are made.

    Attributes:
        config: of one set.
        name: of the config and set.
        seed: of the runs.
        splits: documents, with UNLABELLED training documents more.
        threads: for all.
    """

    config: dict[str, Any]
    name: str
    seed: int
    splits: DataSplits
    threads: int

    def has(self, contender: str) -> bool:
        """Whether its packages and run are here."""
        if contender.endswith("bf16") and not is_native(torch.bfloat16, CPU):
            return False  # a processor that emulates it says nothing about the others
        if contender in RIVALS:
            return all(importlib.util.find_spec(package) for package in RIVALS[contender].packages)
        return contender != "3 layers" or (self.shallow / LOGITS).is_file()

    @property
    def max_length(self) -> int:
        """Tokens of a document at most."""
        length: int = self.config["recipe"]["max_length"]
        return length

    @property
    def dense(self) -> Path:
        """The folder of the dense classifier."""
        return run_folder(self.name, "dense", self.seed)

    @property
    def fast(self) -> Path:
        """The folder of `fast`."""
        return run_folder(self.name, "fast", self.seed)

    @property
    def shallow(self) -> Path:
        """The folder of the model with half of the layers, whose one seed is 0."""
        return run_folder(f"{SHALLOW}-{self.config['data']}", "3 layers", 0)

    @cached_property
    def made_of(self) -> str:
        """A mark of all weights: what was answered by others is asked for again."""
        folders = (self.dense, self.fast, self.shallow)
        marks = [weights_digest(folder)[:12] for folder in folders if (folder / "model.safetensors").is_file()]
        return "-".join(marks)

    @cached_property
    def cascade(self) -> Path:
        """The folder of the preset `cascade`: a bag of words ahead of the first stage of `fast`."""
        return cascade_folder(self.splits, self.name, self.seed, 0.5)

    @cached_property
    def cascade_of_one_point(self) -> Path:
        """The same; its bag of words may be expected to lose one point of accuracy, where the preset allows half."""
        return cascade_folder(self.splits, self.name, self.seed, 1.0)

    def int8(self, folder: Path) -> Path:
        """The same with int8 weights, as `tokensieve quantize` makes it; the gate refuses none."""
        target = folder.with_name(f"{folder.name}-int8-{weights_digest(folder)[:12]}")
        if not target.is_dir():
            known = (*self.splits.validation, *self.splits.unlabelled)
            quantize(folder, target, [replace(each, label=None) for each in known], gate=Gate(1.0, 1.0))
        return target

    @cached_property
    def rivals(self) -> Setting:
        """The folder that the dense classifier is exported to, and the documents by which it is quantised."""
        folder = self.dense.with_name(f"rivals-seed{self.seed}-{weights_digest(self.dense)[:12]}")
        folder.mkdir(exist_ok=True)
        texts = texts_of([*self.splits.validation, *self.splits.unlabelled])
        return Setting(TrainedBackbone(self.dense), folder, self.threads, tuple(texts), self.max_length)


def ours(folder: Callable[[Trained], Path], trained: Trained) -> Answer:
    """A classifier of ours, in batches as it makes them."""
    answer: Answer = load(folder(trained), device="cpu").predict
    return answer


def by_batch(rival: str, trained: Trained) -> Callable[[int], Answer]:
    """The dense classifier in transformers' code (SDPA) or in another runtime, by the size of its batches."""
    setting = trained.rivals
    forward = RIVALS[rival].load(setting).forward
    return partial(padded, forward, setting.backbone.tokenizer, trained.splits.label_names, trained.max_length)


def in_runtime(rival: str, trained: Trained) -> Answer:
    """The same in batches of BATCH."""
    return by_batch(rival, trained)(BATCH)


def words(trained: Trained) -> Answer:
    """The bag of words of the cascade, alone."""
    first = load(trained.cascade, device="cpu").engine.words_first
    assert first is not None
    return lambda texts: [first.words.labels[row] for row in first.words.predict(texts)]


def static(trained: Trained) -> Answer:
    """Logistic regression on means of the default model's word vectors."""
    floor, labels = static_floor(trained.splits, trained.max_length), trained.splits.label_names
    return lambda texts: [labels[row] for row in floor.answer(texts).argmax(1)]


RIVALS: Mapping[str, ContenderConfig] = {
    "transformers": Transformers(),
    "transformers bf16": Transformers(dtype="bfloat16"),
    "ONNX Runtime int8": Onnx(precision="int8"),
    "OpenVINO bf16": OpenVino(precision="bfloat16"),
    "OpenVINO int8": OpenVino(precision="int8"),
}
"""The dense classifier elsewhere."""
CONTENDERS: Mapping[str, Callable[[Trained], Answer]] = {
    **{rival: partial(in_runtime, rival) for rival in RIVALS},
    "3 layers": partial(ours, lambda trained: trained.shallow),
    "words": words,
    "static": static,
    "dense": partial(ours, lambda trained: trained.dense),
    "dense int8": partial(ours, lambda trained: trained.int8(trained.dense)),
    "fast": partial(ours, lambda trained: trained.fast),
    "fast int8": partial(ours, lambda trained: trained.int8(trained.fast)),
    "cascade": partial(ours, lambda trained: trained.cascade),
    "cascade int8": partial(ours, lambda trained: trained.int8(trained.cascade)),
    "cascade int8, 1 point": partial(ours, lambda trained: trained.int8(trained.cascade_of_one_point)),
}
"""The maker of each contender, by its name."""
