"""Recipe: the paper's defaults, and every range."""

import json
from pathlib import Path
from typing import Any

import pytest

from tokensieve import ConfigError
from tokensieve.training.recipe import Recipe

INF, NAN = float("inf"), float("nan")
REFUSED: dict[str, list[Any]] = {
    "learning_rate": [0, -1e-5, NAN, INF, "fast"],
    "epochs": [-1, 1.5, "3", True],
    "batch_size": [0, -1, 1.5, "16"],
    "accumulation": [0, -1, 1.5, "4"],
    "max_length": [0, -1, 1.5, "512"],
    "warmup": [-0.1, 1, NAN, "some"],
    "weight_decay": [-0.1, NAN, INF, "some"],
    "clip": [0, -1, NAN, "some"],
    "seed": [-1, 2**32, 1.5, "0"],
    "patience": [0, -1, 1.5, "1"],
    "attention_dropout": [-0.1, 1, NAN, "some"],
    "select": ["", "f1", "Loss", None],
    "class_weights": ["", "inverse", None],
    "bf16": ["no", None],
    "gradient_checkpointing": ["no", None],
    "lora_rank": [0, -1, 1.5, "8"],
    "lora_alpha": [0, -1, NAN, "some"],
    "lora_dropout": [-0.1, 1, NAN, "some"],
    "lora_targets": [(), "query", (1,), None],
    "refit_head": ["no", None],
    "calibrate": ["no", None],
    "floors": ["", "static", None],
    "words_first": [-0.1, NAN, INF, "some"],
    "teacher": ["", 3, Path("dense")],
    "distill_weight": [-0.1, 1.1, NAN, "some", None],
    "distill_temperature": [0, -1, NAN, "hot"],
    "distill_pooled": [-1, NAN, "some"],
    "pruning_warmup": [-0.1, 1.1, NAN, "some", None],
    "length_drop": [-0.1, 1, NAN, "some", None],
    "length_samples": [-1, 1.5, "two", None],
    "head_lr_multiplier": [0, -1, NAN, "fast"],
    "feature_epochs": [-1, 1.5, "1", True],
    "feature_learning_rate": [0, -1e-3, NAN, INF, "fast"],
    "gate_epochs": [-1, 1.5, "1", True],
    "gate_learning_rate": [0, -1e-3, NAN, INF, "fast"],
    "max_expected_loss": [-0.1, NAN, INF, "some"],
}
ALLOWED: dict[str, list[Any]] = {
    "learning_rate": [1e-9, 1],
    "epochs": [0, 1],
    "batch_size": [1],
    "accumulation": [1, 64],
    "max_length": [1, 100_000],
    "warmup": [0, 0.99],
    "weight_decay": [0, 0.1],
    "clip": [0.1, 1],
    "seed": [0, 2**32 - 1],
    "patience": [None, 1],
    "attention_dropout": [None, 0, 0.99],
    "select": ["loss", "accuracy", "f1_macro", "f1_micro"],
    "class_weights": ["none", "balanced"],
    "bf16": [False, True],
    "gradient_checkpointing": [False, True],
    "lora_rank": [None, 1],
    "lora_alpha": [None, 0.5, 16],
    "lora_dropout": [0, 0.99],
    "lora_targets": [("query",), ("attention.output.dense", "value")],
    "refit_head": [False, True],
    "calibrate": [False, True],
    "floors": ["all", "words", "none"],
    "words_first": [None, 0, 0.5, 100],
    "teacher": [None, "dense"],
    "distill_weight": [0, 1],
    "distill_temperature": [0.5, 20],
    "distill_pooled": [0, 10],
    "pruning_warmup": [0, 1],
    "length_drop": [0, 0.99],
    "length_samples": [0, 5],
    "head_lr_multiplier": [0.1, 100],
    "feature_epochs": [0, 3],
    "feature_learning_rate": [1e-5, 1],
    "gate_epochs": [0, 3],
    "gate_learning_rate": [1e-5, 1],
    "max_expected_loss": [None, 0, 0.5, 100],
}


def pairs(table: dict[str, list[Any]]) -> list[Any]:
    return [pytest.param(name, value, id=f"{name}={value!r}") for name, values in table.items() for value in values]


@pytest.mark.parametrize(("name", "value"), pairs(REFUSED))
def test_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Recipe(**{name: value})
    assert str(caught.value).startswith((f"{name}={value!r}: give ", f"{name}={value!r}: choose one of "))


@pytest.mark.parametrize(("name", "value"), pairs(ALLOWED))
def test_allowed(name: str, value: Any) -> None:
    assert getattr(Recipe(**{"lora_rank": 8} | {name: value}), name) == value


@pytest.mark.parametrize(("name", "value"), [("lora_alpha", 16.0), ("lora_dropout", 0.1)])
def test_settings_of_lora_want_a_rank(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name}={value} without lora_rank"):
        Recipe(**{name: value})


def test_every_field_has_a_range() -> None:
    assert REFUSED.keys() == ALLOWED.keys() == Recipe().to_dict().keys()


def test_the_defaults_are_the_papers() -> None:
    assert Recipe().to_dict() == {
        "learning_rate": 2e-5,
        "epochs": 5,
        "batch_size": 16,
        "accumulation": 1,
        "warmup": 0.1,
        "weight_decay": 0.0,
        "clip": 1.0,
        "max_length": 512,
        "select": "loss",
        "patience": None,
        "class_weights": "none",
        "bf16": False,
        "attention_dropout": None,
        "gradient_checkpointing": False,
        "lora_rank": None,
        "lora_alpha": None,
        "lora_dropout": 0.0,
        "lora_targets": ["query", "value"],
        "teacher": None,
        "distill_weight": 0.5,
        "distill_temperature": 2.0,
        "distill_pooled": 0.0,
        "pruning_warmup": 0.0,
        "length_drop": 0.0,
        "length_samples": 2,
        "head_lr_multiplier": 1.0,
        "feature_epochs": 0,
        "feature_learning_rate": 1e-3,
        "gate_epochs": 0,
        "gate_learning_rate": 1e-3,
        "max_expected_loss": None,
        "refit_head": True,
        "calibrate": True,
        "words_first": None,
        "floors": "all",
        "seed": 0,
    }
    assert json.loads(json.dumps(Recipe().to_dict())) == Recipe().to_dict()
