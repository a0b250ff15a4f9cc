"""What a config asks for: names that it does not know are refused, and what is made of other weights is made anew."""

import hashlib
import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tokensieve import ReductionConfig
from tokensieve_bench import runs


def arguments(folder: Path, config: dict[str, Any], *sets: str) -> Namespace:
    file = folder / "some.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    return Namespace(config=file, set=list(sets) or None)


def test_a_set_that_the_config_lacks_is_refused(tmp_path: Path) -> None:
    several: dict[str, Any] = {"sets": {"a": {}, "b": {}}}
    assert list(runs.configs_of(arguments(tmp_path, several))) == ["some-a", "some-b"]
    assert list(runs.configs_of(arguments(tmp_path, several, "b"))) == ["some-b"]
    assert list(runs.configs_of(arguments(tmp_path, several, "c"), ["c"])) == []
    with pytest.raises(SystemExit, match="--set c: choose one of a, b"):
        runs.configs_of(arguments(tmp_path, several, "a", "c"))
    alone = {"data": "a"}
    assert list(runs.configs_of(arguments(tmp_path, alone, "a"))) == ["some"]
    with pytest.raises(SystemExit, match="--set b: choose one of a"):
        runs.configs_of(arguments(tmp_path, alone, "b"))


def test_names_are_chosen_in_the_order_of_the_config() -> None:
    assert runs.chosen("--seed", None, [3, 1]) == [3, 1]
    assert runs.chosen("--seed", [1, 3], [3, 1, 2]) == [3, 1]
    with pytest.raises(SystemExit, match="--seed 5: choose one of 3, 1"):
        runs.chosen("--seed", [1, 5], [3, 1])


def test_layers_of_other_weights_are_taken_anew(
    save_classifier: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "RUNS", tmp_path)
    whole = save_classifier(tmp_path / "dense", reduction=ReductionConfig(prune=None))
    before = runs.few_layers(whole, [0], "some")
    assert runs.few_layers(whole, [0], "some") == before
    weights = {key: own + 1 for key, own in load_file(whole / "model.safetensors").items()}
    save_file(weights, whole / "model.safetensors", {"format": "pt"})
    after = runs.few_layers(whole, [0], "some")
    key = next(key for key in load_file(after / "model.safetensors") if "layer.0." in key)
    assert (load_file(after / "model.safetensors")[key] == weights[key]).all()


def test_a_digest_is_that_of_the_weights_and_of_the_words_ahead(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "logits.safetensors").write_bytes(b"logits")
    assert runs.weights_digest(tmp_path) == hashlib.sha256(b"weights").hexdigest()
    (tmp_path / "words_first.json").write_bytes(b"{}")
    assert runs.weights_digest(tmp_path) == hashlib.sha256(b"weights{}").hexdigest()


def test_a_variant_may_start_from_a_model_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    given = {"pruning": "none", "pooling": "mean", "model": "build/some"}
    with pytest.raises(SystemExit, match=r"build/some: no model is there: make it first"):
        runs.base_of(given)
    with pytest.raises(SystemExit, match=r"start='dense' with model='build/some': a variant starts from one of them"):
        runs.base_of(given | {"start": "dense"})
    (tmp_path / "build" / "some").mkdir(parents=True)
    (tmp_path / "build" / "some" / "config.json").write_text("{}", encoding="utf-8")
    assert runs.base_of(given) == tmp_path / "build" / "some"
    assert runs.settings_of(given) == ReductionConfig(prune=None, pooling="mean")
