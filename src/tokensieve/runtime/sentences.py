"""SentenceEncoder: texts in, vectors out, by a body without a head; `load_encoder` makes it of any checkpoint.

Nothing is trained. The vector of a text is the mean of the tokens that are left, as sentence encoders pool
(Reimers and Gurevych, EMNLP 2019). The caller trains what reads the vectors, such as a logistic regression on few
labelled texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from tokensieve.backbones import compress_body
from tokensieve.backbones.default_model import default_model_dir
from tokensieve.backbones.loading import load_config, load_tokenizer
from tokensieve.backbones.source import load_source_model, source_config
from tokensieve.cascade.configuration import CascadeConfig
from tokensieve.config import ReductionConfig
from tokensieve.config.assigned import settings_of_file
from tokensieve.config.reduction import PRESETS
from tokensieve.errors import CheckpointError, ConfigError
from tokensieve.kernels.linear import lay_out_weights
from tokensieve.model.body import TokensieveModel
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.layer import unfitted
from tokensieve.model.plan import body_flops
from tokensieve.runtime.bag_of_words import is_bag_of_words
from tokensieve.runtime.budget import BATCH_TOKENS
from tokensieve.runtime.classifier import Text, documents_of, is_large, scaled, texts_of
from tokensieve.runtime.engine import Engine
from tokensieve.runtime.load import resolve_device
from tokensieve.runtime.precision import dtype_name, resolve_dtype

if TYPE_CHECKING:
    import numpy as np


class SentenceEncoder:
    """A body that turns texts into vectors; made by `load_encoder`.

    Attributes:
        engine: runs the body.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def model(self) -> TokensieveModel:
        """The body."""
        return self.engine.model  # type: ignore[return-value]

    @property
    def settings(self) -> ReductionConfig:
        """Which tokens leave, and where."""
        return self.model.settings

    @property
    def dtype(self) -> str:
        """Weights and activations: "float32", "bfloat16" or "float16"."""
        return dtype_name(self.model.dtype)

    def encode(self, texts: Iterable[Text], *, normalize: bool = True) -> np.ndarray:
        """The vector of each text, in order, [N, hidden size] float32: the mean of the tokens that are left.

        Texts are sorted by length and run in batches of the encoder's budget of tokens. A vector does not depend on
        the other texts, but for its last digits.

        Args:
            texts: as in `Classifier.predict`.
            normalize: scale each vector to length 1, so that a dot product is a cosine.

        Raises:
            InputError, DataError, ConfigError: as `Classifier.predict`.
        """
        found = texts_of(texts, self.model.config.text_pairs)
        vectors = self.engine.embed(documents_of(found), prefetch=is_large(found))
        return scaled(vectors, normalize)

    def flops(self, lengths: Sequence[int], kept: Sequence[tuple[int, ...]]) -> list[float]:
        """FLOPs of the body for each document, as `Embedded` tells its length and the tokens that it kept."""
        config = self.model.config
        count = cache(lambda length, counts: body_flops(config, length, counts))
        return [count(length, counts) for length, counts in zip(lengths, kept, strict=True)]


def load_encoder(
    model: str | Path | None = None,
    settings: ReductionConfig | str | Path | None = None,
    *,
    device: str = "auto",
    dtype: str = "float32",
    max_length: int | None = None,
    batch_tokens: int | str = BATCH_TOKENS,
) -> SentenceEncoder:
    """Read a checkpoint as an encoder of sentences, with token reduction that needs no training.

    Args:
        model: folder or hub name of a checkpoint of a family in `BACKBONES`, or of a float32 classifier of ours, whose
            head is left out; None: the default model.
        settings: reduction settings, the name of a preset, or a JSON file of settings, such as `tokensieve tune
            --tasks` writes. None: those of a classifier of ours; of another checkpoint no token leaves.
        device: as in `load`.
        dtype: as in `load`, without int8.
        max_length: texts are truncated to this many tokens; None: what the checkpoint was trained with, or fits. The
            length that a file of sentence-transformers names is not read.
        batch_tokens: as in `load`.

    Raises:
        CheckpointError: no encoder there, it cannot be read, or learned importance is not fitted.
        ConfigError: settings that do not fit, a cascade, an unknown device or dtype, or a length that does not fit.
        MissingExtraError: the default model is not installed.
    """
    place = resolve_device(device)
    kind = resolve_dtype(dtype, place)
    source, tokenizer = read_encoder(model)
    body = body_by(source, tokenizer, settings)
    torch.nn.Module.to(body, device=place, dtype=kind)
    lay_out_weights(body)
    return encoder_of(body, tokenizer, max_length=max_length, batch_tokens=batch_tokens)


def read_encoder(model: str | Path | None) -> tuple[PreTrainedModel, Any]:
    """The model of a checkpoint, on the CPU, and its tokenizer; arguments and errors as in `load_encoder`."""
    path = default_model_dir("encoding without --model") if model is None else model
    if is_bag_of_words(path):
        raise CheckpointError(f"{path}: a bag of words has no encoder: name a checkpoint of one, or leave it out")
    config = load_config(path)
    if isinstance(config, CascadeConfig):
        raise CheckpointError(
            f"{path}: a cascade, whose stages have vectors of their own: use tokensieve.load(...).encode, or name a "
            "classifier of one stage"
        )
    tokenizer = load_tokenizer(path, source_config(config, path))
    return load_source_model(path).train(False), tokenizer


def body_by(source: PreTrainedModel, tokenizer: Any, settings: ReductionConfig | str | Path | None) -> TokensieveModel:
    """The body of a model by settings, which are as in `load_encoder`; the model is left as it was."""
    resolved = resolve_settings(settings, source.config)
    if resolved.defer is not None:
        raise ConfigError(
            f"defer.share={resolved.defer.share:g}: an encoder of sentences has one stage: give settings without it"
        )
    body = compress_body(source, resolved, tokenizer=tokenizer)
    if unfitted(body):
        raise CheckpointError(
            "prune.score=learned: this checkpoint has no fitted importance, so that it would keep the first tokens "
            "whatever they are: give settings that need no training (prune.score=received, as the preset quantile), or "
            "a classifier that 'tokensieve train' made with them"
        )
    return body


def encoder_of(body: TokensieveModel, tokenizer: Any, **options: Any) -> SentenceEncoder:
    """The encoder of a body; `options` as `Engine` takes them."""
    untyped: Any = body.train(False)  # an engine that classifies takes classifiers; this one only embeds
    return SentenceEncoder(Engine(untyped, tokenizer, **options))


def resolve_settings(settings: ReductionConfig | str | Path | None, config: Any) -> ReductionConfig:
    """The settings that are meant, as in `load_encoder`, for a checkpoint with this config."""
    own = config.settings if isinstance(config, TokensieveConfig) else ReductionConfig.preset("dense")
    if settings is None:
        return own
    if isinstance(settings, ReductionConfig):
        return settings
    if isinstance(settings, Path) or (settings not in PRESETS and str(settings).endswith(".json")):
        return settings_of_file(Path(settings), own)
    return ReductionConfig.preset(settings)
