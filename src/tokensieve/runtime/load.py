"""load(): a trained folder -> something that predicts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from tokensieve.backbones.loading import file_in, load_config, load_tokenizer, load_weights
from tokensieve.cascade.configuration import CascadeConfig
from tokensieve.cascade.words_first import WordsFirst
from tokensieve.errors import CheckpointError, ConfigError, first_line
from tokensieve.kernels.int8.instructions import CALLED, has_int8
from tokensieve.kernels.linear import lay_out_weights
from tokensieve.model.classifier import TokensieveForSequenceClassification
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.model.layer import unfitted
from tokensieve.model.pretrained import WORDS_FIRST, encoder_alone
from tokensieve.old_names import renamed, renamed_keyword
from tokensieve.runtime.bag_of_words import is_bag_of_words, load_bag_of_words
from tokensieve.runtime.budget import BATCH_TOKENS
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.frontier import choose_speed, tuned_dtype
from tokensieve.runtime.offload import offload_input_embeddings
from tokensieve.runtime.precision import resolve_dtype
from tokensieve.runtime.words_first import engine_of
from tokensieve.words.files import FILES

__getattr__ = renamed(__name__)
logger = logging.getLogger(__name__)


@renamed_keyword("words_on_disk", "offload_embeddings")
def load(
    path: str | Path,
    *,
    device: str = "auto",
    dtype: str = "float32",
    max_length: int | None = None,
    batch_tokens: int | str = BATCH_TOKENS,
    offload_embeddings: bool = False,
    speed: str | float | None = None,
    keep: float | None = None,
) -> Classifier:
    """Read a folder written by `tokensieve train` or `save_pretrained` (with its tokenizer).

    A folder that `tokensieve train --preset words` wrote holds a bag of words, which runs on the CPU in float32. One
    that `--preset cascade` wrote has a bag of words ahead of the encoder.

    Args:
        path: the folder, or a hub name.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1".
        dtype: "float32", "bfloat16", "float16", or "auto": the type that `tokensieve tune` chose for the folder; of
            others bfloat16 where the device has instructions for it, else float32. A folder with int8 weights
            (`tokensieve quantize`) is read as such, whether "int8", "auto" or "float32" is asked for: what else there
            is, is float32.
        max_length: documents are truncated to this many tokens; None: as in training.
        batch_tokens: most tokens of a batch, or "auto": the fastest of some on the first documents, if they are many.
        offload_embeddings: leave the word vectors in their file, and read those that a batch needs
            (`OffloadedEmbeddings`): the same answers in less memory. The model is for inference alone. Its file may be
            replaced once it is loaded, but not written to.
        speed: a point of the frontier that `tokensieve tune` measured: "accurate", "balanced", "fastest", or how many
            times as fast as the dense encoder it is at least, as "8x" (`Frontier.at`). The folder is then read in the
            type that it was measured in, unless `dtype` names another one than float32. None: as the folder says.
        keep: share of its tokens that a document keeps in each pruning layer, in (0, 1], in place of the folder's. A
            classifier that was trained for many shares (preset "length-adaptive") is meant for it; any other answers
            the worse, the further the share is from that of its training. None: as the folder says.

    Raises:
        CheckpointError: no tokensieve model there, it cannot be read, its learned importance is not fitted, or a file
            of its bag of words is missing.
        ConfigError: an unknown device, dtype or speed, a speed that no point reaches, a length that does not fit, a
            share that is out of range or that the model cannot keep, or `offload_embeddings` on a system that cannot
            read at an offset of a file.
    """
    if is_bag_of_words(path):
        resolve_device(device)
        refuse_of_words(path, speed, keep)
        return load_bag_of_words(path, max_length)
    config = text_classifier_config(path)
    place = resolve_device(device)
    check_int8(path, config.int8 is not None, dtype, offload_embeddings)
    kind = torch.float32 if config.int8 is not None else resolve_dtype(tuned_dtype(path, dtype, speed), place)
    with encoder_alone():
        model: Any = load_weights(AutoModelForSequenceClassification, path, strict=True, dtype=kind)
    if unfitted(model):
        raise CheckpointError(
            f"{path}: its learned importance is not fitted, so that it would keep the first tokens whatever they are: "
            "train it with 'tokensieve train', from a dense classifier"
        )
    if isinstance(config, CascadeConfig) and config.defer_below is None:
        logger.warning(
            "%s: a cascade (defer.share=%g) whose defer_below is not fitted: no document is deferred; train it",
            path,
            config.settings.deferred,
        )
    set_keep(model, keep, path, speed)
    if offload_embeddings:
        offload_input_embeddings(model, path)
    torch.nn.Module.to(model, device=place)
    lay_out_weights(model)
    tokenizer, first = load_tokenizer(path, config), words_first_of(path, config.label_names)
    engine = engine_of(model.eval(), tokenizer, first, max_length=max_length, batch_tokens=batch_tokens)
    classifier = Classifier(engine)
    if speed is not None:
        choose_speed(classifier, path, speed)
    return classifier


def text_classifier_config(path: str | Path) -> TokensieveConfig:
    """The config of a folder or hub name that holds a classifier of texts.

    Raises:
        CheckpointError: it cannot be read, or it is that of another model.
    """
    config = load_config(path)
    if not isinstance(config, TokensieveConfig):
        raise CheckpointError(
            f"{path}: holds a {config.model_type!r} model, not a tokensieve classifier: train one with "
            "'tokensieve train --model ...', or build one with tokensieve.compress"
        )
    if config.grid is not None:
        raise CheckpointError(
            f"{path}: config.json has patches, so this is an image classifier, and this serves texts: load it with "
            "AutoModelForImageClassification, and its image processor with AutoImageProcessor"
        )
    if config.problem_type == "regression" or len(config.label_names) < (1 if config.is_multi_label else 2):
        found = f"problem_type={config.problem_type!r} and id2label={config.id2label!r}"
        raise CheckpointError(
            f"{path}: config.json has {found}, so the model is no classifier: train one with 2 labels or more"
        )
    return config


def refuse_of_words(path: str | Path, speed: str | float | None, keep: float | None) -> None:
    """Raise ConfigError for what a bag of words has no choice of."""
    if speed is not None:
        raise ConfigError(f"speed={speed!r}: {path} is a bag of words, which has one speed: leave it out")
    if keep is not None:
        raise ConfigError(f"keep={keep!r}: {path} is a bag of words, which prunes nothing: leave it out")


def set_keep(model: Any, keep: float | None, path: str | Path, speed: str | float | None) -> None:
    """Let a model that was read from `path` keep another share of the tokens; None: its own.

    Raises:
        ConfigError: it prunes nothing, thresholds were fitted or measured at its own share, or the share is refused.
    """
    if keep is None:
        return
    if speed is not None:
        raise ConfigError(f"keep={keep!r} with speed={speed!r}: its points were measured at the folder's own share")
    if not isinstance(model, TokensieveForSequenceClassification):
        raise ConfigError(
            f"keep={keep!r}: {path} is a cascade, which defers by the confidence at its own shares: leave keep out"
        )
    model.set_keep(keep)


def check_int8(path: str | Path, is_int8: bool, dtype: str, offload_embeddings: bool) -> None:
    """Refuse what does not go with a folder's type; warn where the processor has no instructions for int8.

    Raises:
        ConfigError: int8 of a folder that has no int8 weights, or something that int8 weights do not go with.
    """
    if not is_int8:
        if dtype == "int8":
            raise ConfigError(
                f"dtype='int8': {path} has float weights: make int8 ones with 'tokensieve quantize --model {path} "
                "--data DOCUMENTS --output FOLDER', and load that folder"
            )
        return
    if dtype not in ("int8", "float32", "auto"):
        raise ConfigError(f"dtype={dtype!r}: {path} has int8 weights: leave it out")
    if offload_embeddings:
        raise ConfigError(f"offload_embeddings: {path} has int8 weights, whose table stays in memory: leave it out")
    if not has_int8():
        logger.warning(
            "%s: int8 weights, and this processor has no instructions for them (%s): products are made in float32, "
            "with the same numbers, and no faster",
            path,
            CALLED,
        )


def words_first_of(path: str | Path, labels: Sequence[str]) -> WordsFirst | None:
    """The bag of words ahead of an encoder; None: there is none.

    Args:
        path: folder or hub name of the encoder.
        labels: the encoder's.

    Raises:
        CheckpointError: as `WordsFirst.load`, or the hub has not all of its files.
    """
    if file_in(path, WORDS_FIRST) is None:
        return None
    files = {name: file_in(path, name) for name in (WORDS_FIRST, *FILES)}
    for name, file in files.items():
        if file is None:
            raise CheckpointError(
                f"{path}: {WORDS_FIRST} is there, and {name} is missing: train the classifier again, or put it back"
            )
    return WordsFirst.load(Path(str(files[WORDS_FIRST])).parent, labels)


def resolve_device(name: str) -> torch.device:
    """A device by name.

    Raises:
        ConfigError: no such device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError("no device to compute on")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={name!r} cannot be used ({first_line(error)}): give auto, cpu or cuda") from error
    return device
