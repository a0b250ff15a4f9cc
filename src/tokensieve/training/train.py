"""train(): checkpoint + labelled documents -> a folder with model.safetensors, config, tokenizer and training.json."""

from __future__ import annotations

import json
import logging
import platform
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import set_seed

from tokensieve.backbones import compress
from tokensieve.backbones.host import host_config
from tokensieve.backbones.loading import load_config, load_tokenizer
from tokensieve.config import PTCConfig
from tokensieve.data.splits import DataSplits
from tokensieve.data.tokenize import TokenizedDocuments, forget_stored_limits
from tokensieve.memory import peak_memory_bytes
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.training.output import RECORD, check_output, folder_in_the_making
from tokensieve.training.recipe import Recipe
from tokensieve.training.trainer import require_accelerate, run_trainer

logger = logging.getLogger(__name__)


def train(
    base: str | Path,
    settings: PTCConfig,
    splits: DataSplits,
    output: str | Path,
    recipe: Recipe | None = None,
    *,
    device: torch.device | None = None,
    overwrite: bool = False,
    data_name: str = "",
    progress: bool = True,
) -> dict[str, Any]:
    """Train a classifier and save it.

    All work goes to `output`.part, which becomes `output` at the end and is removed on an error.

    Args:
        base: folder or hub name of the checkpoint to start from.
        settings: the reduction settings.
        splits: training, validation and test documents; the last are not looked at.
        output: folder to make.
        recipe: how; None: the paper's.
        device: None: CPU.
        overwrite: replace `output` if it is there.
        data_name: what the record calls the data.
        progress: show progress bars on stderr.

    Returns:
        The record that `training.json` holds: recipe, settings, counts, validation scores by epoch, versions.

    Raises:
        ConfigError: `output` exists, or settings that do not fit the model.
        CheckpointError: `base` cannot be used.
        MissingExtraError: accelerate is not installed.
    """
    require_accelerate()
    recipe, device = recipe or Recipe(), device or torch.device("cpu")
    check_output(output, overwrite)
    recipe.check_validation(len(splits.validation))
    set_seed(recipe.seed)
    model, tokenizer = _start(base, settings, recipe, splits.label_names)
    training, validation = (
        TokenizedDocuments(documents, tokenizer, recipe.max_length, splits.label_names)
        for documents in (splits.train, splits.validation)
    )
    for name, part in (("training", training), ("validation", validation)):
        logger.info("%s: %d documents, %d truncated to %d tokens", name, len(part), part.truncated, recipe.max_length)
    start = time.perf_counter()
    with folder_in_the_making(output) as folder:
        history = run_trainer(model, tokenizer, training, validation, recipe, folder / "checkpoints", device, progress)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        record = {
            "base": Path(base).name if Path(base).is_dir() else str(base),
            "data": data_name,
            "settings": settings.to_dict(),
            "recipe": recipe.to_dict(),
            "documents": {"train": len(training), "validation": len(validation)},
            "truncated": {"train": training.truncated, "validation": validation.truncated},
            "rows": {name: tally.to_dict() for name, tally in splits.tallies.items()},
            "labels": list(splits.label_names),
            "seconds": time.perf_counter() - start,
            "peak_memory_bytes": peak_memory_bytes(device),
            "history": history,
            "best": best_epoch(history, recipe),
            "versions": versions(),
        }
        save_classifier(folder, model, tokenizer, record)
    return record


def _start(
    base: str | Path, settings: PTCConfig, recipe: Recipe, labels: Sequence[str]
) -> tuple[TokensieveForSequenceClassification, Any]:
    """The model before training, and its tokenizer; refuses a length that does not fit before weights are read."""
    config = host_config(load_config(base), base)
    length = config.truncation_length(recipe.max_length)
    tokenizer = load_tokenizer(base, config)
    names, kind = dict(enumerate(labels)), "single_label_classification"
    model = compress(base, settings, tokenizer=tokenizer, id2label=names, problem_type=kind)
    model.config.tokenize_length = length
    return model, tokenizer


def save_classifier(
    folder: Path, model: TokensieveForSequenceClassification, tokenizer: Any, record: dict[str, Any]
) -> None:
    """Weights, config, tokenizer (with its limits set right) and the record of the run."""
    model.save_pretrained(folder)
    forget_stored_limits(tokenizer)
    tokenizer.model_max_length = model.config.longest_document
    tokenizer.save_pretrained(folder)
    (folder / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def best_epoch(history: list[dict[str, Any]], recipe: Recipe) -> dict[str, Any] | None:
    """Validation figures of the epoch whose weights were kept; None without validation."""
    evaluated = [entry for entry in history if "eval_loss" in entry]
    if not evaluated:
        return None
    if recipe.select == "loss":
        return min(evaluated, key=lambda entry: entry["eval_loss"])
    return max(evaluated, key=lambda entry: entry[f"eval_{recipe.select}"])


def versions() -> dict[str, str]:
    """Of what the result depends on."""
    from tokensieve.version import __version__

    return {
        "tokensieve": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
