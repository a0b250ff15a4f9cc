"""How well a learned score agrees with the exact gradient that it predicts: ranks, and the tokens that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from tokensieve.cascade.build import with_all_tokens
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.layer import Layer
from tokensieve.reduce.contract import Scored
from tokensieve.tokens import Tokens
from tokensieve.training.fits.importance import by_source, importance_by_layer, target_of
from tokensieve.training.fits.sample import Sample


def agreement(
    model: TokensieveForSequenceClassification, base: str | Path, sample: Sample, device: torch.device
) -> dict[str, dict[str, float]]:
    """Compare the fitted scores of a model with the importance of the classifier that it was made of.

    Args:
        model: its scores are fitted.
        base: folder of the classifier; it is loaded again, and runs with all its tokens.
        sample: documents; better others than those that the scores were fitted to.
        device: to compute on.

    Returns:
        By number of the model's step, from 1: the mean over documents of "spearman", the rank correlation of score and
        importance; and of "overlap", the share of the tokens that the layer keeps by its score which it would also keep
        by as many of the most important ones; and the number of "documents". Special tokens are left out, and so are
        documents with fewer than two other tokens; from the overlap also those that keep none or all of them.
    """
    classifier = with_all_tokens(base)
    nn.Module.to(classifier, device=device).train(False)
    nn.Module.to(model, device=device)
    places = by_source(classifier)
    own = {source: layer for source, layer in by_source(model).items() if layer.importance is not None}
    found: dict[int, list[tuple[float, float | None]]] = {source: [] for source in own}
    for entering, importance in importance_by_layer(classifier, [places[one] for one in own], sample, target_of(model)):
        for (source, layer), tokens, exact in zip(own.items(), entering, importance, strict=True):
            found[source] += _by_document(layer, tokens, exact)
    steps = {layer: str(number) for number, layer in enumerate(model.encoder.layer, 1)}
    return {steps[layer]: _means(found[source]) for source, layer in own.items()}


@torch.no_grad()
def _by_document(layer: Layer, tokens: Tokens, exact: Tensor) -> list[tuple[float, float | None]]:
    """Rank correlation and overlap of each document of a batch."""
    assert layer.importance is not None
    training = layer.importance.training
    scores = layer.importance.train(False)(tokens.with_values(tokens.values.detach()))[0]
    layer.importance.train(training)
    found = []
    for rows in torch.arange(len(scores), device=scores.device).split(list(tokens.lengths)):
        text = rows[tokens.origin[rows] >= 0]
        free = ~tokens.protected[text]
        if int(free.sum()) > 1:
            kept = _kept(layer, scores[text], tokens.protected[text])
            found.append((spearman(scores[text][free], exact[text][free]), overlap(kept[free], exact[text][free])))
    return found


def _kept(layer: Layer, scores: Tensor, protected: Tensor) -> Tensor:
    """Which tokens of one document the layer keeps by these scores, [t] bool."""
    assert layer.prune is not None
    scored = Scored(
        scores=scores.view(1, 1, -1),
        alive=torch.ones_like(protected).view(1, 1, -1),
        protected=protected.view(1, 1, -1),
        lengths=(len(scores),),
        protected_counts=(int(protected.sum()),),
        is_log=layer.prune.score.is_log,
    )
    return layer.prune.select.select(scored, layer.share)[0, 0]


def spearman(one: Tensor, other: Tensor) -> float:
    """Rank correlation of two rows of numbers [t]; 0 where all of one are equal."""
    ranks = torch.stack([_ranks(one), _ranks(other)])
    ranks = ranks - ranks.mean(1, keepdim=True)
    spread = float(ranks.norm(dim=1).prod())
    return float(ranks[0] @ ranks[1]) / spread if spread else 0.0


def _ranks(values: Tensor) -> Tensor:
    """The mean rank of each value among equal ones, [t] float64."""
    below = (values.unsqueeze(0) < values.unsqueeze(1)).sum(1)
    equal = (values.unsqueeze(0) == values.unsqueeze(1)).sum(1)
    return (below.double() + (equal.double() - 1) / 2).cpu()


def overlap(kept: Tensor, exact: Tensor) -> float | None:
    """The share of the kept tokens that are among as many of the most important ones; None: none or all are kept."""
    number = int(kept.sum())
    if number in (0, len(kept)):
        return None
    return float(kept[exact.argsort(descending=True, stable=True)[:number]].sum()) / number


def _means(found: Sequence[tuple[float, float | None]]) -> dict[str, float]:
    shared = [part for _, part in found if part is not None]
    return {
        "spearman": sum(rank for rank, _ in found) / len(found) if found else 0.0,
        "overlap": sum(shared) / len(shared) if shared else 0.0,
        "documents": len(found),
    }
