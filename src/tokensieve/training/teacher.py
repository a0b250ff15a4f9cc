"""A teacher: a trained classifier, whose answers to all training documents are taken once, before training.

Documents are not augmented, so one reading is enough. The losses are in `losses.distillation` and `losses.features`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from tokensieve.backbones.loading import load_config, load_tokenizer, load_weights
from tokensieve.cascade.build import EncoderClassifier, read_alone
from tokensieve.data.documents import Document
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.errors import ConfigError
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.training.fits.sample import padded
from tokensieve.training.losses.batch import LOGITS, POOLED
from tokensieve.training.recipe import Recipe

_BATCH = 32


@torch.inference_mode()
def teacher_targets(
    recipe: Recipe, documents: Sequence[Document], labels: Sequence[str], device: torch.device
) -> dict[str, Tensor]:
    """The teacher's logits and document vectors; a cascade answers all documents by its second stage.

    Args:
        recipe: names the teacher: the folder of a classifier that `train` wrote.
        documents: all of them are read once.
        labels: of the student, in the order of its class ids.
        device: to compute on.

    Returns:
        `LOGITS` [N, C] float32, columns in the order of `labels`; and `POOLED` [N, d] if `distill_pooled` is above 0.

    Raises:
        CheckpointError: no classifier there.
        ConfigError: the teacher has other labels.
    """
    assert recipe.teacher is not None
    model, tokenizer = _load(recipe.teacher, labels, device)
    items = TokenizedDocuments(documents, tokenizer, model.config.truncation_length())
    order = items.lengths.argsort(descending=True).tolist()
    columns = [model.config.label_names.index(label) for label in labels]
    outputs: dict[str, list[Tensor]] = {LOGITS: [], POOLED: []}
    for start in range(0, len(order), _BATCH):
        batch = padded([items[row] for row in order[start : start + _BATCH]], tokenizer, device)
        output = read_alone(model, 1, **batch)
        outputs[LOGITS].append(output.logits[:, columns].float().cpu())
        outputs[POOLED].append(output.pooled.float().cpu())
    wanted = (LOGITS, POOLED) if recipe.distill_pooled else (LOGITS,)
    place = torch.tensor(order).argsort()
    return {name: torch.cat(outputs[name])[place] for name in wanted}


def teacher_config(teacher: str, labels: Sequence[str]) -> TokensieveConfig:
    """The config of a teacher for these labels.

    Raises:
        CheckpointError: no classifier there.
        ConfigError: the teacher has other labels.
    """
    config = load_config(Path(teacher))
    if not isinstance(config, TokensieveConfig):
        raise ConfigError(f"teacher={teacher!r}: holds a {config.model_type!r} model; give a folder that train wrote")
    if sorted(config.label_names) != sorted(labels):
        raise ConfigError(
            f"teacher={teacher!r}: its labels {', '.join(config.label_names[:5])} ... are not those of the data, "
            f"{', '.join(labels[:5])} ...: train it on the same data"
        )
    return config


def _load(teacher: str, labels: Sequence[str], device: torch.device) -> tuple[EncoderClassifier, Any]:
    config, path = teacher_config(teacher, labels), Path(teacher)
    model: Any = load_weights(AutoModelForSequenceClassification, path, strict=True)
    torch.nn.Module.to(model, device=device)
    return model.eval(), load_tokenizer(path, config)
