"""What a run's output follows from, as a record that two runs can compare."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tokensieve.cascade.classifier import TokensieveCascadeForSequenceClassification
from tokensieve.data.folders import SingleSource, Source
from tokensieve.data.huggingface import DatasetSplit
from tokensieve.data.sources import check_source
from tokensieve.runtime.bag_of_words import BagOfWords
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.offload import OffloadedEmbeddings
from tokensieve.runtime.part import is_stream
from tokensieve.system import system_errors_explained
from tokensieve.version import __version__

Fingerprint = dict[str, Any]

INPUT, MODEL = "the input", "the model"  # their values are hashes, which say nothing to people

# Where they were read from and with what: no part of what they are.
_CONFIG_IGNORES = ("_name_or_path", "transformers_version")
_TOKENIZER_IGNORES = ("name_or_path", "is_local", "local_files_only")


def input_files(source: Source) -> tuple[Path, ...]:
    """The files that hold an input; none for a stream, or for a data set that is in memory alone."""
    if isinstance(source, tuple):
        return source
    if isinstance(source, DatasetSplit):
        return tuple(Path(file["filename"]) for file in source.data.cache_files)
    return () if is_stream(str(source)) else (Path(source),)


def format_of(source: SingleSource, format: str | None) -> str:
    """The format by which an input is read."""
    return "data set" if isinstance(source, DatasetSplit) else check_source(source, format)


def fingerprint(
    classifier: Classifier, files: Sequence[Path], settings: Mapping[str, Any], root: Path | None = None
) -> Fingerprint:
    """Input, model, length, version and settings of a run, as JSON-ready values under the names that messages use.

    Args:
        classifier: what the run predicts with.
        files: what holds its input. They are read once more for this: a file that was appended to or replaced under
            its old name would otherwise give an output of two halves that do not belong together, and size and time
            of a file tell neither for sure.
        settings: options of the run that its output depends on, by the name of the option.
        root: the folder that the files lie below; their paths from there count, too, and one hash stands for all.
    """
    hashes = [f"sha256 {hash_of_file(file)}, {file.stat().st_size} bytes" for file in files]
    if root is not None:
        names = [file.relative_to(root).as_posix() for file in files]
        hashes = [f"sha256 {hashlib.sha256(_canonical(dict(zip(names, hashes, strict=True)))).hexdigest()}"]
    return {
        INPUT: "; ".join(hashes),
        MODEL: f"sha256 {hash_of_model(classifier)}",
        "--max-length": classifier.engine.max_length,
        **settings,
        "the version of tokensieve": __version__,
    }


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What two fingerprints do not agree in, with both values where people can read them; empty where they agree."""
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    return [
        name if name in (INPUT, MODEL) else f"{name} (then {then.get(name)}, now {now.get(name)})" for name in names
    ]


def hash_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_of_model(classifier: Classifier) -> str:
    """SHA-256 over weights, config and tokenizer as they were loaded, in hex.

    What was loaded is hashed and not its files: so hub names need no second look-up, and files of the folder that
    change no answer (a model card, the record of the training) do not count.

    Raises:
        OperatingSystemError: no room for the tokenizer in the system's folder for temporary files.
    """
    if isinstance(classifier, BagOfWords):
        return classifier.words.digest()
    found = hashlib.sha256()
    if (first := classifier.engine.words_first) is not None:
        found.update(first.digest().encode())
    for name, tensor in sorted(_state(classifier.model).items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        for piece in tensor.pieces() if isinstance(tensor, OffloadedEmbeddings) else (tensor,):
            found.update(piece.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    config = {key: value for key, value in classifier.model.config.to_dict().items() if key not in _CONFIG_IGNORES}
    found.update(_canonical(config))
    # The one form in which every kind of tokenizer tells all of itself.
    with system_errors_explained(tempfile.gettempdir()), tempfile.TemporaryDirectory() as folder:
        classifier.engine.tokenizer.save_pretrained(folder)
        for file in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
            found.update(f"{file.name}\n".encode())
            found.update(_tokenizer_config(file) if file.name == "tokenizer_config.json" else file.read_bytes())
    return found.hexdigest()


def _state(model: nn.Module) -> dict[str, Tensor | OffloadedEmbeddings]:
    """As `state_dict`, without reading what is on disk."""
    state: dict[str, Tensor | OffloadedEmbeddings] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        prefix = f"{name}." if name else ""
        if isinstance(module, OffloadedEmbeddings):
            state[f"{prefix}weight"] = module
        else:
            module._save_to_state_dict(state, prefix, False)
    if isinstance(model, TokensieveCascadeForSequenceClassification):
        for name in model.shared_names():
            state.pop(f"stages.1.{name}", None)
    return state


def _tokenizer_config(file: Path) -> bytes:
    record = json.loads(file.read_text(encoding="utf-8"))
    return _canonical({key: value for key, value in record.items() if key not in _TOKENIZER_IGNORES})


def _canonical(record: dict[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, default=str).encode()
