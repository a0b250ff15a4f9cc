"""Stage: feature distillation. A reduced model learns to make a classifier's document vectors from fewer tokens.

Leaving tokens out shifts the states of those that stay, in every layer. Few parameters can take most of that back: the
layers' norms and biases alone are trained (BitFit: Ben Zaken et al., ACL 2022). The loss is the distance of a
document's vector to the one that the classifier makes of all its tokens (a hint, as in FitNets: Romero et al., ICLR
2015). No label is read, so documents without labels serve as well. A shift that is the same for all documents costs
nothing: refitting the head takes it back afterwards (`training.stages.refit_head`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tokensieve.cascade.build import EncoderClassifier, stages_of
from tokensieve.cascade.classifier import TokensieveCascadeForSequenceClassification
from tokensieve.data.documents import Document
from tokensieve.data.splits import DataSplits
from tokensieve.data.tokenized import TokenizedDocuments
from tokensieve.model.norms import norms_and_biases
from tokensieve.training.fits.projection import projection_of
from tokensieve.training.job import TrainingJob
from tokensieve.training.loop.frozen import only_trainable, without_dropout
from tokensieve.training.loop.options import RunOptions
from tokensieve.training.loop.run import run_without_validation
from tokensieve.training.losses.batch import POOLED, WithTargets
from tokensieve.training.losses.features import FeatureLoss
from tokensieve.training.recipe import Recipe
from tokensieve.training.stages.stage import Context, Stage
from tokensieve.training.start import Start, check_start
from tokensieve.training.teacher import teacher_targets


class DistilFeatures(Stage):
    """Trains norms and biases on the document vectors of the classifier that the run starts from."""

    reports = ("feature_distillation",)

    def needs_of_start(self, job: TrainingJob, start: Start) -> None:
        """The vectors are those of a classifier with all parts."""
        if job.recipe.feature_epochs:
            wanted = f"feature_epochs={job.recipe.feature_epochs} needs a whole trained classifier of the same labels"
            check_start(start.why_untrained, wanted)

    def run(self, context: Context) -> None:
        """Train for the recipe's `feature_epochs`."""
        job, recipe = context.job, context.recipe
        if recipe.feature_epochs:
            report = distil_features(context.model, job.base, context.tokenizer, job.splits, recipe, context.options)
            self.record["feature_distillation"] = report


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
    tokenized = TokenizedDocuments(documents, tokenizer, recipe.max_length)  # without labels: the loss reads none
    training = WithTargets(tokenized, {POOLED: targets})
    with only_trainable(first, trained), without_dropout(first):
        history = run_without_validation(first, tokenizer, training, _recipe_of_distillation(recipe), options, loss)
    distances = [entry["loss"] for entry in history if "loss" in entry]
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
    """The model or first stage that is trained, and its norms and biases; a second stage gets a copy of these first.

    Of a model alone also a projection, which is no use before it has learned from the classifier's vectors.
    """
    if isinstance(model, TokensieveCascadeForSequenceClassification) and not model.config.own_norms:
        model.give_own_norms(True)
    first, own = stages_of(model)[0], list[nn.Parameter]()
    if first is model and (projection := projection_of(first)) is not None:  # the stages of a cascade share it
        own.append(projection.weight)
    return first, [*norms_and_biases(first.encoder.layer).values(), *own]


def _recipe_of_distillation(recipe: Recipe) -> Recipe:
    return replace(
        recipe,
        epochs=recipe.feature_epochs,
        learning_rate=recipe.feature_learning_rate,
        select="loss",
        patience=None,
        pruning_warmup=0.0,
        length_drop=0.0,
    )


def distillation_documents(splits: DataSplits) -> list[Document]:
    """The training documents and those without labels."""
    return [*splits.train, *splits.unlabelled]
