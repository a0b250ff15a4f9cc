"""Frozen features of images with token reduction, and the linear probe that scores them.

A host is a checkpoint of a vision family. Its body reads every image, with tokens leaving by a row's settings; logistic
regression on the vectors is the task. Nothing of the host is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokensieve import ReductionConfig, TokensieveModel
from tokensieve.backbones import compress_body
from tokensieve.backbones.source import load_source_model
from tokensieve.errors import ConfigError
from tokensieve.model.head import pooled_by
from tokensieve.model.images import check_images
from tokensieve.model.plan import body_flops
from tokensieve_bench.leaderboard import at_share

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, a number a channel; both hosts are given images with these taken out."""
DENSE = ReductionConfig(prune=None)


@dataclass(frozen=True)
class ImageSet:
    """Labelled images of one size.

    Attributes:
        pixels: [N, 3, side, side] float32, as a host takes them.
        labels: [N] numbers of the classes.
        split: [N] name of the folder that each comes from.
    """

    pixels: Tensor
    labels: np.ndarray
    split: tuple[str, ...]


def read_images(folder: Path, side: int, most: int | None = None) -> ImageSet:
    """Read `folder/SPLIT/CLASS/*.jpg`, resized to `side` pixels.

    Args:
        folder: of the set.
        side: height and width that the host takes.
        most: images, evenly spaced among all; None: all.

    Raises:
        SystemExit: no images there.
    """
    from PIL import Image

    files = sorted(folder.glob("*/*/*.jpg"))
    if not files:
        raise SystemExit(f"{folder}: no images SPLIT/CLASS/*.jpg: give the folder of the set")
    if most is not None:
        files = [files[place * len(files) // most] for place in range(min(most, len(files)))]
    classes = sorted({file.parent.name for file in files})
    pixels = torch.empty(len(files), 3, side, side)
    for place, file in enumerate(files):
        with Image.open(file) as image:
            array = np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32)
        pixels[place] = torch.from_numpy((array / 255 - MEAN) / DEVIATION).permute(2, 0, 1)
    labels = np.array([classes.index(file.parent.name) for file in files])
    return ImageSet(pixels, labels, tuple(file.parent.parent.name for file in files))


def body_of(host: Path, settings: ReductionConfig) -> TokensieveModel:
    """The host's body with these settings, in eval mode."""
    body: TokensieveModel = compress_body(load_source_model(host), settings).train(False)
    return body


def settings_at(row: dict[str, Any], host: TokensieveModel, length: int, share: float) -> ReductionConfig:
    """A row's settings, its schedule made so strong that the body costs this share of the dense one's FLOPs.

    Args:
        row: the record of what prunes.
        host: the dense body.
        length: tokens of an image.
        share: of the FLOPs.

    Raises:
        ConfigError: the row cannot reach the share.
    """
    given = ReductionConfig.from_dict({"prune": row})
    found = at_share(given, host.config, [length], share)
    if found is None:
        raise ConfigError(f"a share of {share:g} of the FLOPs is out of reach: give a larger one, or leave the row out")
    return found


@torch.no_grad()
def features(model: TokensieveModel, pixels: Tensor, batch: int) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Vectors [N, 2 d] of images, [CLS] beside the mean of the patches left; and the tokens each kept at each step."""
    vectors, kept = [], list[tuple[int, ...]]()
    for part in pixels.split(batch):
        output: Any = model(pixel_values=part)
        vectors.append(pooled_by("cls+others", output.tokens, model.config.special_ahead))
        kept += zip(*output.trace.kept, strict=True)
    return torch.cat(vectors).numpy(), kept


def flops_share(model: TokensieveModel, kept: Sequence[tuple[int, ...]], pixels: Tensor) -> float:
    """FLOPs of the body for these images, as a share of those with nothing reduced, by the tokens that each kept."""
    config = model.config
    (length,) = set(check_images(config, pixels[:1]).lengths)
    count = cache(lambda counts: body_flops(config, length, counts))
    plain = type(config).from_dict(config.to_dict() | {"reduction": DENSE.to_dict()})
    return fmean(count(counts) for counts in kept) / body_flops(plain, length, (length,) * config.num_hidden_layers)


def probed(vectors: np.ndarray, labels: np.ndarray, folds: int, seed: int, strength: float) -> np.ndarray:
    """Which images a linear probe gets right, [N] bool: each by the fold that has not seen it.

    Args:
        vectors: [N, w]; they are standardised by the training images of each fold.
        labels: [N].
        folds: parts of the images, with the classes in equal shares.
        seed: of the parts.
        strength: C of scikit-learn's logistic regression.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
    found: np.ndarray = cross_val_predict(model, vectors, labels, cv=parts) == labels
    return found
