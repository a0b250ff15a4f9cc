"""Feature distillation: a reduced model learns to make a classifier's document vectors from fewer tokens.

Leaving tokens out shifts the states of those that stay, in every layer. Few parameters can take most of that back: the
layers' norms and biases alone are trained (BitFit: Ben Zaken et al., ACL 2022). The loss is the distance of a
document's vector to the one that the classifier makes of all its tokens (a hint, as in FitNets: Romero et al., ICLR
2015). No label is read, so documents without labels serve as well. A shift that is the same for all documents costs
nothing: refitting the head takes it back afterwards (`training.head_refit`).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tokensieve.cascade.build import EncoderClassifier, stages_of
from tokensieve.cascade.classifier import TokensieveCascadeForSequenceClassification
from tokensieve.data.documents import Document
from tokensieve.data.splits import DataSplits
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.model.attention import SelfAttention
from tokensieve.model.dropout import Dropout
from tokensieve.model.norms import norms_and_biases
from tokensieve.training.best import check_converged
from tokensieve.training.distill import POOLED, TeacherLoss, teacher_targets
from tokensieve.training.loss import number_of
from tokensieve.training.processes import forward_restored
from tokensieve.training.recipe import Recipe
from tokensieve.training.trainer import RunOptions, make_trainer


def distil_features(
    model: EncoderClassifier,
    base: str | Path,
    tokenizer: Any,
    splits: DataSplits,
    recipe: Recipe,
    options: RunOptions,
) -> dict[str, Any]:
    """Train the norms and biases of a model's layers in place, for the recipe's `feature_epochs`.

    In a cascade those of the first stage are trained, and the second one keeps what they were.

    Args:
        model: made of the classifier, with other settings; or a model that was distilled before.
        base: folder of the classifier whose document vectors are the targets, as `teacher_targets` makes them.
        tokenizer: pads.
        splits: the training documents and those without labels are read.
        recipe: `feature_epochs` and `feature_learning_rate`; the rest as in training, but without dropout.
        options: where to, and what else.

    Returns:
        "epochs", "documents" of each, "parameters" that were trained, and "distance": the last epoch's mean squared
        distance of the vectors, less the mean shift of a batch, as a share of the variance of the classifier's.

    Raises:
        CheckpointError: the base cannot be read.
        TrainingError: the distance is no finite number any more.
    """
    documents = distillation_documents(splits)
    targets = _document_vectors(base, documents, splits.label_names, recipe, options)
    first, trained = _parts_to_train(model)
    loss = FeatureLoss(float((targets - targets.mean(0)).square().sum(1).mean()))
    stage = _recipe_of_distillation(recipe)
    training, nothing = (
        TokenizedDocuments(part, tokenizer, recipe.max_length, splits.label_names) for part in (documents, ())
    )
    stdout = contextlib.redirect_stdout(sys.stderr)  # stdout is for results
    with only_trainable(first, trained), without_dropout(first), forward_restored(first), stdout:
        trainer = make_trainer(
            first, tokenizer, training, nothing, stage, options.unobserved(), {POOLED: targets}, teacher_loss=loss
        )
        trainer.train()
    check_converged(trainer.state.log_history, stage)
    distances = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "epochs": recipe.feature_epochs,
        "documents": len(documents),
        "parameters": sum(parameter.numel() for parameter in trained),
        "distance": distances[-1] if distances else None,
    }


def _document_vectors(
    base: str | Path, documents: Sequence[Document], labels: Sequence[str], recipe: Recipe, options: RunOptions
) -> Tensor:
    """The classifier's vectors [N, d] of the documents."""
    asking = replace(recipe, teacher=str(base), distill_pooled=1.0)
    return teacher_targets(asking, documents, labels, options.device)[POOLED]


def _parts_to_train(model: EncoderClassifier) -> tuple[Any, list[nn.Parameter]]:
    """The model or first stage that is trained, and its norms and biases; a second stage gets a copy of these first."""
    if isinstance(model, TokensieveCascadeForSequenceClassification) and not model.config.own_norms:
        model.give_own_norms(True)
    first = stages_of(model)[0]
    return first, list(norms_and_biases(first.encoder.layer).values())


def _recipe_of_distillation(recipe: Recipe) -> Recipe:
    return replace(
        recipe,
        epochs=recipe.feature_epochs,
        learning_rate=recipe.feature_learning_rate,
        select="loss",
        patience=None,
        pruning_warmup=0.0,
    )


def distillation_documents(splits: DataSplits) -> list[Document]:
    """The training documents and those without labels.

    The latter get some label, as Trainer reads from labels which documents are there only to fill up a batch.
    """
    filler = () if splits.multi_label else splits.label_names[0]
    return [*splits.train, *(replace(document, label=filler) for document in splits.unlabelled)]


class FeatureLoss(TeacherLoss):
    """Mean squared distance of document vectors to the teacher's, less the mean shift of the batch.

    Args:
        variance: of the teacher's vectors; the loss is a share of it.
    """

    def __init__(self, variance: float) -> None:
        self.variance = max(variance, 1e-30)

    def __call__(
        self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None, sample_weight: Tensor | None = None
    ) -> Tensor:
        """The loss of a batch. Labels only tell which documents fill it up, and these count for nothing."""
        assert self.targets is not None
        counts, documents = self.documents(labels, num_items_in_batch, sample_weight)
        shares = counts.unsqueeze(1)
        shifts = outputs["pooled"].float() - self.targets[POOLED]
        centred = shifts - (shifts * shares).sum(0) / number_of(counts)
        distance: Tensor = (centred.square() * shares).sum() / self.variance / documents
        return distance


@contextmanager
def only_trainable(model: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Nothing but these parameters is trained meanwhile."""
    before = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        for parameter in before:
            parameter.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter, trained in before.items():
            parameter.requires_grad_(trained)
            parameter.grad = None


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """Nothing is dropped meanwhile, in training neither."""
    places: list[tuple[nn.Module, str]] = [(module, "p") for module in model.modules() if isinstance(module, Dropout)]
    places += [(module, "dropout") for module in model.modules() if isinstance(module, SelfAttention)]
    before = [getattr(module, name) for module, name in places]
    try:
        for module, name in places:
            setattr(module, name, 0.0)
        yield
    finally:
        for (module, name), probability in zip(places, before, strict=True):
            setattr(module, name, probability)
