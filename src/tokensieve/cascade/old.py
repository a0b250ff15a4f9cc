"""Cascades of version 0.1.0, which were one model with a few more tensors for its second stage."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from tokensieve.errors import CheckpointError, ConfigError
from tokensieve.system import whole_files

_CONFIG, _TENSORS = "adapter_config.json", "adapter_model.safetensors"
_FIELDS = {"reread_below": "defer_below", "second_norms": "own_norms"}
_NORMS = (
    *(f"attention/self/{name}/bias" for name in ("query", "key", "value")),
    *(f"{place}/{name}" for place in ("attention/output", "output") for name in ("LayerNorm/weight", "LayerNorm/bias")),
    *(f"{place}/dense/bias" for place in ("attention/output", "intermediate", "output")),
    *(f"{name}/bias" for name in ("query", "key", "value", "dense")),  # of the combining module
    *(f"{norm}/{name}" for norm in ("combination_norm", "text_norm") for name in ("weight", "bias")),
)
"""Norms and biases of a step, by the names that their copies had."""

NAMES = {
    **{
        rf"^encoder\.second_norms\.(\d+)\.{name}$": rf"stages.1.encoder.layer.\1.{name.replace('/', '.')}"
        for name in _NORMS
    },
    r"^head\.whole\.": "stages.1.head.classifier.",
    r"^embeddings\.": "stages.0.embeddings.",
    r"^encoder\.layer\.": "stages.0.encoder.layer.",
    r"^head\.": "stages.0.head.",
}
"""Pattern of a tensor's name in 0.1.0 -> its name today; a name matches at most one pattern."""


def is_cascade(record: Mapping[str, Any]) -> bool:
    """Whether a config.json of 0.1.0 is that of a cascade."""
    settings = record.get("ptc")
    return record.get("model_type") == "tokensieve" and isinstance(settings, Mapping) and bool(settings.get("reread"))


def converted(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a cascade of 0.1.0, as today's config has it."""
    named = {_FIELDS.get(name, name): value for name, value in record.items()}
    return {**named, "model_type": "tokensieve_cascade", "architectures": None}


def new_name(name: str) -> str:
    """Today's name of a tensor of 0.1.0; names of today stay."""
    for pattern, place in NAMES.items():
        renamed, count = re.subn(pattern, place, name)
        if count:
            return renamed
    return name


def convert_adapter(folder: str | Path, output: str | Path) -> None:
    """Convert an adapter of PEFT that was made for a cascade of 0.1.0 to one for today's.

    In 0.1.0 both stages went through the adapted layers, so both get them. Modules that were trained whole belong to
    the first stage alone.

    Args:
        folder: holds adapter_config.json and adapter_model.safetensors.
        output: folder to write to.

    Raises:
        CheckpointError: a file is missing or cannot be read.
        ConfigError: one of the two files is in `output` already.
        OperatingSystemError: the disk is full, or the system refuses something else.
    """
    for name in (_TENSORS, _CONFIG):
        if (Path(output) / name).exists():
            raise ConfigError(f"{Path(output) / name} exists and is not overwritten: name another folder")
    try:
        config = json.loads((Path(folder) / _CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(Path(folder) / _TENSORS)
    except Exception as error:
        raise CheckpointError(f"{folder}: cannot be read as an adapter of PEFT ({error})") from error
    prefix, converted_tensors = "base_model.model.", dict[str, Tensor]()
    for name, tensor in tensors.items():
        first = new_name(name.removeprefix(prefix))
        converted_tensors[prefix + first] = tensor
        if ".lora_" in name:
            converted_tensors[prefix + first.replace("stages.0.", "stages.1.", 1)] = tensor.clone()
    whole = {name.removeprefix(prefix).rpartition(".")[0] for name in converted_tensors if ".lora_" not in name}
    config |= {"modules_to_save": sorted(whole) or None, "task_type": None}  # a task would add every classifier
    with whole_files(Path(output), (_TENSORS, _CONFIG)) as parts:
        save_file(converted_tensors, parts[_TENSORS], metadata={"format": "pt"})
        parts[_CONFIG].write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
