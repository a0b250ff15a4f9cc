"""Distillation: the answers of a trained classifier, the teacher, and a loss that pulls the student towards them.

Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network" (2015). Documents are not augmented, so
the teacher reads each of them once, before training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from tokensieve.old_names import renamed
from tokensieve.training.loss import counted, number_of
from tokensieve.training.recipe import Recipe

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)

LOGITS, POOLED = "teacher_logits", "teacher_pooled"
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
        batch = tokenizer.pad([items[i] for i in order[start : start + _BATCH]], return_tensors="pt")
        output = read_alone(model, 1, **{name: values.to(device) for name, values in batch.items()})
        outputs[LOGITS].append(output.logits[:, columns].float().cpu())
        outputs[POOLED].append(output.pooled.float().cpu())
    wanted = (LOGITS, POOLED) if recipe.distill_pooled else (LOGITS,)
    place = torch.tensor(order).argsort()
    return {name: torch.cat(outputs[name])[place] for name in wanted}


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


class WithTargets(Dataset[dict[str, Any]]):
    """Training documents, each with the teacher's targets for it."""

    def __init__(self, documents: TokenizedDocuments, targets: Mapping[str, Tensor]) -> None:
        self.documents, self.targets = documents, targets

    def __len__(self) -> int:
        return len(self.documents)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.documents[index] | {name: rows[index].tolist() for name, rows in self.targets.items()}


class TeacherLoss:
    """A loss that reads a teacher's targets of the batch; `TokensieveTrainer` sets and removes them."""

    targets: Mapping[str, Tensor] | None = None

    @staticmethod
    def documents(
        labels: Tensor, num_items_in_batch: Any = None, sample_weight: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """How much the documents of a batch [B] count, and all of the whole optimizer step.

        Documents that only fill a batch up do not count. Trainer counts items: documents, or pairs of document and
        label.
        """
        items = counted(labels, sample_weight)
        number = number_of(items, num_items_in_batch)
        return (items, number) if items.dim() == 1 else (items.amax(1), number / items.shape[1])


class DistillationLoss(TeacherLoss):
    """A loss on labels, and while `targets` are set also the distance to the teacher.

    (1 - w) loss + w T^2 KL(teacher || student) at temperature T + v (1 - cosine of the two document vectors). With
    several labels a document, binary cross entropy with the teacher's probabilities replaces the divergence.

    Args:
        loss: as Trainer's `compute_loss_func`.
        recipe: w, T and v.
    """

    def __init__(self, loss: Callable[..., Tensor], recipe: Recipe) -> None:
        self.loss, self.recipe = loss, recipe

    def __call__(
        self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None, sample_weight: Tensor | None = None
    ) -> Tensor:
        """The loss of a batch, a weighted mean; documents that only fill it up count for nothing."""
        on_labels = self.loss(outputs, labels, num_items_in_batch, sample_weight)
        if self.targets is None:
            return on_labels
        weight, items = self.recipe.distill_weight, counted(labels, sample_weight)
        distance = self._distance(outputs["logits"].float(), self.targets[LOGITS], items)
        distance = distance / number_of(items, num_items_in_batch)
        loss = (1 - weight) * on_labels + weight * distance
        if POOLED in self.targets:
            apart = 1 - F.cosine_similarity(outputs["pooled"].float(), self.targets[POOLED], dim=1)
            counts, documents = self.documents(labels, num_items_in_batch, sample_weight)
            loss = loss + self.recipe.distill_pooled * (apart * counts).sum() / documents
        return loss

    def _distance(self, logits: Tensor, teacher: Tensor, items: Tensor) -> Tensor:
        """The distance to the teacher, summed over the documents, or over documents and labels."""
        temperature = self.recipe.distill_temperature
        if items.dim() == 2:
            targets = (teacher / temperature).sigmoid()
            each = F.binary_cross_entropy_with_logits(logits / temperature, targets, reduction="none")
            return temperature**2 * (each * items).sum()
        student, target = (logits / temperature).log_softmax(1), (teacher / temperature).softmax(1)
        each = F.kl_div(student, target, reduction="none").sum(1)
        return temperature**2 * (each * items).sum()
