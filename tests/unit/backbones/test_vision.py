"""Config files of families that read images: each wrong value ends in one error that names it."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForImageClassification
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tokensieve import CheckpointError, ReductionConfig, compress

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "image_size": 16,
    "patch_size": 8,
}
WRONG = [
    ("image_size", "large"),
    ("image_size", [16]),
    ("image_size", 4),
    ("patch_size", 0),
    ("patch_size", [8, "8"]),
    ("num_channels", 0),
    ("num_channels", 2.5),
    ("qkv_bias", "yes"),
    ("qkv_bias", False),
    ("hidden_size", 33),
    ("hidden_act", "prelu"),
    ("layer_norm_eps", -1),
    ("num_hidden_layers", 10**6),
]


@pytest.mark.parametrize("kind", ["vit", "dinov2"])
@pytest.mark.parametrize(("name", "value"), WRONG, ids=str)
def test_a_wrong_value_is_named(kind: str, name: str, value: object, tmp_path: Path) -> None:
    AutoModelForImageClassification.from_config(CONFIG_MAPPING[kind](**SIZES)).save_pretrained(tmp_path)
    record = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**record, name: value}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=name):
        compress(tmp_path, ReductionConfig(prune=None))


@pytest.mark.parametrize(("name", "value"), [("mlp_ratio", -1), ("mlp_ratio", "4"), ("use_swiglu_ffn", 3)], ids=str)
def test_a_wrong_value_of_dinov2_is_named(name: str, value: object, tmp_path: Path) -> None:
    AutoModelForImageClassification.from_config(CONFIG_MAPPING["dinov2"](**SIZES)).save_pretrained(tmp_path)
    record = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**record, name: value}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=name):
        compress(tmp_path, ReductionConfig(prune=None))
