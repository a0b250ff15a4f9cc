"""Fitting a threshold to a wanted mean share of tokens, which is the share of the schedule.

Each document is scored once. How many of its tokens a threshold keeps follows from the scores, so that the threshold
is found by bisection without another pass. The mean is over documents, of the share of its tokens that each keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor, nn

from tokensieve.cascade.build import EncoderClassifier, stages_of
from tokensieve.config import ReductionConfig
from tokensieve.errors import ConfigError, DataError
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.layer import Layer
from tokensieve.model.steps import encoder_steps
from tokensieve.reduce.contract import Scored, Select
from tokensieve.reduce.select.threshold import Threshold
from tokensieve.training.fits.sample import Sample

_HALVINGS = 60  # of 0 to the largest threshold: they leave 1e-12
_LARGEST = 1e6  # that a setting takes


def fitted_threshold(settings: ReductionConfig) -> Threshold | None:
    """The selection whose threshold training has to fit; None: there is none."""
    select = None if settings.prune is None else settings.prune.select
    return select if isinstance(select, Threshold) and select.fit else None


def check_threshold(settings: ReductionConfig, depth: int) -> None:
    """Refuse settings whose threshold cannot be fitted to a share.

    Raises:
        ConfigError: several layers prune, or none, so that the share is not that of one threshold; or a second stage
            is to keep other shares by the same threshold.
    """
    if fitted_threshold(settings) is None:
        return
    number = sum(share < 1 for share in settings.shares(depth))
    if number != 1:
        raise ConfigError(
            f"prune.select.fit=True with a schedule that prunes in {number} of {depth} layers: one threshold is fitted "
            "to the share of one layer; use prune.schedule=one-layer, or give the threshold and fit=False"
        )
    if settings.defer is not None and settings.defer.schedule is not None:
        raise ConfigError(
            "prune.select.fit=True with defer.schedule: both stages have one threshold; leave defer.schedule out, so "
            "that the second stage reads all tokens"
        )


def fit_threshold(model: EncoderClassifier, sample: Sample, device: torch.device) -> dict[str, float]:
    """Fit the threshold of a model to the share of its schedule; the model and its config get the new settings.

    Args:
        model: its settings pass `check_threshold`; its scores are fitted.
        sample: training documents.
        device: to compute on.

    Returns:
        "threshold", the "wanted" mean share, and the "share" that the threshold keeps of the sample. Documents that
        are too short to be pruned are left out.

    Raises:
        DataError: no document of the sample is long enough to be pruned.
    """
    first = stages_of(model)[0]
    layer = next(one for one in first.modules() if isinstance(one, Layer) and one.prune is not None)
    assert layer.prune is not None
    select = layer.prune.select
    assert isinstance(select, Threshold)
    asked = _asked(first, layer, sample, device)
    if not sum(float(one.weights.sum()) for one in asked):
        raise DataError(
            f"prune.select.fit=True: none of the {len(sample)} training documents that were looked at is long enough "
            f"to be pruned (min_length={first.settings.min_length}): give the threshold and fit=False"
        )

    def share_kept(threshold: float) -> float:
        return _mean_share(asked, replace(select, threshold=threshold), layer.share)

    low, high = 0.0, _LARGEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if share_kept(middle) > layer.share else (low, middle)
    best = min((low, high), key=lambda one: abs(share_kept(one) - layer.share))
    put_select(model, replace(select, threshold=best))
    return {"threshold": best, "wanted": float(layer.share), "share": share_kept(best)}


def put_select(model: EncoderClassifier, select: Select) -> None:
    """Give a model, or both stages of a cascade, another selection; its config has it, too."""
    for part in {id(part): part for part in (model, *stages_of(model))}.values():
        settings = part.config.settings
        if settings.prune is not None:
            part.config.reduction = replace(settings, prune=replace(settings.prune, select=select)).to_dict()
    for stage in stages_of(model):
        config, encoder = stage.config, stage.encoder
        encoder.steps = encoder_steps(config.settings, config.num_hidden_layers, config.block.local_layers)
        for step, module in zip(encoder.steps, encoder.layer, strict=True):
            if step.prune is not None:
                module.prune = step.prune  # type: ignore[assignment]  # a layer, by its kind of step


class _Recorder(Select):
    """Notes what it is asked, and keeps every token."""

    def __init__(self) -> None:
        self.seen: list[Scored] = []

    def counts(self, lengths: Sequence[int], protected_counts: Sequence[int], share: Fraction) -> None:
        """None, so that it is asked."""
        return None

    def select(self, scored: Scored, share: Fraction) -> Tensor:
        """All."""
        self.seen.append(scored)
        return scored.alive.expand_as(scored.scores)

    def bounds(self, alive: int, protected: int, share: Fraction) -> tuple[int, int]:
        """All."""
        return alive, alive


@dataclass(frozen=True)
class _Asked:
    """What the selection of a layer is asked for one batch.

    Attributes:
        scored: the documents.
        weights: [B], how much each document counts; 0 for one that is too short to be pruned.
    """

    scored: Scored
    weights: Tensor

    def kept(self, select: Select, share: Fraction) -> tuple[float, float]:
        """The weighted sum of the shares that documents keep, and the sum of the weights."""
        keep = select.select(self.scored, share)[:, 0].sum(-1) / self.scored.alive[:, 0].sum(-1)
        return float((keep.cpu().double() * self.weights).sum()), float(self.weights.sum())


@torch.no_grad()
def _asked(
    model: TokensieveForSequenceClassification, layer: Layer, sample: Sample, device: torch.device
) -> list[_Asked]:
    """What the selection of the layer is asked, for each batch of the sample with a document that is pruned."""
    training, found, recorder = model.training, list[_Asked](), _Recorder()
    every = torch.ones(len(sample)) if sample.weights is None else sample.weights
    assert layer.prune is not None
    prune, start = layer.prune, 0
    nn.Module.to(model, device=device).train(False)
    layer.prune = replace(prune, select=recorder)
    try:
        for batch in sample.batches(device):
            model(**batch)
            weights = every[start : start + len(batch["input_ids"])].double()
            start += len(weights)
            if recorder.seen:
                scored = recorder.seen.pop()
                found.append(_Asked(scored, weights * torch.tensor(model.encoder.pruned(scored.lengths))))
    finally:
        layer.prune = prune
        model.train(training)
    return found


def _mean_share(asked: Sequence[_Asked], select: Select, share: Fraction) -> float:
    """The mean share of its tokens that a document keeps."""
    sums = [one.kept(select, share) for one in asked]
    return sum(kept for kept, _ in sums) / sum(weight for _, weight in sums)
