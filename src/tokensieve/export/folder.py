"""export(): a classifier's folder -> a folder in another format, compared with the model before it takes its name."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tokensieve.backbones.loading import file_in, load_tokenizer
from tokensieve.cascade.classifier import TokensieveCascadeForSequenceClassification
from tokensieve.checks import one_of
from tokensieve.errors import CheckpointError, ConfigError
from tokensieve.export.checkpoint import family_config, to_transformers
from tokensieve.export.onnx import check_packages, check_settings, onnx_logits, to_onnx
from tokensieve.export.samples import COMPARED, sample_batch
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.pretrained import WORDS_FIRST
from tokensieve.runtime.bag_of_words import is_bag_of_words
from tokensieve.runtime.load import load
from tokensieve.system import resolved, system_errors_explained

logger = logging.getLogger(__name__)

FORMATS = ("transformers", "onnx")
ONNX_FILE = "model.onnx"
_TOLERANCE = 1e-4
"""Of logits, or of the largest one where that is above 1."""

Logits = Callable[[Mapping[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: where.
        format: one of `FORMATS`.
        difference: largest difference of a logit between the export and the model, on documents of random words.
        not_exported: calibration that the export leaves to its user: `calibration_temperature` and `thresholds`, as far
            as they are fitted.
    """

    folder: Path
    format: str
    difference: float
    not_exported: dict[str, object]


def export(model: str | Path, output: str | Path, format: str, *, stage: int | None = None) -> Exported:
    """Write a trained classifier in a format that is read without tokensieve.

    "transformers" gives a checkpoint of the family's own class for classification, such as
    `BertForSequenceClassification`, with its tokenizer. Only dense models with pooling "pretrained" have one. "onnx"
    gives `model.onnx`, beside the tokenizer and a config.json with the labels. It takes dense models of any pooling,
    and those that keep a fixed share of the tokens. Logits are the model's; its calibration is not applied to them.

    Args:
        model: folder of a trained classifier, or a hub name.
        output: folder to make; nothing is overwritten.
        format: one of `FORMATS`.
        stage: of a cascade of encoders: 1, the stage that prunes, or 2, the one that deferred documents go to.

    Raises:
        ConfigError: an unknown format; settings that the format cannot hold, which the message names; a cascade
            without a stage, or a stage without a cascade; a classifier that begins with a bag of words, or is one;
            or an output that is there and not empty, or that cannot be made.
        CheckpointError: as `tokensieve.load`; or the export answers otherwise than the model, and is not kept.
        MissingExtraError: the packages of ONNX are not installed.
        OperatingSystemError: the disk is full, or the system refuses something else.
    """
    if not one_of(FORMATS).fits(format):
        raise ConfigError(f"format={format!r}: {one_of(FORMATS).remedy}")
    path = resolved(Path(output))
    _check_output(path, output)
    if format == "onnx":
        check_packages()
    source = _stage_of(model, stage)
    config = source.config
    tokenizer = load_tokenizer(model, config)
    tokenizer.model_max_length = config.truncation_length()  # so truncation=True cuts as in training
    segments = "token_type_ids" in tokenizer.model_input_names
    try:
        with _folder_in_the_making(path) as part:
            if format == "onnx":
                check_settings(source)
                to_onnx(source, part / ONNX_FILE, segments)
                written = onnx_logits(part / ONNX_FILE)
                family_config(config, tokenizer).save_pretrained(part)
            else:
                theirs = to_transformers(source, tokenizer)
                written = lambda inputs: theirs(**inputs).logits  # noqa: E731 - a method of no other use
                theirs.save_pretrained(part)
            tokenizer.save_pretrained(part)
            difference = _compared(source, written, exact=not _prunes(source), segments=segments)
    except (ConfigError, CheckpointError) as error:
        raise type(error)(f"{model}: {error}") from error
    return Exported(path, format, difference, _left_out(config))


def _stage_of(path: str | Path, stage: int | None) -> TokensieveForSequenceClassification:
    """The one encoder that is exported, in float32 on the CPU."""
    if is_bag_of_words(path):
        raise ConfigError(f"{path}: is a bag of words, which has no form in transformers or ONNX: export an encoder")
    if file_in(path, WORDS_FIRST) is not None:
        raise ConfigError(
            f"{path}: begins with a bag of words ({WORDS_FIRST}), which cannot be exported, and its encoder alone "
            "would answer otherwise: train without one (no --preset cascade, no train.words_first)"
        )
    model = load(path, device="cpu", dtype="float32").model
    if model.config.int8:
        raise ConfigError(f"{path}: its weights are int8: export the float32 classifier that it was made of")
    if not isinstance(model, TokensieveCascadeForSequenceClassification):
        if stage is not None:
            raise ConfigError(f"{path}: stage={stage}, and this is one model, no cascade: leave the stage out")
        return model
    if stage is None:
        raise ConfigError(
            f"{path}: a cascade (defer.share={model.settings.deferred:g}), which no single graph computes: export one "
            "stage (--stage 1 prunes, --stage 2 is what deferred documents go to), or train with --set defer=none"
        )
    if stage not in (1, 2):
        raise ConfigError(f"stage={stage}: a cascade has the stages 1 and 2")
    return (model.first, model.second)[stage - 1]


def _prunes(model: TokensieveForSequenceClassification) -> bool:
    return any(step.prune is not None for step in model.encoder.steps)


@torch.no_grad()
def _compared(model: TokensieveForSequenceClassification, written: Logits, *, exact: bool, segments: bool) -> float:
    """The largest difference of a logit, on documents in one batch and alone.

    Args:
        model: in eval mode.
        written: gives the export's logits.
        exact: no tokens leave. Otherwise one document may differ more: of tokens with nearly the same score, rounding
            decides which one stays.
        segments: whether the tokenizer gives them.

    Raises:
        CheckpointError: logits differ by more than rounding does.
    """
    lengths = [min(length, model.config.longest_document) for length in COMPARED]
    groups = [lengths, *([length] for length in lengths)]
    batches = [sample_batch(model.config, group, segments) for group in groups]
    differences = []
    for batch in batches:
        expected = model(**batch).logits
        scale = max(1.0, float(expected.abs().max()))
        differences += [float(row.abs().max()) / scale for row in written(batch) - expected]
    ordered = sorted(differences, key=lambda difference: (difference != difference, difference))  # NaN last
    worst = ordered[-1] if exact else ordered[-3]  # a document is there twice, in the batch and alone
    if not worst <= _TOLERANCE:
        raise CheckpointError(
            f"the export's logits differ from the model's by {ordered[-1]:.1e}, and it is not kept: install other "
            "versions of torch and onnxruntime, and report it"
        )
    return ordered[-1]


def _left_out(config: TokensieveConfig) -> dict[str, object]:
    """The fitted calibration, with a warning that says what to do about it."""
    left: dict[str, object] = {}
    if config.calibration_temperature != 1.0:
        left["calibration_temperature"] = config.calibration_temperature
        logger.warning(
            "calibration_temperature=%g is not part of the export: divide its logits by it before they become "
            "probabilities",
            config.calibration_temperature,
        )
    if config.thresholds is not None:
        left["thresholds"] = config.thresholds
        logger.warning(
            "thresholds=%s are not part of the export: give a label from its calibrated probability on (by default "
            "programs take 0.5)",
            config.thresholds,
        )
    return left


def _check_output(path: Path, output: str | Path) -> None:
    """Raise ConfigError unless the folder can be made, or is there and empty."""
    if not path.parent.is_dir():
        raise ConfigError(f"output {output}: the folder {path.parent} does not exist; make it first")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        kind = "is not empty" if path.is_dir() else "is a file"
        raise ConfigError(f"output {output} exists and {kind}: an export overwrites nothing, so name a folder to make")


@contextmanager
def _folder_in_the_making(path: Path) -> Iterator[Path]:
    """A folder beside `path` that takes its name at the end, and is removed if anything fails before."""
    with system_errors_explained(path):
        place = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        try:
            part = place / path.name  # `place` is private to its maker
            part.mkdir()
            yield part
            if path.is_dir():
                path.rmdir()  # it is empty
            part.rename(path)
        finally:
            shutil.rmtree(place, ignore_errors=True)
