"""What trainings of 0.1.0 leave: a finished one with its record, a fitted estimator, and one that was interrupted."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import BertConfig, BertForSequenceClassification, TrainerCallback

import tokensieve
from compat import documents
from tokensieve import PTCConfig, Recipe
from tokensieve.data import DataSplits, Document
from tokensieve.training.train import train

RECIPE: dict[str, Any] = {"learning_rate": 1e-2, "epochs": 2, "batch_size": 16, "max_length": documents.POSITIONS}
INTERRUPTED: dict[str, Any] = {"learning_rate": 3e-3, "epochs": 2, "batch_size": 16, "max_length": documents.POSITIONS}
SETTINGS = PTCConfig(pruning="ratio", site="hidden", keep_ratio=0.7, pooling="mean")


class Interrupt(TrainerCallback):
    """Ends a training, as Ctrl-C does, ahead of its second step."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 1:
            raise KeyboardInterrupt


def splits() -> DataSplits:
    """The documents of all trainings."""
    parts = documents.labelled(96, seed=1), documents.labelled(48, seed=2)
    rows = ((Document(text, label, "made up", line) for line, (text, label) in enumerate(part, 1)) for part in parts)
    return DataSplits(*map(tuple, rows))


def make(target: Path) -> None:
    """Write `start`, `trained` with `trained.dense`, `estimator` and `interrupted`, and what these answer."""
    from compat.make import answers, steady, write_answers
    from tokensieve.training.stages import train_in_stages  # where 0.1.0 has it

    target = target.resolve()
    tokenizer = documents.tokenizer()
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), max_position_embeddings=documents.POSITIONS, initializer_range=0.3, **sizes
    )
    start = target / "trainings" / "start"
    BertForSequenceClassification(config).save_pretrained(start)
    tokenizer.save_pretrained(start)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # records then hold no path
        try:
            shutil.copytree(start, "start")
            settings = PTCConfig.preset("fast", 2)
            train_in_stages("start", settings, splits(), "trained", Recipe(**RECIPE, follow=1), progress=False)
            estimator = tokensieve.PTCClassifier("start", config=SETTINGS, recipe=Recipe(**RECIPE), device="cpu")
            texts, labels = zip(*((own.text, str(own.label)) for own in splits().train), strict=True)
            estimator.fit(list(texts), list(labels)).save("estimator")
            interrupted()
            train("start", SETTINGS, splits(), "interrupted-to-its-end", Recipe(**INTERRUPTED), progress=False)
            own = tokensieve.load("interrupted-to-its-end", device="cpu")
            write_answers(target, "interrupted-to-its-end", answers(own.model, own.engine.tokenizer), own.model)
            for name in ("trained", "trained.dense", "estimator"):
                shutil.copytree(name, target / "trainings" / name)
            shutil.copytree("interrupted.part", target / "trainings" / "interrupted")
        finally:
            os.chdir(before)
    for name in ("trained", "estimator"):
        own = tokensieve.load(target / "trainings" / name, device="cpu")
        found = answers(own.model, own.engine.tokenizer)
        if not steady(found, own.model, own.engine.tokenizer):
            raise SystemExit(f"{name}: its answers hang by rounding errors: train it with another seed")
        write_answers(target, name, found, own.model)


def interrupted() -> None:
    """Leave interrupted.part with one whole checkpoint."""
    options: dict[str, Any] = {"progress": False, "checkpoint_steps": 1, "callbacks": [Interrupt()]}
    try:
        train("start", SETTINGS, splits(), "interrupted", Recipe(**INTERRUPTED), **options)
    except KeyboardInterrupt:
        return
    raise SystemExit("the training was not interrupted")


def versions() -> dict[str, str]:
    """Of what the answers depend on."""
    return {
        "tokensieve": tokensieve.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }
