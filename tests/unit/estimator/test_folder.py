"""save and load: a folder of safetensors and JSON that the rest of tokensieve reads too."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tokensieve
from flat import reduction
from support.folders import change_config, named
from tokensieve import CheckpointError, ConfigError, Recipe, TokensieveClassifier
from tokensieve.data import Document
from tokensieve.quantize.gate import Gate
from tokensieve.quantize.quantize import quantize
from unit.estimator.keyword_texts import Make, texts_and_labels

X, Y = texts_and_labels(12)


@pytest.mark.parametrize(
    "labels",
    [Y, np.array(Y, dtype=object), [10, 9, -1] * 4, np.array([0, 1, 1] * 4, dtype=np.uint8), [True, False] * 6],
    ids=["strings", "objects", "integers", "bytes", "booleans"],
)
def test_a_saved_estimator_is_the_same(make: Make, tmp_path: Path, labels: Any) -> None:
    parameters = {
        "config": reduction(heads="per_head"),
        "recipe": Recipe(weight_decay=0.1),
        "keep": np.float64(0.5),
        "settings": {"prune.select": "top-share"},
    }
    estimator = make(**parameters).fit(X, labels)
    estimator.save(tmp_path / "out")
    loaded = TokensieveClassifier.load(tmp_path / "out", device="cpu")
    np.testing.assert_array_equal(loaded.predict_proba(X), estimator.predict_proba(X))
    np.testing.assert_array_equal(loaded.classes_, estimator.classes_)
    assert loaded.classes_.dtype == estimator.classes_.dtype
    assert loaded.get_params() == estimator.get_params() | {"model": str(estimator.model)}
    assert loaded.record_ == estimator.record_
    again = loaded.fit(X, labels)
    np.testing.assert_array_equal(again.predict_proba(X), estimator.predict_proba(X))


@pytest.mark.parametrize(
    ("labels", "names"), [([True, False], ("True", "False")), ([1.0, 2.0], ("1.0", "2.0"))], ids=["booleans", "floats"]
)
def test_a_folder_of_version_0_1(make: Make, tmp_path: Path, labels: list[Any], names: tuple[str, str]) -> None:
    """It calls True "True" and 1.0 "1.0"."""
    estimator = make().fit(X, labels * 6)
    estimator.save(tmp_path / "out")
    ours = list(estimator.classifier_.labels)
    theirs = [names[0] if name == ("true" if labels[0] is True else "1") else names[1] for name in ours]
    change_config(tmp_path / "out", **named(*theirs))
    loaded = TokensieveClassifier.load(tmp_path / "out", device="cpu")
    assert list(loaded.classifier_.labels) == theirs
    np.testing.assert_array_equal(loaded.predict_proba(X), estimator.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), estimator.predict(X))
    assert loaded.predict(X).dtype == np.asarray(labels).dtype


def test_a_random_state_is_saved_as_the_seed_it_gave(make: Make, tmp_path: Path) -> None:
    estimator = make(random_state=np.random.RandomState(0)).fit(X, Y)
    estimator.save(tmp_path / "out")
    assert TokensieveClassifier.load(tmp_path / "out").random_state == estimator.record_["recipe"]["seed"]


def test_the_rest_of_tokensieve_reads_it(fitted: TokensieveClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path / "out")
    classifier = tokensieve.load(tmp_path / "out", device="cpu")
    np.testing.assert_array_equal(classifier.predict_proba(X), fitted.predict_proba(X))
    assert classifier.engine.max_length == 16
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "training.json", "estimator.json"} <= names
    assert {name.split(".")[-1] for name in names} <= {"safetensors", "json", "md", "txt"}


def test_the_command_line_reads_it(fitted: TokensieveClassifier, tmp_path: Path, run_cli: Callable[..., Any]) -> None:
    fitted.save(tmp_path / "out")
    records = "".join(json.dumps({"text": text}) + "\n" for text in X)
    result = run_cli("predict", "--model", "out", "--input", "-", stdin=records)
    assert result.returncode == 0, result.stderr
    assert [json.loads(line)["label"] for line in result.stdout.splitlines()] == fitted.predict(X).tolist()


def test_a_folder_that_no_estimator_wrote(fitted: TokensieveClassifier, tmp_path: Path) -> None:
    """As `tokensieve train` makes them: classes are strings, and a further fit starts from the folder."""
    fitted.save(tmp_path / "out")
    (tmp_path / "out" / "estimator.json").unlink()
    loaded = TokensieveClassifier.load(tmp_path / "out", device="cpu")
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
    assert loaded.model == str(tmp_path / "out")
    loaded.set_params(epochs=1, max_length=16).fit(X, Y)
    assert loaded.record_["settings"] == fitted.record_["settings"]


def test_overwriting(fitted: TokensieveClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path / "out")
    with pytest.raises(ConfigError, match="exists"):
        fitted.save(tmp_path / "out")
    fitted.save(tmp_path / "out", overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(ConfigError, match="not overwritten"):
        fitted.save(tmp_path / "mine", overwrite=True)


def test_a_save_that_fails_leaves_nothing(
    fitted: TokensieveClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("tokensieve.estimator.folder.save_classifier", fail)
    with pytest.raises(OSError, match="no space"):
        fitted.save(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


Change = Callable[[dict[str, Any]], object]
BROKEN: dict[str, tuple[Change | None, str]] = {
    "no JSON": (None, "cannot be used"),
    "no classes": (lambda record: record.pop("classes"), "classes"),
    "other classes": (lambda record: record["classes"].update(values=["a", "b", "c"]), "'a'.*'film'"),
    "classes that are dates": (lambda record: record["classes"].update(dtype="<M8[D]", values=[1, 2, 3]), "datetime64"),
    "classes of no type": (lambda record: record["classes"].update(dtype="word"), "word"),
    "an unknown parameter": (lambda record: record["parameters"].update(kep_ratio=1), "kep_ratio"),
    "an unknown setting": (lambda record: record["parameters"].update(config={"kep_ratio": 1}), "kep_ratio"),
    "an unknown part of the recipe": (lambda record: record["parameters"].update(recipe={"epoch": 1}), "epoch"),
    "parameters of a list": (lambda record: record.update(parameters=[]), "cannot be used"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_record(fitted: TokensieveClassifier, tmp_path: Path, name: str) -> None:
    change, message = BROKEN[name]
    fitted.save(tmp_path / "out")
    file = tmp_path / "out" / "estimator.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    if change is not None:
        change(record)
    file.write_text(json.dumps(record) if change else "{", encoding="utf-8")
    with pytest.raises(CheckpointError, match=message) as caught:
        TokensieveClassifier.load(tmp_path / "out", device="cpu")
    assert str(file) in str(caught.value)


def test_a_folder_without_the_record_of_a_run(fitted: TokensieveClassifier, tmp_path: Path) -> None:
    fitted.save(tmp_path / "out")
    (tmp_path / "out" / "training.json").unlink()
    with pytest.raises(CheckpointError, match=r"training\.json.*tokensieve train"):
        TokensieveClassifier.load(tmp_path / "out", device="cpu")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="absent"):
        TokensieveClassifier.load(tmp_path / "absent")


def test_a_quantized_folder(make: Make, tmp_path: Path) -> None:
    estimator = make().fit(X, Y)
    estimator.save(tmp_path / "whole")
    with pytest.raises(ConfigError, match="tokensieve quantize"):
        TokensieveClassifier.load(tmp_path / "whole", dtype="int8")
    documents = [Document(text, label, "texts", row) for row, (text, label) in enumerate(zip(X, Y, strict=True))]
    quantize(tmp_path / "whole", tmp_path / "small", documents, gate=Gate(1.0, 1.0))
    loaded = TokensieveClassifier.load(tmp_path / "small", device="cpu", dtype="int8")
    assert loaded.classifier_.dtype == "int8"
    assert loaded.get_params() == estimator.get_params() | {"model": str(estimator.model), "device": "cpu"}
    np.testing.assert_allclose(loaded.predict_proba(X), estimator.predict_proba(X), atol=0.2)
