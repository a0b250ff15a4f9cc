"""compress(): a checkpoint -> a model or a cascade with the same weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from tokensieve.backbones import compress as compress_one
from tokensieve.backbones.loading import has_tokenizer, load_config, load_tokenizer
from tokensieve.backbones.source import load_source_model, source_config
from tokensieve.cascade.classifier import TokensieveCascadeForSequenceClassification
from tokensieve.cascade.configuration import CascadeConfig
from tokensieve.cascade.defer import Defer
from tokensieve.config import ReductionConfig
from tokensieve.errors import ConfigError
from tokensieve.model.answers import Answers
from tokensieve.model.batch import check_batch
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.image_classifier import TokensieveForImageClassification

EncoderClassifier = TokensieveForSequenceClassification | TokensieveCascadeForSequenceClassification
"""One model, or a cascade of two."""
_OF_THE_WHOLE = (
    *("calibration_temperature", "thresholds", "tokenize_length", "text_pairs"),
    *("special_token_ids", "attention_backend"),
)
"""Fields that may have been set on a cascade's config since its stages were built."""


def compress(
    model_or_dir: PreTrainedModel | str | Path,
    config: ReductionConfig,
    *,
    tokenizer: Any = None,
    num_labels: int | None = None,
    id2label: Mapping[int, str] | None = None,
    problem_type: str | None = None,
) -> Any:
    """Build a model from a checkpoint, or a cascade if the settings ask for one (`defer`).

    The source is left as it was and shares no tensor with the result. Parts that it lacks (a head for other labels,
    combination tokens, the combining module) start at random, or as the combining module's `init` says. A learned
    importance is zero until it is fitted (`training.fits.importance`). A cascade defers nothing until its confidence is
    fitted (`cascade.fit`). A checkpoint of ours keeps its calibration only if it keeps its head.

    If the source is a cascade, settings that prune get the tensors of its first stage. Settings that prune nothing get
    those of its second stage, once its confidence is fitted. A new cascade keeps the second stage's last layer and
    norms, and with the same settings the confidence.

    Args:
        model_or_dir: a model of transformers of any family in `BACKBONES` or `IMAGE_BACKBONES`, or one of ours; or the
            folder or hub name of one (loaded in float32, safetensors only).
        config: the reduction settings.
        tokenizer: has the ids of the special tokens; None: a folder's own tokenizer if it has one, else the first and
            last token of each document are protected.
        num_labels: classes; None: the checkpoint's, or 2.
        id2label: class names; None: the checkpoint's if the number agrees.
        problem_type: as transformers' configs have it; None: the checkpoint's.

    Returns:
        A `TokensieveForSequenceClassification`, or a `TokensieveCascadeForSequenceClassification`; of a family that
        reads images a `TokensieveForImageClassification`.

    Raises:
        CheckpointError: unreadable, of an unknown family, or its layers do not serve the settings.
        ConfigError: settings that do not fit the model, or labels that contradict each other.
    """
    if not isinstance(model_or_dir, PreTrainedModel):
        if tokenizer is None and has_tokenizer(model_or_dir):
            sizes = source_config(load_config(model_or_dir), model_or_dir)
            tokenizer = load_tokenizer(model_or_dir, sizes) if sizes.grid is None else None
        model_or_dir = load_source_model(model_or_dir)
    source = model_or_dir if isinstance(model_or_dir, TokensieveCascadeForSequenceClassification) else None
    fitted = source is not None and source.config.defer_below is not None
    start = model_or_dir if source is None else source.second if config.prune is None and fitted else source.first
    labels: dict[str, Any] = {"num_labels": num_labels, "id2label": id2label, "problem_type": problem_type}
    if source is not None:
        start = _labelled(start, source)
    first = compress_one(start, replace(config, defer=None), tokenizer=tokenizer, **labels)
    if config.defer is None:
        return first
    if isinstance(first, TokensieveForImageClassification):
        raise ConfigError(
            f"defer.share={config.deferred:g} with the family {first.config.family}: cascades are of texts; "
            "leave defer out"
        )
    cascade = cascade_of(first, config)
    if source is not None:
        _take_second(cascade, source, labels)
        renewed = any(value is not None for value in labels.values())
        depth = source.config.num_hidden_layers
        same = not renewed and source.settings.expanded(depth) == config.expanded(depth)
        cascade.config.defer_below = source.config.defer_below if same else None
    return cascade


def _labelled(stage: Any, cascade: TokensieveCascadeForSequenceClassification) -> Any:
    """The same stage with a config of its own, which has the calibration and whatever else was set on the cascade."""
    labelled = copy.copy(stage)
    labelled.config = copy.deepcopy(stage.config)
    for name in _OF_THE_WHOLE:
        setattr(labelled.config, name, getattr(cascade.config, name))
    return labelled


def cascade_of(first: TokensieveForSequenceClassification, settings: ReductionConfig) -> Any:
    """Build a cascade whose first stage is a model.

    The second stage shares its tensors, but for a copy of the head's last layer.

    Args:
        first: a model with the settings of the first stage.
        settings: those of the cascade, with `defer`.
    """
    record = {**first.config.to_dict(), "reduction": settings.to_dict(), "model_type": CascadeConfig.model_type}
    config = CascadeConfig.from_dict(record)
    config._attn_implementation = first.config._attn_implementation
    with torch.device("meta"):
        cascade = TokensieveCascadeForSequenceClassification(config)
    cascade.stages[0] = first
    last = cascade.second.head.classifier
    for name, tensor in first.head.classifier.named_parameters():
        last._parameters[name] = nn.Parameter(tensor.detach().clone())
    cascade.share()
    cascade.train(first.training)
    return cascade


def _take_second(cascade: Any, source: TokensieveCascadeForSequenceClassification, labels: Mapping[str, Any]) -> None:
    """Copy the tensors that another cascade's second stage has of its own into a new cascade."""
    settings = cascade.settings
    with torch.random.fork_rng(devices=[]):  # what is trained next draws what it would have drawn
        stages = settings.stages(cascade.config.num_hidden_layers)
        second = compress_one(_labelled(source.second, source), stages[1], **labels)
    whole = settings.combine is None or source.settings.combine is not None  # else it starts at random
    cascade.give_own_norms(source.config.own_norms and whole)
    tensors, shared = second.state_dict(), cascade.shared_names()
    state = {f"stages.1.{name}": tensor for name, tensor in tensors.items() if name not in shared}
    renewed = labels.get("num_labels") is not None or labels.get("id2label") is not None
    if renewed and source.config.num_labels != cascade.config.num_labels:
        state = {name: tensor for name, tensor in state.items() if ".head.classifier." not in name}
    if source.settings.resolved_pooling != settings.resolved_pooling:
        state = {name: tensor for name, tensor in state.items() if ".head." not in name}
    cascade.load_state_dict(state, strict=False)


def with_all_tokens(base: str | Path) -> TokensieveForSequenceClassification:
    """Load a classifier of ours as one that prunes nothing: a cascade's second stage, or what that would be.

    Args:
        base: its folder, read in float32.

    Raises:
        CheckpointError: as `compress`.
    """
    settings = load_config(base).settings
    with torch.random.fork_rng(devices=[]):  # what is trained next draws what it would have drawn
        model: TokensieveForSequenceClassification = compress(base, replace(settings, prune=None, defer=None))
        return model


def read_alone(model: Any, stage: int, **inputs: Tensor) -> Answers:
    """Answer a padded batch by one stage of a cascade, or by a model alone."""
    if isinstance(model, TokensieveCascadeForSequenceClassification):
        return model.read_alone(stage, **inputs)
    return model.read(check_batch(model.config, **inputs))  # type: ignore[no-any-return]


def stages_of(model: Any) -> list[TokensieveForSequenceClassification]:
    """The encoders of a cascade in order of cost, or a model alone as the only one."""
    return [model.first, model.second] if isinstance(model, TokensieveCascadeForSequenceClassification) else [model]


def rules_of(model: Any) -> list[Defer]:
    """The rules by which the stages but the last one defer a document; none for a model alone."""
    return [model.rule] if isinstance(model, TokensieveCascadeForSequenceClassification) else []
