"""What makes a run another one: the input's bytes, and whatever of the model decides over its answers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tokensieve
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.fingerprint import differences, fingerprint, hash_of_model


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads(file.read_text(encoding="utf-8"))
    change(record)
    file.write_text(json.dumps(record), encoding="utf-8")


def one_weight(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    name = min(tensors)
    tensors[name].view(-1)[-1] += 1e-3
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


CHANGES: dict[str, Callable[[Path], object]] = {
    "a weight": one_weight,
    "the labels": lambda folder: edit(folder / "config.json", lambda record: record["id2label"].update({"0": "other"})),
    "the settings": lambda folder: edit(
        folder / "config.json", lambda record: record["reduction"].update(min_length=5)
    ),
    "the vocabulary": lambda folder: edit(
        folder / "tokenizer.json", lambda record: record["model"]["vocab"].update(film=18, court=17)
    ),
    "the normalizer": lambda folder: edit(folder / "tokenizer.json", lambda record: record.update(normalizer=None)),
    "the side that is cut off": lambda folder: edit(
        folder / "tokenizer_config.json", lambda record: record.update(truncation_side="left")
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_makes_another_model(classifier_dir: Path, tmp_path: Path, change: str) -> None:
    folder = shutil.copytree(classifier_dir, tmp_path / "changed")
    before = hash_of_model(tokensieve.load(folder, device="cpu"))
    CHANGES[change](folder)
    assert hash_of_model(tokensieve.load(folder, device="cpu")) != before


def test_what_makes_no_other_model(classifier_dir: Path, tmp_path: Path, classifier: Classifier) -> None:
    """Its name, files beside it, the version that wrote its config, and having been used."""
    before = hash_of_model(classifier)
    classifier.predict(["film " * 100])
    assert hash_of_model(classifier) == before
    folder = shutil.copytree(classifier_dir, tmp_path / "renamed")
    (folder / "README.md").write_text("a model card")
    edit(folder / "config.json", lambda record: record.update(transformers_version="5.0.0"))
    assert hash_of_model(tokensieve.load(folder, device="cpu")) == before


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_of_every_type(classifier_dir: Path, dtype: str) -> None:
    classifier = tokensieve.load(classifier_dir, device="cpu", dtype=dtype)
    before = hash_of_model(classifier)
    with torch.no_grad():
        next(iter(classifier.model.parameters())).view(-1)[0] += 1
    assert hash_of_model(classifier) != before


def test_what_makes_another_run(classifier: Classifier, classifier_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("film")
    (tmp_path / "b.txt").write_text("film")
    settings = {"--tokens": False, "--dtype": "float32"}
    first = fingerprint(classifier, [tmp_path / "a.txt"], settings)
    assert json.loads(json.dumps(first)) == first
    assert differences(first, fingerprint(classifier, [tmp_path / "b.txt"], settings)) == []
    (tmp_path / "b.txt").write_text("fill")
    assert differences(first, fingerprint(classifier, [tmp_path / "b.txt"], settings)) == ["the input"]
    shorter = tokensieve.load(classifier_dir, device="cpu", max_length=20)
    assert differences(first, fingerprint(shorter, [tmp_path / "a.txt"], settings | {"--tokens": True})) == [
        "--max-length (then 64, now 20)",
        "--tokens (then False, now True)",
    ]
    assert differences(first | {"the version of tokensieve": "0.0.9"}, first)[0].startswith("the version of tokensieve")
