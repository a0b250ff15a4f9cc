"""The logits of a cascade's stages, in results/<config>/<set>/seed<seed>-<stage>.safetensors, a file a stage.

They are calibrated and in float16: "validation" [V, C] and "test" [T, C]. Other cascades can be composed of them, and a
seed that was trained elsewhere comes with its files alone. The files tell what they were made of, by a fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

MADE_BY = ("data", "documents", "recipe", "variants")
"""What logits depend on, of a config."""

Splits = dict[str, Tensor]


def fingerprint(config: dict[str, Any], truth: dict[str, list[int]]) -> str:
    """A hash of the part of a config that logits depend on, and of the class of each document by split."""
    whole = [{key: config.get(key) for key in MADE_BY}, truth]
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def write_stages(folder: Path, seed: int, logits: dict[str, Splits], made_of: str) -> None:
    """Write a file for each stage."""
    folder.mkdir(parents=True, exist_ok=True)
    for stage, splits in logits.items():
        file = _file(folder, seed, stage)
        halves = {split: own.half().contiguous() for split, own in splits.items()}
        save_file(halves, file, {"logits": "calibrated", "made_of": made_of})
        file.chmod(0o644)  # safetensors keeps it from other users


def has_stages(folder: Path, seed: int, stages: Sequence[str]) -> bool:
    """Whether every stage has its file."""
    return all(_file(folder, seed, stage).is_file() for stage in stages)


def read_stages(folder: Path, seed: int, stages: Sequence[str], made_of: str) -> dict[str, Splits]:
    """The logits in float32, by stage and split.

    Raises:
        SystemExit: a file was made of other documents or by other settings.
    """
    found = {}
    for stage in stages:
        file = _file(folder, seed, stage)
        with safe_open(file, "pt") as tensors:
            if tensors.metadata().get("made_of") != made_of:
                raise SystemExit(
                    f"{file}: made of other documents, or by another recipe or variants, than the config and the data "
                    f"give here: train seed {seed} again, or remove its files"
                )
            found[stage] = {split: tensors.get_tensor(split).float() for split in tensors.keys()}  # noqa: SIM118
    return found


def _file(folder: Path, seed: int, stage: str) -> Path:
    return folder / f"seed{seed}-{stage}.safetensors"
