"""Fitting the learned importance: what a trained classifier's gradients say of tokens, foretold from hidden states.

A token matters as much as the answer would move with it: the norm of the gradient, with respect to the token's hidden
state ahead of a layer, of the margin of the predicted class (for several labels, of the sum of their margins). Within
every document its logarithm is regressed on the hidden states, by least squares with a small ridge, layer by layer.
The pass over the documents keeps all tokens.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tokensieve.backbones.loading import load_config
from tokensieve.config import PTCConfig
from tokensieve.data.tokenize import TokenizedDocuments
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.layer import Layer, unfitted
from tokensieve.tokens import Tokens

DOCUMENTS = 256
"""So many training documents are read; they hold some 20 000 tokens and more, for a few hundred numbers a layer."""

_BATCH = 16
_RIDGE = 1e-4  # of the mean variance of a hidden state's dimensions
_SMALLEST = 1e-3  # of a document's mean gradient: tokens below it matter alike


def why_no_start(base: str | Path, settings: PTCConfig, labels: Sequence[str]) -> str | None:
    """Why a base cannot be what the importance is fitted to: its gradients would say nothing; None: it can.

    It has to be a classifier of the same labels, in the same order, with the same pooling.
    """
    config = load_config(base)
    remedy = "train one first (preset 'dense', the same pooling and data) and start from its folder"
    if not isinstance(config, TokensieveConfig):
        return f"it is fitted to a trained classifier, and {base} is none: {remedy}"
    if config.label_names != tuple(labels):
        return f"it is fitted to a trained classifier, and {base} has other labels than the data: {remedy}"
    own, pooling = config.settings.resolved_pooling, settings.resolved_pooling
    return None if own == pooling else f"the classifier {base} has pooling {own!r}, not {pooling!r}: {remedy}"


def fit_importance(
    model: TokensieveForSequenceClassification,
    documents: TokenizedDocuments,
    tokenizer: Any,
    device: torch.device,
    seed: int = 0,
) -> dict[str, float]:
    """Fit the importance of every layer that has an unfitted one; the model must hold a trained classifier's weights.

    Args:
        model: is moved to `device`, and left there.
        documents: of the training split; at most `DOCUMENTS` of them are drawn.
        tokenizer: pads.
        device: to compute on.
        seed: of the draw.

    Returns:
        By number of the step, from 1, the share of the variance within documents that the fit explains.
    """
    nn.Module.to(model, device=device)
    layers = unfitted(model)
    fits = [LeastSquares(model.config.hidden_size, device) for _ in layers]
    drawn = torch.randperm(len(documents), generator=torch.Generator().manual_seed(seed))[:DOCUMENTS].tolist()
    drawn.sort(key=lambda number: int(documents.lengths[number]))  # documents of equal lengths run together
    with everything_kept(model), watched(layers) as seen:
        for start in range(0, len(drawn), _BATCH):
            items = [documents[number] for number in drawn[start : start + _BATCH]]
            batch = tokenizer.pad(
                [{name: item[name] for name in tokenizer.model_input_names if name in item} for item in items],
                return_tensors="pt",
            )
            logits = model(**{name: values.to(device) for name, values in batch.items()}).logits
            states = [tokens.values for tokens in seen]
            gradients = torch.autograd.grad(margins(logits, model.config.problem_type).sum(), states)
            for fit, tokens, gradient in zip(fits, seen, gradients, strict=True):
                fit.add(tokens, gradient)
            seen.clear()
    steps = {id(layer): number for number, layer in enumerate(model.encoder.layer, 1)}
    for layer, fit in zip(layers, fits, strict=True):
        assert layer.importance is not None
        layer.importance.weight.copy_(fit.solution())
    return {str(steps[id(layer)]): fit.explained() for layer, fit in zip(layers, fits, strict=True)}


def margins(logits: Tensor, problem_type: str | None) -> Tensor:
    """How far each document's answer is from another one, [B]: of the predicted class over the mean of all; for several
    labels, the sum of their distances from 0.
    """
    if problem_type == "multi_label_classification":
        return logits.abs().sum(1)
    return logits.amax(1) - logits.mean(1)


class LeastSquares:
    """The regression of one layer, summed up batch by batch.

    Args:
        hidden_size: d.
        device: of the sums, which are float64.
    """

    def __init__(self, hidden_size: int, device: torch.device) -> None:
        precision = torch.float64 if device.type != "mps" else torch.float32
        self.products = torch.zeros(hidden_size, hidden_size, dtype=precision, device=device)
        self.targets = torch.zeros(hidden_size, dtype=precision, device=device)
        self.variance = torch.zeros((), dtype=precision, device=device)

    def add(self, tokens: Tokens, gradient: Tensor) -> None:
        """Take in a batch: its hidden states, and the gradient [T, d] with respect to them."""
        ends = torch.tensor(tokens.lengths).cumsum(0).tolist()
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            rows = torch.arange(start, end, device=gradient.device)
            rows = rows[(tokens.origin[rows] >= 0) & ~tokens.protected[rows]]
            if len(rows) < 2:
                continue
            states = tokens.values.detach()[rows].to(self.products.dtype)
            norms = gradient[rows].to(self.products.dtype).norm(dim=1)
            wanted = norms.clamp(min=float(_SMALLEST * norms.mean())).clamp(min=1e-30).log()
            states, wanted = states - states.mean(0), wanted - wanted.mean()
            self.products += states.T @ states
            self.targets += states.T @ wanted
            self.variance += wanted @ wanted

    def solution(self) -> Tensor:
        """The weights, [d]."""
        ridge = self.products.diagonal().mean().clamp(min=1e-30) * _RIDGE
        damped = self.products + ridge * torch.eye(len(self.targets)).to(self.products)
        solved: Tensor = torch.linalg.solve(damped, self.targets)
        return solved

    def explained(self) -> float:
        """Share of the variance within documents that the solution explains."""
        weights = self.solution()
        left = self.variance - 2 * weights @ self.targets + weights @ self.products @ weights
        return float(1 - left / self.variance) if self.variance > 0 else 0.0


@contextmanager
def everything_kept(model: TokensieveForSequenceClassification) -> Iterator[None]:
    """No document is pruned, and nothing is dropped out, meanwhile."""
    training, min_length = model.training, model.encoder.min_length
    try:
        nn.Module.eval(model)
        model.encoder.min_length = sys.maxsize
        with torch.enable_grad():
            yield
    finally:
        model.encoder.min_length = min_length
        model.train(training)


@contextmanager
def watched(layers: Sequence[Layer]) -> Iterator[list[Tokens]]:
    """What enters the layers in a forward pass, in their order."""
    seen: list[Tokens] = []

    def note(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[0])

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_pre_hook(note).remove)
        yield seen
