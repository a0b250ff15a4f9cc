"""Distillation: what a trained classifier, the teacher, makes of the training documents, and a loss that follows it.

Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network" (2015). Documents are not augmented, so
the teacher reads each of them once, before training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset
from transformers import AutoModelForSequenceClassification

from tokensieve.backbones.loading import load_config, load_tokenizer, load_weights
from tokensieve.cascade.build import EncoderClassifier, read_alone
from tokensieve.data.documents import Document
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.errors import ConfigError
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.training.loss import PADDING_LABEL
from tokensieve.training.recipe import Recipe

LOGITS, POOLED = "teacher_logits", "teacher_pooled"
_BATCH = 32


@torch.inference_mode()
def teacher_targets(
    recipe: Recipe, documents: Sequence[Document], labels: Sequence[str], device: torch.device
) -> dict[str, Tensor]:
    """What the recipe's teacher makes of documents; a cascade answers all of them by its second stage.

    Args:
        recipe: names the teacher: the folder of a classifier that `train` wrote.
        documents: all of them are read once.
        labels: of the student, in the order of its class ids.
        device: to compute on.

    Returns:
        `LOGITS` [N, C] float32, columns in the order of `labels`; and `POOLED` [N, d] where the recipe weighs it.

    Raises:
        CheckpointError: no classifier there.
        ConfigError: the teacher has other labels.
    """
    assert recipe.teacher is not None
    model, tokenizer = _load(recipe.teacher, labels, device)
    items = TokenizedDocuments(documents, tokenizer, model.config.truncation_length())
    order = items.lengths.argsort(descending=True).tolist()
    columns = [model.config.label_names.index(label) for label in labels]
    found: dict[str, list[Tensor]] = {LOGITS: [], POOLED: []}
    for start in range(0, len(order), _BATCH):
        batch = tokenizer.pad([items[i] for i in order[start : start + _BATCH]], return_tensors="pt")
        output = read_alone(model, 1, **{name: values.to(device) for name, values in batch.items()})
        found[LOGITS].append(output.logits[:, columns].float().cpu())
        found[POOLED].append(output.pooled.float().cpu())
    wanted = (LOGITS, POOLED) if recipe.distill_pooled else (LOGITS,)
    place = torch.tensor(order).argsort()
    return {name: torch.cat(found[name])[place] for name in wanted}


def _load(teacher: str, labels: Sequence[str], device: torch.device) -> tuple[EncoderClassifier, Any]:
    path = Path(teacher)
    config = load_config(path)
    if not isinstance(config, TokensieveConfig):
        raise ConfigError(f"teacher={teacher!r}: holds a {config.model_type!r} model; give a folder that train wrote")
    if sorted(config.label_names) != sorted(labels):
        raise ConfigError(
            f"teacher={teacher!r}: its labels {', '.join(config.label_names[:5])} ... are not those of the data, "
            f"{', '.join(labels[:5])} ...: train it on the same data"
        )
    model: Any = load_weights(AutoModelForSequenceClassification, path, strict=True)
    torch.nn.Module.to(model, device=device)
    return model.eval(), load_tokenizer(path, config)


class Taught(Dataset[dict[str, Any]]):
    """Training documents, each with what the teacher made of it."""

    def __init__(self, documents: TokenizedDocuments, targets: Mapping[str, Tensor]) -> None:
        self.documents, self.targets = documents, targets

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.documents[index] | {name: rows[index].tolist() for name, rows in self.targets.items()}


class TaughtLoss:
    """A loss that looks at what a teacher said of the batch; `WholeStepsTrainer` sets it, and takes it away again."""

    targets: Mapping[str, Tensor] | None = None

    @staticmethod
    def documents(labels: Tensor, num_items_in_batch: Any = None) -> tuple[Tensor, Any]:
        """Which documents of a batch, [B], do not only fill it up; and how many those of the whole optimizer step are,
        whose items Trainer counts: documents, or pairs of document and label.
        """
        real = labels.ne(PADDING_LABEL)
        items = real.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
        return (real, items) if real.dim() == 1 else (real.any(1), items / real.shape[1])


class DistilledLoss(TaughtLoss):
    """A loss on labels, and beside it, while `targets` are set, one that follows the teacher.

    (1 - w) loss + w T^2 KL(teacher || student) at temperature T, for several labels a document the binary cross entropy
    with the teacher's probabilities in its place; and v (1 - cosine of the two document vectors).

    Args:
        loss: as Trainer's `compute_loss_func`.
        recipe: w, T and v.
    """

    def __init__(self, loss: Callable[..., Tensor], recipe: Recipe) -> None:
        self.loss, self.recipe = loss, recipe

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        """Of a batch; documents that only fill it up count for nothing."""
        own = self.loss(outputs, labels, num_items_in_batch)
        if self.targets is None:
            return own
        weight, real = self.recipe.distill_weight, labels.ne(PADDING_LABEL)
        items = real.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
        followed = self._follow(outputs["logits"].float(), self.targets[LOGITS], real) / items
        loss = (1 - weight) * own + weight * followed
        if POOLED in self.targets:
            away = 1 - F.cosine_similarity(outputs["pooled"].float(), self.targets[POOLED], dim=1)
            each, documents = self.documents(labels, num_items_in_batch)
            loss = loss + self.recipe.distill_pooled * (away * each).sum() / documents
        return loss

    def _follow(self, logits: Tensor, teacher: Tensor, real: Tensor) -> Tensor:
        """Summed over the documents, or over documents and labels."""
        heat = self.recipe.distill_temperature
        if real.dim() == 2:
            wanted = (teacher / heat).sigmoid()
            each = F.binary_cross_entropy_with_logits(logits / heat, wanted, reduction="none")
            return heat**2 * (each * real).sum()
        each = F.kl_div((logits / heat).log_softmax(1), (teacher / heat).softmax(1), reduction="none").sum(1)
        return heat**2 * (each * real).sum()
