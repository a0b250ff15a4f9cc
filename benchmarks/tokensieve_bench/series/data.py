"""Real series that statsmodels ships, cut in time into training, validation and test, and windows of them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

TRAINING, VALIDATION = 0.7, 0.1
"""Shares of a series, from its beginning; the rest is the test."""


@dataclass(frozen=True)
class Series:
    """A series in units of its training part: less its mean, over its deviation.

    Attributes:
        values: [N] float32.
        context: values that a forecast reads.
        horizon: values that it tells.
        stride: every so many steps in time a window of validation and test begins; those of training are all.
    """

    values: Tensor
    context: int
    horizon: int
    stride: int = 1

    def windows(self, part: str) -> tuple[Tensor, Tensor]:
        """Contexts [W, context] and what follows them [W, horizon], for steps in time.

        What a window of validation or test follows may reach back into the part before; what it tells does not.

        Args:
            part: "training", "validation" or "test".
        """
        total = len(self.values)
        ends = [0, int(TRAINING * total), int((TRAINING + VALIDATION) * total), total]
        number = ("training", "validation", "test").index(part)
        first = max(self.context, ends[number])
        starts = range(first, ends[number + 1] - self.horizon + 1, 1 if part == "training" else self.stride)
        whole = torch.stack([self.values[at - self.context : at + self.horizon] for at in starts])
        return whole[:, : self.context], whole[:, self.context :]


def read_series(name: str, settings: Mapping[str, Any]) -> Series:
    """A series of statsmodels' data sets.

    Args:
        name: "co2" (weekly, Mauna Loa), "elnino" (monthly sea temperatures) or "sunspots" (yearly).
        settings: `context`, `horizon` and `stride`.

    Raises:
        SystemExit: statsmodels is not there.
    """
    values = torch.tensor(_readers()[name](), dtype=torch.float64)
    training = values[: int(TRAINING * len(values))]
    scaled = (values - training.mean()) / training.std()
    return Series(scaled.float(), settings["context"], settings["horizon"], settings["stride"])


def _readers() -> dict[str, Any]:
    try:
        sets = importlib.import_module("statsmodels.datasets")
    except ImportError as error:
        raise SystemExit(
            f"{error}: the series are those that statsmodels ships: pip install statsmodels, or put a folder that has "
            "it on PYTHONPATH (pip install --target FOLDER --no-deps statsmodels patsy)"
        ) from error

    def co2() -> list[float]:
        return sets.co2.load_pandas().data["co2"].interpolate().tolist()  # type: ignore[no-any-return]  # 59 weeks lack

    def elnino() -> list[float]:
        return sets.elnino.load_pandas().data.drop(columns="YEAR").to_numpy().ravel().tolist()  # type: ignore[no-any-return]

    def sunspots() -> list[float]:
        return sets.sunspots.load_pandas().data["SUNACTIVITY"].tolist()  # type: ignore[no-any-return]

    return {"co2": co2, "elnino": elnino, "sunspots": sunspots}
