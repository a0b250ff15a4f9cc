"""Fitting the learned importance: a trained classifier's gradients by token, predicted from the hidden states.

The importance of a token is a gradient norm. By default it is that of the predicted class's logit less the mean of all
logits (for several labels, of the sum of their absolute logits), with respect to the token's hidden state ahead of a
layer. Layer by layer, and within every document, its logarithm is regressed on the hidden states, by least squares with
a small ridge. The gradients are those of the classifier with all its tokens.

With another target (`Learned.target`) the importance is that of `model.gradients`, of the token's input vector. It is
the same for all layers, and each layer predicts it from its own hidden states.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tokensieve.cascade.build import with_all_tokens
from tokensieve.errors import CheckpointError, DataError
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.gradients import importance_of, predicted_value
from tokensieve.model.layer import Layer, unfitted
from tokensieve.reduce.score.gradient import Kind
from tokensieve.reduce.score.learned import Learned, Target
from tokensieve.tokens import Tokens
from tokensieve.training.fits.sample import Sample, sum_type

_RIDGE = 1e-4  # of the mean variance of a hidden state's dimensions
_SMALLEST = 1e-3  # of a document's mean gradient; smaller ones count as this


def fit_importance(
    model: TokensieveForSequenceClassification,
    base: str | Path,
    sample: Sample,
    device: torch.device,
) -> dict[str, float]:
    """Fit the importance of every layer that has an unfitted one to the classifier that the model was made of.

    Args:
        model: gets the fitted vectors.
        base: folder of the classifier; it is loaded again, and runs with all its tokens.
        sample: training documents.
        device: to compute on.

    Returns:
        By number of the model's step, from 1, the R squared of the fit: the explained share of the variance within
        documents.

    Raises:
        CheckpointError: the base cannot be read, or lacks a layer.
        DataError: no document has two words or more.
    """
    classifier = with_all_tokens(base)
    nn.Module.to(classifier, device=device).train(False)
    to_fit, places = unfitted(model), by_source(classifier)
    sources = {source: layer for source, layer in by_source(model).items() if layer in to_fit}
    if missing := sources.keys() - places.keys():
        raise CheckpointError(f"{base} has no layer {min(missing) + 1}, ahead of which tokens are to leave")
    target = target_of(model)
    fits = gradients_by_layer(classifier, [places[source] for source in sources], sample, target)
    for layer, fit in zip(sources.values(), fits, strict=True):
        assert layer.importance is not None
        layer.importance.get_buffer("weight").copy_(fit.solution() if target == "margin" else fit.weights())
    if unfitted(model):
        raise DataError(
            f"score='learned': none of the {len(sample)} training documents that were looked at has "
            "two words or more to choose between: use settings that prune nothing (preset 'dense')"
        )
    steps = {layer: number for number, layer in enumerate(model.encoder.layer, 1)}
    return {str(steps[layer]): fit.r2() for layer, fit in zip(sources.values(), fits, strict=True)}


def gradients_by_layer(
    classifier: TokensieveForSequenceClassification,
    layers: Sequence[Layer],
    sample: Sample,
    target: Target = "margin",
) -> list[LeastSquares]:
    """Each layer's regression, with the sums over the sample."""
    fits = [LeastSquares(classifier.config.hidden_size, classifier.device) for _ in layers]
    weights = None if sample.weights is None else iter(sample.weights.tolist())
    for entering, importance in importance_by_layer(classifier, layers, sample, target):
        counts = None if weights is None else list(islice(weights, len(entering[0].lengths)))
        for fit, tokens, own in zip(fits, entering, importance, strict=True):
            fit.add(tokens, own, counts)
    return fits


def importance_by_layer(
    classifier: TokensieveForSequenceClassification, layers: Sequence[Layer], sample: Sample, target: Target
) -> Iterator[tuple[list[Tokens], list[Tensor]]]:
    """For each batch the tokens that enter each of the layers, and the importance [T] of each of these tokens.

    Args:
        classifier: prunes nothing.
        layers: some of its layers, ahead of a combining module.
        sample: documents.
        target: what importance is.
    """
    problem = classifier.config.problem_type
    with torch.enable_grad(), layer_inputs([classifier.encoder, *layers]) as seen:
        for batch in sample.batches(classifier.device):
            seen.clear()
            logits = classifier(**batch).logits
            first, *entering = seen
            states = [tokens.values for tokens in entering]
            if target == "margin":
                gradients = torch.autograd.grad(explained_value(logits, problem).sum(), states)
                yield entering, [_exactly(gradient).norm(dim=1) for gradient in gradients]
            else:
                (gradient,) = torch.autograd.grad(predicted_value(logits, problem).sum(), first.values)
                kind: Kind = "norm" if target == "gradient" else "input-times-gradient"
                own = importance_of(_exactly(first.values.detach()), _exactly(gradient), kind)
                yield entering, [own] * len(entering)


def target_of(model: TokensieveForSequenceClassification) -> Target:
    """What the learned score of a model is fitted to."""
    score = None if model.settings.prune is None else model.settings.prune.score
    return score.target if isinstance(score, Learned) else "margin"


def _exactly(values: Tensor) -> Tensor:
    return values.to(sum_type(values.device))


def explained_value(logits: Tensor, problem_type: str | None) -> Tensor:
    """The number of each document that is differentiated, [B].

    It is the predicted class's logit less the mean of all logits; for several labels the sum of their absolute logits.
    """
    if problem_type == "multi_label_classification":
        return logits.abs().sum(1)
    return logits.amax(1) - logits.mean(1)


def by_source(model: TokensieveForSequenceClassification) -> dict[int, Layer]:
    """The layers by their number in the pretrained checkpoint."""
    steps = zip(model.encoder.steps, model.encoder.layer, strict=True)
    return {step.source: layer for step, layer in steps if step.source is not None}  # type: ignore[misc]


class LeastSquares:
    """The regression of one layer, whose sums grow batch by batch.

    Args:
        hidden_size: d.
        device: of the sums.
    """

    def __init__(self, hidden_size: int, device: torch.device) -> None:
        precision = sum_type(device)
        self.products = torch.zeros(hidden_size, hidden_size, dtype=precision, device=device)
        self.targets = torch.zeros(hidden_size, dtype=precision, device=device)
        self.variance = torch.zeros((), dtype=precision, device=device)
        self.tokens = 0.0

    def add(self, tokens: Tokens, importance: Tensor, weights: Sequence[float] | None = None) -> None:
        """Add a batch: its hidden states, the importance [T] of each token, and weights of the documents."""
        documents = torch.arange(len(importance), device=importance.device).split(list(tokens.lengths))
        for document, weight in zip(documents, weights or [1.0] * len(documents), strict=True):
            rows = document[(tokens.origin[document] >= 0) & ~tokens.protected[document]]
            if len(rows) < 2:
                continue
            states = tokens.values.detach()[rows].to(self.products.dtype)
            norms = importance[rows].to(self.products.dtype)
            targets = norms.clamp(min=float(_SMALLEST * norms.mean())).clamp(min=1e-30).log()
            states, targets = states - states.mean(0), targets - targets.mean()
            self.products += weight * (states.T @ states)
            self.targets += weight * (states.T @ targets)
            self.variance += weight * (targets @ targets)
            self.tokens += weight * len(rows)

    def weights(self) -> Tensor:
        """The regression's weights, [d]."""
        ridge = self.products.diagonal().mean().clamp(min=1e-30) * _RIDGE
        damped = self.products + ridge * torch.eye(len(self.targets)).to(self.products)
        solved: Tensor = torch.linalg.solve(damped, self.targets)
        return solved

    def solution(self) -> Tensor:
        """The weights, scaled so that the scores of a document's tokens have a standard deviation of 1 on average."""
        weights = self.weights()
        spread = ((weights @ self.products @ weights) / (self.tokens or 1)).sqrt()
        return weights / spread if spread > 0 else weights

    def r2(self) -> float:
        """R squared: the share of the variance within documents that the solution explains."""
        weights = self.weights()
        left = self.variance - 2 * weights @ self.targets + weights @ self.products @ weights
        return float(1 - left / self.variance) if self.variance > 0 else 0.0


@contextmanager
def layer_inputs(layers: Sequence[nn.Module]) -> Iterator[list[Tokens]]:
    """A list that gets the tokens entering each of the layers (or the encoder) in a forward pass, in order."""
    entering: list[Tokens] = []

    def note(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        entering.append(inputs[0])

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_pre_hook(note).remove)
        yield entering
