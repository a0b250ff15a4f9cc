"""The forward pass of one document while gates are trained: no row leaves, each has a weight. No dropout, no noise."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor
from typing import Any

import torch
from torch import Tensor

from contract.oracle.backbone import Backbone
from contract.oracle.forward import _queries_asked, shares_of
from contract.oracle.rule import protected_places
from flat import flat_of
from tokensieve import TokensieveForSequenceClassification


def soft_answer(model: TokensieveForSequenceClassification, ids: Sequence[int]) -> tuple[Tensor, float]:
    """Logits [num_labels] of one document, and what its gates add to the loss."""
    config, settings = model.config, model.settings
    flat = flat_of(settings, config.num_hidden_layers)
    backbone = Backbone(config, model.state_dict())
    places = protected_places(config, ids)
    protected = [flat.protect_special and place in places for place in range(len(ids))]
    rows, left, penalty = backbone.embed(ids, None), [1.0] * len(ids), 0.0
    for number, share in enumerate(shares_of(config, flat)):
        name, gated = f"encoder.layer.{number}.", share < 1 and len(ids) >= settings.min_length
        layer = _Layer(backbone, flat, name, number, protected)
        rows, weights = layer.run(rows, left if flat.pruning == "skim" else None, gated)
        if gated:
            acting = [before * now for before, now in zip(left, weights, strict=True)]
            left = acting
            penalty += layer.penalty(acting if flat.pruning == "skim" else weights)
        elif share < 1:
            penalty += layer.penalty(left if flat.pruning == "skim" else [1.0] * len(ids))
    return backbone.head(flat, backbone.norm("encoder.LayerNorm", rows), left), penalty


class _Layer:
    """A layer with its gate."""

    def __init__(self, backbone: Backbone, flat: Any, name: str, number: int, protected: Sequence[bool]) -> None:
        self.backbone, self.flat, self.name, self.number, self.protected = backbone, flat, name, number, protected
        self.select, self.depth = flat.prune.select, backbone.config.num_hidden_layers

    def run(self, rows: Tensor, left: list[float] | None, gated: bool) -> tuple[Tensor, list[float]]:
        """The rows after it, and their weights; `left` says which rows are left as keys, where that is told."""
        t, weights = len(rows), [1.0] * len(rows)
        keys = list(range(t)) if left is None else [j for j in range(t) if left[j]]
        ahead = gated and self.flat.score != "received"
        if ahead:
            weights = self.weights(self._scores(rows), left)
            if left is not None and self.flat.prune.site.ahead and not self.flat.prune.site.keys_once_more:
                keys = [j for j in keys if weights[j]]
        asked, own = _queries_asked(self.flat, t, 0), self.flat.score_own
        positions = (rows, list(range(t)))
        heads = [keys] * self.backbone.config.num_attention_heads
        place = (self.name, self.number)
        context, received, _ = self.backbone.attention(*place, positions, positions, heads, asked, own=own)
        if gated and not ahead:
            weights = self.weights([float(score) for score in torch.stack(received).mean(0)], left)
        extracts = self.select.name == "soft-extract"
        computed = self.backbone.feed_forward(self.name, context, rows, weights if extracts and gated else None)
        if not gated or extracts:
            return computed, weights
        if self.select.name == "learned-threshold":
            return torch.stack([weight * row for weight, row in zip(weights, computed, strict=True)]), weights
        stays = [bool(weight) and (left is None or bool(left[j])) for j, weight in enumerate(weights)]
        return torch.stack([computed[j] if stay else rows[j] for j, stay in enumerate(stays)]), weights

    def weights(self, scores: Sequence[float], left: Sequence[float] | None) -> list[float]:
        """The weight of each row by its score; 1 for protected rows."""
        t = len(scores)
        free = [j for j in range(t) if not self.protected[j]]
        told = [1.0] * t
        if self.select.name == "soft-extract":
            order = sorted(range(t), key=lambda j: (j in free, 0.0 if j not in free else -scores[j], j))
            retention = self.backbone.weights[self.name + "gate.retention"]
            for rank, j in enumerate(order):
                told[j] = float(retention[floor(Fraction(rank * len(retention), t))]) if j in free else 1.0
            return told
        if self.select.name == "learned-threshold":
            difference = float(self.backbone.weights[self.name + "gate.difference"])
            threshold = max(self.select.final * (self.number + 1) / self.depth + difference, 1e-5)
            for j in free:
                margin = torch.tensor((scores[j] - threshold) / self.select.temperature, dtype=torch.float64)
                told[j] = float(torch.sigmoid(margin))
            return told
        here = [j for j in range(t) if left is None or left[j]]
        staying = {j for j in here if self.protected[j] or scores[j] > 0}
        others = sorted((j for j in here if j not in staying), key=lambda j: (-scores[j], j))
        staying |= set(others[: max(0, min(t, self.select.min_tokens) - len(staying))])
        return [float(j in staying) for j in range(t)]

    def penalty(self, weights: Sequence[float]) -> float:
        """What it adds to the loss."""
        if self.select.name == "soft-extract":
            total = float(self.backbone.weights[self.name + "gate.retention"].sum())
            return self.select.penalty * (self.number + 1) * total
        mean = sum(weights) / len(weights)
        return self.select.penalty * mean / (self.depth if self.select.name == "skim" else 1)

    def _scores(self, rows: Tensor) -> list[float]:
        if self.flat.score == "skim-predictor":
            return [self.backbone.skim_score(self.name, row) for row in rows]
        return [float(row @ self.backbone.weights[self.name + "importance.weight"][0]) for row in rows]
