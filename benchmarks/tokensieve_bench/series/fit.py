"""Training of a forecaster, and its errors; nothing is chosen by the test part."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensieve_bench.series.data import Series
from tokensieve_bench.series.forecaster import Forecaster


def fit(model: Forecaster, series: Series, recipe: Mapping[str, Any], seed: int) -> int:
    """Train a model; it ends with the weights of the evaluation with the lowest error on the validation windows.

    Args:
        model: at its first weights.
        series: its training and validation windows are read.
        recipe: steps, batch, learning_rate, weight_decay, evaluate_every.
        seed: of the batches.

    Returns:
        The step whose weights are kept.
    """
    past, future = series.windows("training")
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe["learning_rate"], weight_decay=recipe["weight_decay"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe["learning_rate"], total_steps=recipe["steps"])
    best, weights, kept = float("inf"), copy.deepcopy(model.state_dict()), 0
    for step in range(1, recipe["steps"] + 1):
        model.train()
        picked = torch.randint(len(past), (recipe["batch"],), generator=generator)
        own = past[picked]
        scale = own.std(1, keepdim=True) + 1e-3
        loss = F.mse_loss(model(own) / scale, future[picked] / scale)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % recipe["evaluate_every"] == 0:
            error = errors(model, *series.windows("validation"))["mse"]
            if error < best:
                best, weights, kept = error, copy.deepcopy(model.state_dict()), step
    model.load_state_dict(weights)
    return kept


@torch.no_grad()
def errors(model: Forecaster, past: Tensor, future: Tensor) -> dict[str, float]:
    """Mean squared and mean absolute error over all windows and values, in units of the series' training part."""
    model.eval()
    told = torch.cat([model(part) for part in past.split(256)])
    return {"mse": float(F.mse_loss(told, future)), "mae": float(F.l1_loss(told, future))}


def naive_errors(past: Tensor, future: Tensor, season: int) -> dict[str, dict[str, float]]:
    """Of the last value, and of the values one season before."""
    horizon = future.shape[1]
    seasons = -(-horizon // season)
    told = {"last value": past[:, -1:].expand_as(future), "season": past[:, -season:].repeat(1, seasons)[:, :horizon]}
    return {
        name: {"mse": float(F.mse_loss(own, future)), "mae": float(F.l1_loss(own, future))}
        for name, own in told.items()
    }
