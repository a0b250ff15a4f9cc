"""A made-up data set for the scripts of benchmarks/, and a dense classifier of it."""

import json
from pathlib import Path

from tokensieve import ReductionConfig
from tokensieve.data import DataSplits, Document
from tokensieve.training.recipe import Recipe
from tokensieve.training.train import train
from unit.training.keyword_documents import labelled_documents


def long_documents(count: int, seed: int) -> list[Document]:
    """Six documents of one label on end, so that most are long enough to be pruned; two labels in turns."""
    made = []
    for number in range(count):
        shares = (1, 0, 0) if number % 2 else (0, 1, 0)
        some = labelled_documents(6, 1000 * seed + number, shares)
        made.append(Document(" ".join(one.text for one in some), some[0].label, "made up", number + 1))
    return made


def write_set(folder: Path) -> None:
    """60 documents for training, 20 for validation and 30 for test."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count, seed in (("train", 60, 0), ("validation", 20, 1), ("test", 30, 2)):
        lines = [json.dumps({"text": one.text, "label": one.label}) for one in long_documents(count, seed)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def train_dense(tiny_bert_dir: Path, output: Path) -> None:
    """A classifier without reduction, trained for one epoch on the documents of `write_set`."""
    recipe = Recipe(epochs=1, batch_size=8, max_length=64, learning_rate=1e-3, floors="none", calibrate=False)
    data = DataSplits(tuple(long_documents(60, 0)), tuple(long_documents(20, 1)))
    train(tiny_bert_dir, ReductionConfig(prune=None, pooling="mean"), data, output, recipe, progress=False)
