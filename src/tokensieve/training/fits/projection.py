"""The warm start of a projection by content: each of its tokens stands for a kind of token of the training documents.

The states that reach the projection are clustered (k-means, m clusters). Token i then takes the mean of a document's
tokens, weighted from the distribution of all tokens towards that of cluster i: with clusters that are normal and
equally wide around their centres mu_i, and all tokens around mu, the ratio of both densities is a softmax over tokens
of (mu_i - mu) . x / s^2, but for a constant. x is the normed state. The width s is set so that a token of the
projection takes as many tokens as its share of a document: the mean perplexity of the weights is n / m.

By position a projection starts as stretches of the text, and nothing is fitted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.reduce.combine.projection import SequenceProjection
from tokensieve.training.fits.importance import layer_inputs
from tokensieve.training.fits.sample import Sample

_ROUNDS = 30  # of k-means; assignments of 20,000 states hardly move after 20
_HALVINGS = 40
_FACTORS = (1e-6, 1e4)  # of the centres: with the first all tokens weigh the same, with the second one has it all


def projection_of(model: TokensieveForSequenceClassification) -> SequenceProjection | None:
    """The projection of a model; None: it has none."""
    return next((module for module in model.encoder.layer if isinstance(module, SequenceProjection)), None)


@torch.no_grad()
def fit_projection(
    model: TokensieveForSequenceClassification, sample: Sample, device: torch.device
) -> dict[str, float] | None:
    """Start a model's projection by the states that reach it.

    Args:
        model: made of a trained classifier; what it prunes ahead of the projection is fitted.
        sample: training documents.
        device: to compute on.

    Returns:
        "explained": the share of the variance of the states that the clusters explain; "perplexity": the mean number
        of tokens that a token of the projection takes. None: it follows positions, and nothing was fitted.
    """
    projection = projection_of(model)
    if projection is None or not projection.by_content:
        return None
    documents = _states(model, projection, sample, device)
    every, number = torch.cat(documents), len(projection.weight)
    if len(every) < number:
        return None
    centres, explained = k_means(every, number, sample.seed)
    directions = centres - every.mean(0)
    factor, perplexity = _sharpness(directions, documents)
    projection.weight.copy_(factor * directions * every.shape[1] ** 0.5)  # the module divides by the root
    return {"explained": explained, "perplexity": perplexity}


def _states(
    model: TokensieveForSequenceClassification, projection: SequenceProjection, sample: Sample, device: torch.device
) -> list[Tensor]:
    """The normed states [n, d] of each document that reach the projection."""
    training, found = model.training, list[Tensor]()
    nn.Module.to(model, device=device).train(False)
    with layer_inputs([projection]) as entering:
        for batch in sample.batches(device):
            model(**batch)
            (tokens,) = entering
            normed = F.layer_norm(tokens.values.float(), tokens.values.shape[1:])
            found += normed.split(list(tokens.lengths))
            entering.clear()
    model.train(training)
    return found


def k_means(states: Tensor, number: int, seed: int = 0) -> tuple[Tensor, float]:
    """Centres [k, d] of `number` clusters of states [N, d], and the share of the variance that they explain.

    The first centres are drawn far from each other (k-means++: Arthur and Vassilvitskii, 2007). A cluster that loses
    all its states gets the one that is farthest from its centre.
    """
    generator = torch.Generator().manual_seed(seed)
    centres = states[torch.randint(len(states), (1,), generator=generator)]
    while len(centres) < number:
        nearest = torch.cdist(states, centres).amin(1).square().cpu()
        weights = nearest if float(nearest.sum()) > 0 else torch.ones_like(nearest)
        centres = torch.cat([centres, states[torch.multinomial(weights, 1, generator=generator)]])
    for _ in range(_ROUNDS):
        distance, nearest = torch.cdist(states, centres).min(1)
        centres = torch.stack(
            [
                states[nearest == one].mean(0) if (nearest == one).any() else states[distance.argmax()]
                for one in range(number)
            ]
        )
    left = torch.cdist(states, centres).amin(1).square().sum()
    total = (states - states.mean(0)).square().sum()
    return centres, float(1 - left / total) if total > 0 else 1.0


def _sharpness(directions: Tensor, documents: Sequence[Tensor]) -> tuple[float, float]:
    """The factor of the directions with which a token takes n / m tokens, by the mean of the logarithms; and e^mean."""
    logits = [directions @ states.T for states in documents]
    wanted = sum(max(0.0, math.log(each.shape[1] / len(each))) for each in logits) / len(logits)

    def entropy(factor: float) -> float:
        return sum(float(_entropy(factor * each)) for each in logits) / len(logits)

    low, high = _FACTORS
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if entropy(middle) > wanted else (low, middle)
    return high, math.exp(entropy(high))


def _entropy(logits: Tensor) -> Tensor:
    """Mean entropy of the weights whose logits are the rows, [m, n]."""
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()
