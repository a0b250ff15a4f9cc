"""The effect of a pruning threshold: tokens, accuracy, speed and memory -> results/thresholds/<set>.json.

    python benchmarks/accuracy/thresholds.py benchmarks/configs/accuracy/thresholds.json --data DATA --threads 1 \
        --dense 20newsgroups=FOLDER --dense imdb=FOLDER

It starts from a dense classifier of each set: the folder that --dense names, else the run "dense" of train.py with the
config that "start" names. The score is fitted once, to the gradients of that classifier. For each threshold the head's
last layer is refitted, in closed form; nothing is trained. The validation documents, by which the report chooses a
threshold, and the test documents are answered once. Speed is seconds of whole passes over the first test documents,
dense and all thresholds in interleaved rounds, from texts to labels. Memory is the peak of a process that loads the
classifier and answers the first documents, less what imports had taken.

A step that is in the record is not repeated, as long as config and dense classifier are the same: the command can be
stopped and given again. The classifiers lie in build/thresholds/<set>/. `python -m tokensieve_bench.report` makes the
table and the picture.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tokensieve import ReductionConfig, compress, load
from tokensieve.data import DataSplits, Document
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.memory import peak_memory_bytes
from tokensieve.reduce.select.threshold import Threshold
from tokensieve.runtime.engine import Engine
from tokensieve.runtime.results import Result
from tokensieve.training.fits.agreement import agreement
from tokensieve.training.fits.head_refit import RidgeMap, document_vectors
from tokensieve.training.fits.importance import fit_importance
from tokensieve.training.fits.sample import Sample
from tokensieve_bench.machine import machine
from tokensieve_bench.places import RESULTS, ROOT
from tokensieve_bench.process import resident_bytes, use_threads
from tokensieve_bench.record_files import write_fields
from tokensieve_bench.rounds import time_interleaved
from tokensieve_bench.runs import config_parser, configs_of, run_folder, splits_of, weights_digest

CPU = torch.device("cpu")
DENSE = "dense"
ALONE = "--alone"


def main() -> None:
    """All sets of a config, or those that are named; with --alone the memory of one classifier."""
    if sys.argv[1:2] == [ALONE]:
        print(json.dumps(memory_alone(Path(sys.argv[2]), Path(sys.argv[3]))))
        return
    parser = config_parser()
    parser.add_argument("--dense", action="append", metavar="SET=FOLDER", default=[], help="a dense classifier")
    arguments = parser.parse_args()
    if wrong := [one for one in arguments.dense if "=" not in one]:
        parser.error(f"--dense {wrong[0]}: give SET=FOLDER")
    use_threads(arguments.threads)
    given = dict(one.split("=", 1) for one in arguments.dense)
    for config in configs_of(arguments).values():
        data = config["data"]
        dense = Path(given.get(data) or run_folder(f"{config['start']}-{data}", DENSE, config["seed"]))
        if not (dense / "model.safetensors").is_file():
            parser.error(f"{data}: {dense} is no classifier: name the folder of a dense one with --dense {data}=FOLDER")
        Study(config, dense, splits_of(config, arguments.data), arguments.threads).run()


@dataclass
class Study:
    """The measurements of one set.

    Attributes:
        config: of the set.
        dense: folder of the dense classifier.
        splits: the documents.
        threads: to compute with.
    """

    config: dict[str, Any]
    dense: Path
    splits: DataSplits
    threads: int

    def __post_init__(self) -> None:
        data = self.config["data"]
        self.target, self.folders = RESULTS / "thresholds" / f"{data}.json", ROOT / "build" / "thresholds" / data
        digest = weights_digest(self.dense)
        self.record: dict[str, Any] = {"config": self.config, "dense_digest": digest, "points": {}}
        if self.target.is_file():
            before = json.loads(self.target.read_text(encoding="utf-8"))
            if all(before.get(key) == self.record[key] for key in ("config", "dense_digest")):
                self.record = before

    @property
    def names(self) -> list[str]:
        """The contenders: dense, and the thresholds as they are written."""
        return [DENSE, *map(str, self.config["thresholds"])]

    @cached_property
    def tokenizer(self) -> Any:
        """The dense classifier's."""
        return load(self.dense, device="cpu").engine.tokenizer

    @cached_property
    def sample(self) -> Sample:
        """The training documents that scores and heads are fitted to."""
        documents = TokenizedDocuments(self.splits.train, self.tokenizer, self.config["max_length"])
        return Sample(documents, self.tokenizer, seed=self.config["seed"])

    @cached_property
    def targets(self) -> Tensor:
        """The dense classifier's vectors of the sample."""
        return document_vectors(load(self.dense, device="cpu").model, self.sample, CPU)

    @cached_property
    def scores(self) -> Tensor:
        """The weights of the score, which all thresholds share; what their fit tells goes into the record."""
        model = compress(self.dense, self.settings(1.0), tokenizer=self.tokenizer)
        r2 = fit_importance(model, self.dense, self.sample, CPU)
        held_out = TokenizedDocuments(self.splits.validation, self.tokenizer, self.config["max_length"])
        found = agreement(model, self.dense, replace(self.sample, documents=held_out), CPU)
        ranks = {number: {"spearman": own["spearman"]} for number, own in found.items()}  # no threshold is meant yet
        self.record |= {"importance_r2": r2, "importance_agreement": ranks}
        weights: Tensor = model.encoder.layer[0].importance.weight.clone()
        return weights

    def settings(self, threshold: float) -> ReductionConfig:
        """The preset with this threshold."""
        settings = ReductionConfig.preset(self.config["preset"])
        assert settings.prune is not None
        select = Threshold(threshold=threshold, relative=self.config["relative"])
        return replace(settings, prune=replace(settings.prune, select=select))

    def run(self) -> None:
        """Every step that is not in the record yet."""
        for name in self.names:
            if name not in self.record["points"] or not self.folder(name).is_dir():
                self.record["points"][name] = self.answered(name)
                self.save()
        if "seconds" not in self.record:
            self.record["seconds"], self.record["machine"] = self.timed(), machine(self.threads)
            self.save()
        self.record.setdefault("memory", {})
        for name in self.names:
            if name not in self.record["memory"]:
                self.record["memory"][name] = self.memory(name)
                self.save()
        print(f"{self.config['data']}: {self.target}")

    def save(self) -> None:
        """Write what is known."""
        write_fields(self.target, self.record)

    def folder(self, name: str) -> Path:
        """The folder of a contender's classifier."""
        return self.dense if name == DENSE else self.folders / name

    def answered(self, name: str) -> dict[str, Any]:
        """A contender's answers by split."""
        if name != DENSE:
            self.make(float(name), self.folder(name))
        engine = load(self.folder(name), device="cpu").engine
        return {split: self.scored(engine, getattr(self.splits, split)) for split in ("validation", "test")}

    def scored(self, engine: Engine, documents: tuple[Document, ...]) -> dict[str, Any]:
        """The answers to some documents, and the share of their tokens that is kept."""
        labels = self.splits.label_names
        results: list[Result] = engine.classify(documents)
        truth = [labels.index(str(document.label)) for document in documents]
        right = [int(result.label == true) for result, true in zip(results, truth, strict=True)]
        return {
            "accuracy": sum(right) / len(right),
            "share_kept": sum(result.kept[-1] / result.length for result in results) / len(results),
            "mean_length": sum(result.length for result in results) / len(results),
            "right": "".join(map(str, right)),
        }

    @torch.no_grad()
    def make(self, threshold: float, folder: Path) -> None:
        """The classifier of a threshold: scores as fitted, the head refitted."""
        model = compress(self.dense, self.settings(threshold), tokenizer=self.tokenizer)
        model.encoder.layer[0].importance.weight.copy_(self.scores)
        RidgeMap(document_vectors(model, self.sample, CPU), self.targets).fold_into(model.head.classifier)
        model.config.tokenize_length = self.config["max_length"]
        model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def timed(self) -> dict[str, list[float]]:
        """Seconds of each contender by round."""
        documents = self.splits.test[: self.config["timed"]["documents"]]
        engines = {name: load(self.folder(name), device="cpu").engine for name in self.names}
        works = {name: partial(engine.classify, documents) for name, engine in engines.items()}
        return time_interleaved(works, self.config["timed"]["rounds"])

    def memory(self, name: str) -> dict[str, int]:
        """Peak and loaded bytes of a contender, in a process of its own."""
        texts = self.folders / "texts.json"
        texts.parent.mkdir(parents=True, exist_ok=True)
        some = self.splits.test[: self.config["memory"]["documents"]]
        texts.write_text(json.dumps([document.text for document in some]), encoding="utf-8")
        command = [sys.executable, __file__, ALONE, str(self.folder(name)), str(texts)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
        return found


def memory_alone(folder: Path, texts: Path) -> dict[str, int]:
    """The peak of this process while a classifier answers, and what it takes when it is loaded, less the imports."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    before = resident_bytes()
    classifier = load(folder, device="cpu")
    loaded = resident_bytes() - before
    classifier.predict(json.loads(texts.read_text(encoding="utf-8")))
    return {"peak_bytes": max(peak_memory_bytes(CPU) - before, loaded), "loaded_bytes": loaded}


if __name__ == "__main__":
    main()
