"""What a run starts from: the model that a checkpoint becomes, and whether it is a trained classifier already."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokensieve.backbones.default_model import name_of_base
from tokensieve.backbones.loading import load_config, load_tokenizer
from tokensieve.backbones.source import source_config
from tokensieve.cascade.build import EncoderClassifier, compress, stages_of
from tokensieve.config import ReductionConfig
from tokensieve.errors import ConfigError
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.old_names import renamed
from tokensieve.training.files.record import record_of_base
from tokensieve.training.job import TrainingJob
from tokensieve.training.recipe import Recipe

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """What a run starts from.

    Attributes:
        model: made of the base, with the settings of the job; not trained yet.
        tokenizer: of the base.
        why_no_classifier: why the base is no trained classifier of the job's labels; None: it is one.
        why_untrained: why it is none with all parts that the settings need; None: it is one.
    """

    model: EncoderClassifier
    tokenizer: Any
    why_no_classifier: str | None
    why_untrained: str | None

    @property
    def is_trained(self) -> bool:
        """Whether the base is a trained classifier with all parts, whose weights count as epoch 0."""
        return self.why_untrained is None


def read_start(job: TrainingJob) -> Start:
    """Build the model. New parameters are drawn, so the seed is set before.

    Raises:
        CheckpointError: the base cannot be used.
        ConfigError: settings or a length that do not fit it.
    """
    splits = job.splits
    model, tokenizer = start_model(job.base, job.settings, job.recipe, splits.label_names, splits.multi_label)
    for part in (model, *stages_of(model)):
        part.config.text_pairs = any(document.pair is not None for document in splits.train)
    reason = why_no_classifier(job.base, splits.label_names)
    return Start(model, tokenizer, reason, reason or why_incomplete(job.base, job.settings))


def start_model(
    base: str | Path, settings: ReductionConfig, recipe: Recipe, labels: Sequence[str], multi_label: bool
) -> tuple[EncoderClassifier, Any]:
    """The model or cascade and its tokenizer; a length that does not fit is refused before weights are read.

    Raises:
        CheckpointError: `base` cannot be used.
        ConfigError: settings or a length that do not fit it.
    """
    config = source_config(load_config(base), base)
    length = config.truncation_length(recipe.max_length)
    tokenizer = load_tokenizer(base, config)
    kind = "multi_label_classification" if multi_label else "single_label_classification"
    model = compress(base, settings, tokenizer=tokenizer, id2label=dict(enumerate(labels)), problem_type=kind)
    model.config.tokenize_length = length
    return model, tokenizer


def why_no_classifier(base: str | Path, labels: Sequence[str]) -> str | None:
    """Why a base is no trained classifier of these labels, in their order; None: it is one."""
    config = load_config(base)
    if not isinstance(config, TokensieveConfig):
        return f"{base} is no classifier that tokensieve trained"
    return None if config.label_names == tuple(labels) else f"the classifier {base} has other labels than the data"


def why_incomplete(base: str | Path, settings: ReductionConfig) -> str | None:
    """Which part of a trained classifier would start at random with these settings; None: no part."""
    config = load_config(base)
    assert isinstance(config, TokensieveConfig)
    before = config.settings
    if before.resolved_pooling != settings.resolved_pooling:
        return (
            f"the head of {base} reads {before.resolved_pooling!r} pooling, so with "
            f"pooling={settings.resolved_pooling!r} it would start at random"
        )
    same = type(before.combine) is type(settings.combine) and before.combination_tokens == settings.combination_tokens
    if settings.combine is not None and not settings.combine.fitted and not same:
        return f"{base} has no combining module with {settings.combination_tokens} tokens, so it would start at random"
    return None


def check_start(reason: str | None, wanted: str) -> None:
    """Raise ConfigError if there is a reason why a base is not what is needed."""
    if reason is not None:
        remedy = "train one first (preset 'dense', pooling 'mean', the same data), and start from its folder"
        raise ConfigError(f"{wanted}, and {reason}: {remedy}")


def warn_of_base(job: TrainingJob, digest: str) -> None:
    """Warn if a trained classifier saw other data, whose digest differs, or if its head reads too few tokens."""
    warn_of_other_data(job.base, digest)
    warn_of_pruned_base(job.settings, job.base)


def warn_of_other_data(base: str | Path, digest: str) -> None:
    """Warn if a classifier was trained on other documents: today's validation documents may be among them."""
    if (record_of_base(base) or {}).get("data_digest") not in (None, digest):
        logger.warning(
            "%s was trained on other documents than these, in another split, or at another length: where validation "
            "documents of now were among them, its own weights (epoch 0) look better than they are",
            name_of_base(base),
        )


def warn_of_pruned_base(settings: ReductionConfig, base: str | Path) -> None:
    """Warn if the second stage would get a last layer that has learned to read fewer tokens."""
    config = load_config(base)
    before = config.settings if isinstance(config, TokensieveConfig) else None
    if settings.defer is not None and before is not None and before.prune is not None and before.defer is None:
        logger.warning(
            "%s prunes, and its head is to read all tokens in the second stage: better start from a dense one", base
        )
