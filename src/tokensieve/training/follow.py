"""Following: norms and biases of a reduced model, tuned until its document vectors are those of all tokens.

Leaving tokens out moves the states of those that stay, in every layer. Most of that can be taken back by the few
parameters that move states as they are: the layers' norms and biases (BitFit: Ben Zaken et al., ACL 2022), trained on
nothing but the distance of a document's vector to the one that the classifier with all its tokens makes (a hint, as in
FitNets: Romero et al., ICLR 2015). No label is looked at, so documents without labels serve as well. A shift that is
the same in all documents counts for nothing: aligning the head takes it back afterwards (`training.alignment`).
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
from tokensieve.training.distill import POOLED, TaughtLoss, teacher_targets
from tokensieve.training.processes import own_forward
from tokensieve.training.recipe import Recipe
from tokensieve.training.trainer import RunOptions, make_trainer


def follow(
    model: EncoderClassifier,
    base: str | Path,
    tokenizer: Any,
    splits: DataSplits,
    recipe: Recipe,
    options: RunOptions,
) -> dict[str, Any]:
    """Tune the norms and biases of a model's layers in place, for `follow` epochs of the recipe: in a cascade those of
    the first stage, and the second one keeps what they were.

    Args:
        model: made of the classifier, with other settings; or to follow it once more.
        base: folder of the classifier whose document vectors are followed, as `teacher_targets` reads them.
        tokenizer: pads.
        splits: the training documents are read, and those without labels.
        recipe: `follow` and `follow_rate`; the rest as in training, but without dropout.
        options: where to, and what else.

    Returns:
        "epochs", "documents" of each, "parameters" that were tuned, and "distance", the last epoch's mean squared
        distance of the vectors as a share of the variance of the classifier's, less the mean shift of a batch.

    Raises:
        CheckpointError: the base cannot be read.
        TrainingError: the distance is no finite number any more.
    """
    labels, documents = splits.label_names, read_by_following(splits)
    asked = replace(recipe, teacher=str(base), distill_pooled=1.0)
    vectors = teacher_targets(asked, documents, labels, options.device)[POOLED]
    stage = replace(
        recipe, epochs=recipe.follow, learning_rate=recipe.follow_rate, select="loss", patience=None, tighten=0.0
    )
    read, nobody = (TokenizedDocuments(some, tokenizer, recipe.max_length, labels) for some in (documents, ()))
    loss = VectorLoss(float((vectors - vectors.mean(0)).square().sum(1).mean()))
    if isinstance(model, TokensieveCascadeForSequenceClassification) and not model.config.own_norms:
        model.give_own_norms(True)  # the second stage keeps those of now, which are the classifier's
    first = stages_of(model)[0]
    tuned = list(norms_and_biases(first.encoder.layer).values())
    given, stdout = {POOLED: vectors}, contextlib.redirect_stdout(sys.stderr)  # stdout is for results
    with only(first, tuned), without_dropout(first), own_forward(first), stdout:
        trainer = make_trainer(first, tokenizer, read, nobody, stage, options.unobserved(), given, taught=loss)
        trainer.train()
    check_converged(trainer.state.log_history, stage)
    distances = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "epochs": recipe.follow,
        "documents": len(documents),
        "parameters": sum(parameter.numel() for parameter in tuned),
        "distance": distances[-1] if distances else None,
    }


def read_by_following(splits: DataSplits) -> list[Document]:
    """The training documents and those without labels; these get some, as Trainer reads from labels which documents are
    there only to fill up a batch.
    """
    anything = () if splits.multi_label else splits.label_names[0]
    return [*splits.train, *(replace(document, label=anything) for document in splits.unlabelled)]


class VectorLoss(TaughtLoss):
    """Mean squared distance of document vectors to the teacher's, less the mean shift of the batch, over a spread.

    Args:
        spread: the variance of the teacher's vectors.
    """

    def __init__(self, spread: float) -> None:
        self.spread = max(spread, 1e-30)

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        """Of a batch; documents that only fill it up count for nothing, and labels tell no more than that."""
        assert self.targets is not None
        each, documents = self.documents(labels, num_items_in_batch)
        moved = (outputs["pooled"].float() - self.targets[POOLED]) * each.unsqueeze(1)
        away = (moved - moved.sum(0) / each.sum().clamp(min=1)) * each.unsqueeze(1)
        distance: Tensor = away.square().sum() / self.spread / documents
        return distance


@contextmanager
def only(model: nn.Module, tuned: Sequence[nn.Parameter]) -> Iterator[None]:
    """Nothing else is trained meanwhile."""
    before = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        for parameter in before:
            parameter.requires_grad_(False)
        for parameter in tuned:
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
