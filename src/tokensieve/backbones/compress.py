"""compress(), compress_body(): a checkpoint of transformers -> a tokensieve model with the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from tokensieve.backbones.source import COMBINE, SourceCheckpoint, read_source, renumbered
from tokensieve.config import ReductionConfig
from tokensieve.errors import CheckpointError, ConfigError
from tokensieve.model.body import Body, TokensieveModel
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.config_fields import PROBLEM_TYPES
from tokensieve.model.image_classifier import TokensieveForImageClassification
from tokensieve.reduce.combine.combining_module import TokenCombiner

Classifier = TokensieveForSequenceClassification | TokensieveForImageClassification

_LAST_LAYER = "head.classifier.weight"
_LEARNED = (".importance.", ".gate.")
"""Parts of a layer that a score and a selection learn: a checkpoint may lack them."""
_COMBINATION = "embeddings.combination_tokens.weight"


def compress(
    given: PreTrainedModel,
    config: ReductionConfig,
    *,
    tokenizer: Any = None,
    num_labels: int | None = None,
    id2label: Mapping[int, str] | None = None,
    problem_type: str | None = None,
) -> Classifier:
    """Build a single model by the settings; `tokensieve.cascade.build.compress` describes arguments and errors.

    Args:
        given: a model of transformers or one of ours, but no cascade; it is left as it was.
        config: the reduction settings.
        tokenizer: tells the ids of the special tokens; None: those of `given`, if it knows them.
        num_labels: classes.
        id2label: class names.
        problem_type: as transformers' configs have it.
    """
    source = read_source(given)
    _set_labels(source, num_labels, id2label, problem_type)
    _set_reduction(source, config, tokenizer)
    kind = TokensieveForSequenceClassification if source.config.grid is None else TokensieveForImageClassification
    model = kind(source.config)
    state = _pick(source, model)
    renewed = any(own is not None for own in (num_labels, id2label, problem_type)) or _LAST_LAYER not in state
    if renewed:
        model.config.calibration_temperature, model.config.thresholds = 1.0, None
    _fill(model, state, given)
    return model


def compress_body(given: PreTrainedModel, config: ReductionConfig, *, tokenizer: Any = None) -> TokensieveModel:
    """Build a body, which has no head, by the settings.

    Args:
        given: as in `compress`; a head that it has is left out.
        config: the reduction settings.
        tokenizer: as in `compress`.

    Raises:
        CheckpointError: an unknown family, or layers that do not serve the settings.
        ConfigError: settings that do not fit the model's depth.
    """
    source = read_source(given)
    _set_reduction(source, config, tokenizer)
    model = TokensieveModel(source.config)
    _fill(model, _pick(source, model), given)
    return model


def _set_reduction(source: SourceCheckpoint, config: ReductionConfig, tokenizer: Any) -> None:
    config.check_depth(source.config.num_hidden_layers)
    source.config.reduction = config.to_dict()
    if tokenizer is not None:
        source.config.special_token_ids = special_token_ids(tokenizer)


def _fill(model: Body, state: dict[str, Tensor], given: PreTrainedModel) -> None:
    """Load the parameters, and take over device, type and mode of the source."""
    _load(model, state)
    combine = model.settings.combine
    if combine is not None and combine.starts_as_identity:
        _start_as_identity(model, state)
    nn.Module.to(model, device=given.device, dtype=given.dtype)
    model.train(given.training)


def special_token_ids(tokenizer: Any) -> list[int]:
    """Ids of [CLS] or <s> and [SEP] or </s>; not of [UNK], [MASK] or padding."""
    names = ("cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id")
    return sorted({token for token in (getattr(tokenizer, name, None) for name in names) if token is not None})


def _set_labels(
    source: SourceCheckpoint, num_labels: int | None, id2label: Mapping[int, str] | None, problem_type: str | None
) -> None:
    if id2label is not None:
        if num_labels is not None and num_labels != len(id2label):
            raise ConfigError(f"num_labels={num_labels} with {len(id2label)} names in id2label: give one of them")
        if not id2label or len(set(id2label.values())) < len(id2label):
            raise ConfigError(f"id2label={dict(id2label)!r}: give at least one label, and every one its own name")
        if sorted(id2label) != list(range(len(id2label))):
            raise ConfigError(f"id2label has the ids {sorted(id2label)}: number the labels 0 to {len(id2label) - 1}")
        source.config.id2label = dict(id2label)
    elif num_labels is not None and num_labels != source.config.num_labels:
        if num_labels < 1:
            raise ConfigError(f"num_labels={num_labels}: give 1 or more")
        source.config.num_labels = num_labels  # names them LABEL_0 and so on
    names: Any = source.config.id2label
    source.config.label2id = {name: number for number, name in names.items()}
    if problem_type is not None:
        if problem_type not in PROBLEM_TYPES:
            raise ConfigError(f"problem_type={problem_type!r}: choose one of {', '.join(PROBLEM_TYPES)}")
        source.config.problem_type = problem_type  # type: ignore[assignment]


def _pick(source: SourceCheckpoint, model: Body) -> dict[str, Tensor]:
    """The source's parameters under the names of the steps that use them."""
    steps = enumerate(model.encoder.steps)
    places = {COMBINE if step.source is None else str(step.source): str(i) for i, step in steps}
    picked = {renumbered(name, places): tensor for name, tensor in source.state.items()}
    same_pooling = source.pooling == model.settings.resolved_pooling
    wanted = model.state_dict()
    return {
        name: tensor
        for name, tensor in picked.items()
        if name in wanted and wanted[name].shape == tensor.shape and (same_pooling or not name.startswith("head."))
    }


def _start_as_identity(model: Body, state: Mapping[str, Tensor]) -> None:
    """Start the combining module and its tokens as the identity, where the checkpoint has none."""
    if model.settings.combination_tokens and _COMBINATION not in state:
        model.embeddings.start_combination_tokens()
    for name, module in model.named_modules():
        if isinstance(module, TokenCombiner) and f"{name}.query.weight" not in state:
            module.start_as_identity()


def _load(model: Body, state: dict[str, Tensor]) -> None:
    """Copy the parameters; only what is new may be missing."""
    missing = model.load_state_dict(state, strict=False).missing_keys
    steps = model.encoder.steps
    combine = tuple(f"encoder.layer.{i}." for i, step in enumerate(steps) if step.kind == "combine")
    new = ("head.", "embeddings.combination_tokens", *combine)
    lacking = [name for name in missing if not name.startswith(new) and not any(part in name for part in _LEARNED)]
    if lacking:
        raise CheckpointError(
            f"the checkpoint has no parameter for {lacking[0]} ({len(lacking)} in all): its sizes or layers do not "
            "serve these settings; a replaced layer cannot come back, so start from the uncompressed checkpoint"
        )
