"""Reading checkpoints through transformers: safetensors only, and every failure as one error that names the folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from tokensieve.errors import CheckpointError, TokensieveError
from tokensieve.model.configuration import TokensieveConfig

_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model")


def load_config(path: str | Path) -> Any:
    """The transformers config of a folder or hub name.

    Raises:
        CheckpointError: no folder, no readable config.json, an unknown model_type, or settings that are refused.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{path} is a file: give the folder that holds config.json and model.safetensors")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise CheckpointError(f"{path}: no config.json in this folder: give a folder written by save_pretrained")
    try:
        return AutoConfig.from_pretrained(path)
    except TokensieveError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:
        local = folder.is_dir()
        remedy = "config.json is broken or of an unknown kind" if local else "no such folder, nor a model of that name"
        raise CheckpointError(f"{path}: {remedy} ({first_line(error)})") from error


def load_weights(loader: Any, path: str | Path, *, strict: bool, **options: Any) -> PreTrainedModel:
    """`loader.from_pretrained` with safetensors only.

    Args:
        loader: a model class, or one of transformers' automatic ones.
        path: folder or hub name.
        strict: the file must hold just the model's tensors; else those of another head are left out.
        options: for `from_pretrained`.

    Raises:
        CheckpointError: weights missing, broken, pickled, of other shapes or for another model.
    """
    try:
        with _quiet_transformers():
            model, report = loader.from_pretrained(
                path, use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True, **options
            )
    except Exception as error:
        raise CheckpointError(
            f"{path}: the weights cannot be read as safetensors ({first_line(error)}); "
            "give a folder with an intact model.safetensors (pickled .bin weights are not loaded)"
        ) from error
    wrong = [(str(entry[0]), "has another shape than config.json says") for entry in report["mismatched_keys"]]
    headless = (
        loader is AutoModel
    )  # a body saved alone often has no pooler; ours then starts at random, as its head does
    wrong += [(name, "is missing") for name in report["missing_keys"] if not headless or "pooler" not in name]
    wrong += [
        (name, "has no place in the model that config.json describes") for name in report["unexpected_keys"] if strict
    ]
    if wrong:
        name, problem = min(wrong)
        raise CheckpointError(
            f"{path}: in model.safetensors {name} {problem} ({len(wrong)} tensors in all do not fit): "
            "give weights and config.json that were saved together"
        )
    loaded: PreTrainedModel = model
    return loaded


def file_of_tensor(path: str | Path, config: Any, name: str) -> Path:
    """Where a tensor lies of a folder or hub name whose weights were loaded: their one file, or one of several.

    Args:
        path: folder or hub name.
        config: of transformers, which may call the file something else.
        name: of the tensor.

    Raises:
        CheckpointError: in none of them.
    """
    try:
        folder = Path(str(cached_file(path, "config.json"))).parent
        single = folder / (getattr(config, "transformers_weights", None) or SAFE_WEIGHTS_NAME)
        if single.is_file():
            return single
        record = json.loads((folder / SAFE_WEIGHTS_INDEX_NAME).read_text(encoding="utf-8"))
        return folder / str(record["weight_map"][name])
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: {name} cannot be found in the files of the weights: save them anew") from error


def load_tokenizer(path: str | Path, config: TokensieveConfig) -> Any:
    """The tokenizer of a folder or hub name.

    Raises:
        CheckpointError: none there, unreadable, or with more ids than the model's table of embeddings.
    """
    if Path(path).is_dir() and not has_tokenizer(path):
        raise CheckpointError(
            f"{path}: no tokenizer in this folder ({', '.join(_VOCABULARIES)}); save it beside the model"
        )
    try:
        with _quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(path)
    except Exception as error:
        reason = first_line(error)
        raise CheckpointError(f"{path}: no readable tokenizer ({reason}); save it beside the model") from error
    if len(tokenizer) > config.vocab_size:
        raise CheckpointError(
            f"{path}: the tokenizer has {len(tokenizer)} ids, the model embeds {config.vocab_size}: "
            "they are not of one checkpoint; save the model's own tokenizer beside it"
        )
    return tokenizer


def has_tokenizer(path: str | Path) -> bool:
    """Whether a folder holds a vocabulary."""
    return any((Path(path) / name).is_file() for name in _VOCABULARIES)


def first_line(error: BaseException) -> str:
    """An error's first line, shortened, for a message of ours."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers' own report of what did not fit off the terminal: our error says it."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)
