"""Aligning the head: its last layer, fitted to read from the document vectors of fewer tokens what it read from all.

Leaving tokens out moves a document's vector, and much of that move is alike in all documents: what is left are the
words that matter. Of a few hundred training documents the vectors that the classifier made are regressed on those
that the new model makes of the same documents; where these hardly vary, a ridge leaves little but a shift. Map and
shift are folded into the head's last layer: nothing is added to the model, nothing is trained, and no label is looked
at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from tokensieve.backbones.loading import load_weights
from tokensieve.cascade.build import EncoderClassifier, read_alone, stages_of
from tokensieve.training.sample import Sample, sum_type

_RIDGE = 0.2  # of the mean squared length of a document vector, centred (docs/LOG.md)


@torch.no_grad()
def align_head(
    model: EncoderClassifier,
    base: str | Path,
    sample: Sample,
    device: torch.device,
) -> dict[str, float] | None:
    """Fit the head's last layer of a model to the classifier that it was made of, and that it does not read like: by
    other settings, or with other norms and biases (`training.follow`). In a cascade, each stage's last layer.

    Args:
        model: its heads are changed in place.
        base: folder of the classifier; it is read anew.
        sample: training documents.
        device: to compute on.

    Returns:
        "moved" and "left": the mean squared distance of the two vectors of a document before and after, as a share of
        the variance of the classifier's; "moved_again" and "left_again" of the second stage, where it is fitted, too.
        None where nothing was to be fitted: it reads like the classifier, or all vectors are the same.

    Raises:
        CheckpointError: the base cannot be read.
    """
    origin: Any = load_weights(AutoModelForSequenceClassification, base, strict=True, dtype=torch.float32)
    if _read_alike(model, origin):
        return None
    stages, several = stages_of(model), len(stages_of(origin)) > 1
    whole = document_vectors(origin, sample, device, 1)
    first = model.settings.prune is not None and several
    wanted = document_vectors(origin, sample, device) if first else whole
    moved = _align(stages[0].head.classifier, document_vectors(model, sample, device), wanted) or {}
    again: dict[str, float] = {}
    if len(stages) > 1:
        read = _answered_by_second(model, sample)
        found = document_vectors(model, sample, device, 1)
        again = _align(stages[1].head.classifier, found[read], whole[read]) or {} if any(read) else {}
    return moved | {f"{name}_again": share for name, share in again.items()} or None


def _read_alike(model: EncoderClassifier, origin: EncoderClassifier) -> bool:
    own, other = (
        {name: tensor for name, tensor in each.state_dict().items() if "encoder." in name} for each in (model, origin)
    )
    depth = model.config.num_hidden_layers
    same = own.keys() == other.keys() and model.settings.expanded(depth) == origin.settings.expanded(depth)
    return same and all(torch.equal(tensor.cpu(), other[name].cpu()) for name, tensor in own.items())


def _answered_by_second(model: EncoderClassifier, sample: Sample) -> list[bool]:
    """Which documents a second stage answers: where it prunes, only those that are long enough to be pruned."""
    if model.settings.second_reads_all:
        return [True] * len(sample)
    masks = (batch["attention_mask"].sum(1).tolist() for batch in sample.batches(torch.device("cpu")))
    return [own for lengths in masks for own in stages_of(model)[0].encoder.pruned(lengths)]


def _align(last: nn.Module, found: Tensor, wanted: Tensor) -> dict[str, float] | None:
    """Let a last layer read the vectors found as if they were those wanted; None where it does already."""
    if torch.equal(found, wanted) or bool((wanted == wanted[0]).all()):
        return None
    alignment = Alignment(found, wanted)
    alignment.fold_into(last)
    return {"moved": alignment.distance(found), "left": alignment.distance(alignment(found))}


def document_vectors(model: EncoderClassifier, sample: Sample, device: torch.device, stage: int = 0) -> Tensor:
    """The vectors [N, d] that the head's last layer reads, as at inference; of a cascade by one of its stages."""
    training = model.training
    nn.Module.to(model, device=device).train(False)
    found = [read_alone(model, stage, **batch).pooled for batch in sample.batches(device)]
    model.train(training)
    return torch.cat(found)


class Alignment:
    """The map z -> nu + (z - mu) (I + B): `wanted` from `found`, both [N, d]; mu and nu are their means.

    B minimises the squared distances plus a ridge times its own squares: where documents vary little it is nearly 0,
    and what is left is a shift.
    """

    def __init__(self, found: Tensor, wanted: Tensor) -> None:
        self.wanted = _exact(wanted)
        self.found_mean, self.wanted_mean = _exact(found).mean(0), self.wanted.mean(0)
        own, moved = _exact(found) - self.found_mean, self.wanted - self.wanted_mean
        products = own.T @ own
        ridge = (own.square().sum() / len(own)).clamp(min=1e-30) * _RIDGE
        identity = torch.eye(len(products)).to(products)
        self.turn = identity + torch.linalg.solve(products + ridge * identity, own.T @ (moved - own))

    def __call__(self, found: Tensor) -> Tensor:
        """Document vectors [N, d] as they would have been with all tokens."""
        mapped: Tensor = self.wanted_mean + (_exact(found) - self.found_mean) @ self.turn
        return mapped

    def fold_into(self, linear: Any) -> None:
        """Let a linear layer read vectors as if they were mapped first."""
        weight = _exact(linear.weight)
        shift = self.wanted_mean - self.found_mean @ self.turn
        if linear.bias is not None:
            linear.bias.add_((weight @ shift).to(linear.bias))
        linear.weight.copy_(weight @ self.turn.T)

    def distance(self, vectors: Tensor) -> float:
        """Mean squared distance of vectors to the wanted ones, as a share of their variance."""
        spread = (self.wanted - self.wanted_mean).square().sum().clamp(min=1e-30)
        return float((_exact(vectors) - self.wanted).square().sum() / spread)


def _exact(tensor: Tensor) -> Tensor:
    return tensor.to(sum_type(tensor.device))
