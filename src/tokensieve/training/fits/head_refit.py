"""Refitting the head: a ridge regression lets its last layer read the document vectors of other settings.

Leaving tokens out shifts a document's vector, and much of that shift is the same for all documents: what stays are the
words that matter. On a few hundred training documents, the classifier's vectors are regressed on those that the new
model makes of the same documents. Where the vectors hardly vary, the ridge leaves little but a shift. The linear map is
folded into the head's last layer: nothing is added to the model, nothing is trained, and no label is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from tokensieve.backbones.loading import load_weights
from tokensieve.cascade.build import EncoderClassifier, read_alone, stages_of
from tokensieve.training.fits.sample import Sample, sum_type

_ROUNDING = 1e-5  # of float32 numbers that came about in different orders, to the largest
_RIDGE = 0.2  # of the mean squared length of a document vector, centred (docs/LOG.md)


@torch.no_grad()
def refit_head(
    model: EncoderClassifier,
    base: str | Path,
    sample: Sample,
    device: torch.device,
) -> dict[str, float] | None:
    """Refit the head's last layer of a model that makes other document vectors than the classifier it was made of.

    The vectors differ by other settings, or by other norms and biases (`training.stages.distil_features`). In a cascade
    the last layer of each stage is refitted.

    Args:
        model: its heads are changed in place.
        base: folder of the classifier; it is loaded again.
        sample: training documents.
        device: to compute on.

    Returns:
        "moved" and "left": the mean squared distance of the two vectors of a document before and after, as a share of
        the variance of the classifier's vectors; "moved_again" and "left_again" the same for the second stage, where
        it is refitted. None where nothing was refitted: the encoders are equal, or all vectors are the same.

    Raises:
        CheckpointError: the base cannot be read.
    """
    origin: Any = load_weights(AutoModelForSequenceClassification, base, strict=True, dtype=torch.float32)
    if _encoders_equal(model, origin):
        return None
    stages, from_cascade = stages_of(model), len(stages_of(origin)) > 1
    last_stage = document_vectors(origin, sample, device, 1)
    from_first = model.settings.prune is not None and from_cascade
    targets = document_vectors(origin, sample, device) if from_first else last_stage
    weights = None if sample.weights is None else sample.weights.to(targets)
    shares = _refit(stages[0].head.classifier, document_vectors(model, sample, device), targets, weights) or {}
    second: dict[str, float] = {}
    if len(stages) > 1:
        rows = _answered_by_second(model, sample)
        vectors = document_vectors(model, sample, device, 1)
        counts = None if weights is None else weights[rows]
        second = _refit(stages[1].head.classifier, vectors[rows], last_stage[rows], counts) or {} if any(rows) else {}
    return shares | {f"{name}_again": share for name, share in second.items()} or None


def _encoders_equal(model: EncoderClassifier, origin: EncoderClassifier) -> bool:
    """Whether settings and encoder weights are the same, so that the document vectors are."""
    weights, origin_weights = (
        {name: tensor for name, tensor in each.state_dict().items() if "encoder." in name} for each in (model, origin)
    )
    depth = model.config.num_hidden_layers
    same = weights.keys() == origin_weights.keys()
    same = same and model.settings.expanded(depth) == origin.settings.expanded(depth)
    return same and all(torch.equal(tensor.cpu(), origin_weights[name].cpu()) for name, tensor in weights.items())


def _answered_by_second(model: EncoderClassifier, sample: Sample) -> list[bool]:
    """Which documents a second stage answers: if it prunes, only those that are long enough to be pruned."""
    if model.settings.second_reads_all:
        return [True] * len(sample)
    batches = (batch["attention_mask"].sum(1).tolist() for batch in sample.batches(torch.device("cpu")))
    return [pruned for lengths in batches for pruned in stages_of(model)[0].encoder.pruned(lengths)]


def _refit(
    last_layer: nn.Module, vectors: Tensor, targets: Tensor, weights: Tensor | None = None
) -> dict[str, float] | None:
    """Let a last layer read the vectors [N, d] as if they were the targets [N, d]; None where it does already."""
    if torch.equal(vectors, targets) or _all_alike(targets):
        return None
    ridge_map = RidgeMap(vectors, targets, weights)
    ridge_map.fold_into(last_layer)
    return {"moved": ridge_map.distance(vectors), "left": ridge_map.distance(ridge_map(vectors))}


def _all_alike(vectors: Tensor) -> bool:
    """Whether the vectors [N, d] differ by rounding alone: two batches may give the same text a last bit apart."""
    apart = (vectors - vectors[0]).abs().max()
    return bool(apart <= _ROUNDING * vectors.abs().max())


def document_vectors(model: EncoderClassifier, sample: Sample, device: torch.device, stage: int = 0) -> Tensor:
    """The vectors [N, d] that the head's last layer reads, as at inference; of a cascade by one of its stages."""
    training = model.training
    nn.Module.to(model, device=device).train(False)
    vectors = [read_alone(model, stage, **batch).pooled for batch in sample.batches(device)]
    model.train(training)
    return torch.cat(vectors)


class RidgeMap:
    """The affine map z -> nu + (z - mu) (I + B) from vectors to targets, both [N, d]; mu and nu are their means.

    B minimises the squared distances plus a ridge times its squared entries. Where documents vary little B is nearly 0,
    and a shift is left.

    Args:
        vectors: [N, d].
        targets: [N, d].
        weights: of the documents [N], above 0; None: each counts once.
    """

    def __init__(self, vectors: Tensor, targets: Tensor, weights: Tensor | None = None) -> None:
        self.targets, exact = _exact(targets), _exact(vectors)
        self.counts = (exact.new_ones(len(exact)) if weights is None else weights.to(exact)).unsqueeze(1)
        number = self.counts.sum()
        self.mean, self.target_mean = ((self.counts * each).sum(0) / number for each in (exact, self.targets))
        centred, centred_targets = exact - self.mean, self.targets - self.target_mean
        weighted = self.counts * centred
        products = weighted.T @ centred
        ridge = ((weighted * centred).sum() / number).clamp(min=1e-30) * _RIDGE
        identity = torch.eye(len(products)).to(products)
        solution = torch.linalg.solve(products + ridge * identity, weighted.T @ (centred_targets - centred))
        self.matrix = identity + solution

    def __call__(self, vectors: Tensor) -> Tensor:
        """Map document vectors [N, d] to what they would be with all tokens."""
        mapped: Tensor = self.target_mean + (_exact(vectors) - self.mean) @ self.matrix
        return mapped

    def fold_into(self, linear: Any) -> None:
        """Let a linear layer read vectors as if they were mapped first."""
        weight = _exact(linear.weight)
        shift = self.target_mean - self.mean @ self.matrix
        if linear.bias is not None:
            linear.bias.add_((weight @ shift).to(linear.bias))
        linear.weight.copy_(weight @ self.matrix.T)

    def distance(self, vectors: Tensor) -> float:
        """Mean squared distance of vectors to their targets, as a share of the targets' variance."""
        variance = (self.counts * (self.targets - self.target_mean).square()).sum().clamp(min=1e-30)
        return float((self.counts * (_exact(vectors) - self.targets).square()).sum() / variance)


def _exact(tensor: Tensor) -> Tensor:
    return tensor.to(sum_type(tensor.device))
