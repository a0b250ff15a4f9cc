"""Reading checkpoints through transformers: every failure is one error that names the folder.

What is read never runs code. Weights are safetensors; Python files beside them (`auto_map`) are not executed, and
nobody is asked whether they may be; attention is torch's own, whatever kernel config.json names.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from tokensieve.backbones.record import check_record
from tokensieve.backbones.registry import ALL_BACKBONES
from tokensieve.checks import read_object
from tokensieve.errors import CheckpointError, TokensieveError, first_line
from tokensieve.model.configuration import TokensieveConfig
from tokensieve.system import refuse, system_errors_explained

_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model")


def load_config(path: str | Path) -> Any:
    """The transformers config of a folder or hub name.

    Raises:
        CheckpointError: no folder, no readable config.json, an unknown model_type, code of the folder's own, or
            settings that are refused.
        OperatingSystemError: the system does not let us read config.json, or refuses something else.
    """
    if not isinstance(path, (str, Path)):
        raise CheckpointError(f"{path!r} is no checkpoint: give a folder, or the name of one on a hub")
    folder = Path(path)
    if not str(path):
        raise CheckpointError("the name of the model is empty: give a folder, or a hub name")
    with system_errors_explained(path):
        is_there = folder.exists()
    if folder.is_symlink() and not is_there:
        raise CheckpointError(f"{path}: a link to {os.readlink(path)}, which is not there; correct the link")
    if is_there and not folder.is_dir():
        raise CheckpointError(f"{path} is a file: give the folder that holds config.json and model.safetensors")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise CheckpointError(f"{path}: no config.json in this folder: give a folder written by save_pretrained")
    try:
        check_record(read_object(Path(str(cached_file(path, "config.json")))))
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        family = ALL_BACKBONES.get(config.model_type)
        # A kernel that the folder names would be fetched from a hub, and run.
        config._attn_implementation = "sdpa" if family is None else family.attention
        return config
    except TokensieveError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:
        refuse(error, path)
        _refuse_code(path, "config.json", error)
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
        CheckpointError: weights missing, broken, pickled, of other shapes or for another model, or an adapter's.
        OperatingSystemError: the system does not let us read them, or refuses something else.
    """
    _refuse_adapter(path)
    _check_readable(path, "*.safetensors")
    config = load_config(path)
    _refuse_pickled_parts(path, config)
    safe = {"config": config, "use_safetensors": True, "trust_remote_code": False}
    try:
        with _quiet_transformers():
            model, report = loader.from_pretrained(
                path, output_loading_info=True, ignore_mismatched_sizes=True, **safe, **options
            )
    except Exception as error:
        refuse(error, path)
        raise CheckpointError(
            f"{path}: the weights cannot be read as safetensors ({first_line(error)}); "
            "give a folder with an intact model.safetensors (pickled .bin weights are not loaded)"
        ) from error
    wrong = [(str(entry[0]), "has another shape than config.json says") for entry in report["mismatched_keys"]]
    # A body saved alone often has no pooler; ours then starts at random, as its head does.
    headless = loader is AutoModel
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


def file_in(path: str | Path, name: str, *, if_known: bool = False) -> Path | None:
    """A file of a folder or hub name; None: it has none of this name.

    Args:
        path: folder or hub name.
        name: of the file.
        if_known: None also where the hub cannot be asked.

    Raises:
        CheckpointError: the hub cannot be asked.
    """
    if Path(path).is_dir():
        file = Path(path) / name
        return file if file.is_file() else None
    try:
        found = cached_file(path, name, _raise_exceptions_for_missing_entries=False)
    except (OSError, ValueError) as error:
        if if_known:
            return None
        raise CheckpointError(f"{path}: whether it has {name} cannot be told ({first_line(error)})") from error
    return None if found is None else Path(str(found))


def file_of_tensor(path: str | Path, config: Any, name: str) -> Path:
    """The weights file that holds a tensor, of a folder or hub name whose weights were loaded.

    Args:
        path: folder or hub name.
        config: config of transformers, which may name the file.
        name: name of the tensor.

    Raises:
        CheckpointError: no file holds it.
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
        CheckpointError: the model reads images; there is none, it is unreadable, or it has more ids than the model's
            table of embeddings.
        OperatingSystemError: the system does not let us read it, or refuses something else.
    """
    if config.grid is not None:
        raise CheckpointError(
            f"{path}: the family {config.family} reads images, and this reads texts: give a checkpoint of texts, or "
            "load this one with tokensieve.compress or AutoModelForImageClassification"
        )
    if Path(path).is_dir() and not has_tokenizer(path):
        raise CheckpointError(
            f"{path}: no tokenizer in this folder ({', '.join(_VOCABULARIES)}); save it beside the model"
        )
    try:
        with _quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except Exception as error:
        refuse(error, path)
        _refuse_code(path, "tokenizer_config.json", error)
        reason = first_line(error)
        raise CheckpointError(f"{path}: no readable tokenizer ({reason}); save it beside the model") from error
    if len(tokenizer) > config.vocab_size:
        raise CheckpointError(
            f"{path}: the tokenizer has {len(tokenizer)} ids, the model embeds {config.vocab_size}: "
            "they are not of one checkpoint; save the model's own tokenizer beside it"
        )
    return tokenizer


def _check_readable(path: str | Path, pattern: str) -> None:
    """Raise OperatingSystemError if a folder's file may not be read; safetensors says "No such file" of it."""
    for file in sorted(Path(path).glob(pattern)) if Path(path).is_dir() else ():
        with system_errors_explained(file), open(file, "rb"):
            pass


def _refuse_code(path: str | Path, file: str, error: Exception) -> None:
    """Raise CheckpointError where transformers' error says that a checkpoint needs Python code of its own."""
    if "trust_remote_code" in str(error) or "custom code" in str(error):
        raise CheckpointError(
            f"{path}: {file} names Python code that comes with the checkpoint (auto_map), which tokensieve never runs: "
            "give a checkpoint of a family that transformers itself has"
        ) from error


def _refuse_adapter(path: str | Path) -> None:
    if file_in(path, "adapter_config.json", if_known=True) is not None:
        raise CheckpointError(
            f"{path}: holds an adapter (adapter_config.json), not a whole model: merge it into its base by PEFT's "
            "merge_and_unload, and save that model in a folder of its own"
        )


def _refuse_pickled_parts(path: str | Path, config: Any) -> None:
    """Raise CheckpointError where the index of the weights names files of another kind, or outside the folder.

    The config may name another file than transformers' own, and another index.
    """
    named = getattr(config, "transformers_weights", None)
    if named is None and file_in(path, SAFE_WEIGHTS_NAME, if_known=True) is not None:
        return
    index = file_in(path, named or SAFE_WEIGHTS_INDEX_NAME, if_known=True)
    if index is None or not index.name.endswith(".json"):
        return
    try:
        files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index}: cannot be read ({first_line(error)}); save the weights anew") from error
    for file in files:
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
            raise CheckpointError(
                f"{index}: names {file!r}; weights are read from .safetensors files in the same folder alone: save the "
                "weights anew"
            )


def has_tokenizer(path: object) -> bool:
    """Whether a folder holds a vocabulary."""
    return isinstance(path, (str, Path)) and any((Path(path) / name).is_file() for name in _VOCABULARIES)


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers' own report of what did not fit off the terminal: our error says it."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)
