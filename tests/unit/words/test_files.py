"""The files of a bag of words: the same probabilities from them, and one error for whatever is wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from tokensieve.errors import CheckpointError, OperatingSystemError
from tokensieve.words import WordsClassifier, WordsSettings
from tokensieve.words.files import RECORD, TENSORS
from unit.words.bags import KINDS, LABELS, fitted


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_again(kind: str, tmp_path: Path) -> None:
    words, texts = fitted(kind)
    words.thresholds = (0.25,) * len(words.labels) if words.multi_label else None
    words.save(tmp_path / "bag")
    again = WordsClassifier.load(tmp_path / "bag")
    assert np.abs(again.predict_proba(texts) - words.predict_proba(texts)).max() <= 1e-6
    assert (again.predict(texts) == words.predict(texts)).all()
    for name in ("labels", "settings", "temperature", "thresholds", "multi_label", "pairs"):
        assert getattr(again, name) == getattr(words, name)
    assert {file.name for file in (tmp_path / "bag").iterdir()} == {RECORD, TENSORS}


@settings(max_examples=20)
@given(st.lists(st.text(max_size=60), min_size=2, max_size=12), st.sampled_from([1, 2]))
def test_random_unicode(tmp_path_factory: pytest.TempPathFactory, texts: list[str], ngrams: int) -> None:
    folder = tmp_path_factory.mktemp("bag")
    known = [f"{text} ab{number % 2}" for number, text in enumerate(texts)]  # each has a term
    ids = [number % 2 for number in range(len(known))]
    words = WordsClassifier.fit(known, ids, ("\ud800 a", "\u2028"), settings=WordsSettings(ngrams=ngrams))
    words.save(folder)
    again = WordsClassifier.load(folder)
    assert np.abs(again.predict_proba([*texts, *known]) - words.predict_proba([*texts, *known])).max() <= 1e-6
    assert again.labels == words.labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fitted()[0].save(tmp_path / "bag")
    return tmp_path / "bag"


def _record(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        record = json.loads((folder / RECORD).read_text())
        record.update(changes)
        (folder / RECORD).write_text(json.dumps({key: value for key, value in record.items() if value != "gone"}))

    return change


def _tensors(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        from safetensors import safe_open

        tensors = load_file(folder / TENSORS)
        with safe_open(folder / TENSORS, framework="np") as file:
            metadata = file.metadata()
        change(tensors)
        save_file(tensors, folder / TENSORS, metadata)

    return apply


def _of_another(folder: Path) -> None:
    fitted(count=6)[0].save(folder / "other")
    shutil.move(folder / "other" / TENSORS, folder / TENSORS)
    shutil.rmtree(folder / "other")


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no record": (lambda folder: (folder / RECORD).unlink(), RECORD),
    "no tensors": (lambda folder: (folder / TENSORS).unlink(), TENSORS),
    "record cut off": (lambda folder: (folder / RECORD).write_text('{"format_version": 1'), RECORD),
    "record of bytes": (lambda folder: (folder / RECORD).write_bytes(b"\xff\xfe\x00"), RECORD),
    "a list": (lambda folder: (folder / RECORD).write_text("[1]"), RECORD),
    "tensors cut off": (
        lambda folder: (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:100]),
        TENSORS,
    ),
    "tensors of bytes": (lambda folder: (folder / TENSORS).write_bytes(b"\x80\x04."), TENSORS),
    "another version": (_record(format_version=2), RECORD),
    "no version": (_record(format_version="gone"), RECORD),
    "no labels": (_record(labels="gone"), RECORD),
    "one label": (_record(labels=["film"]), RECORD),
    "equal labels": (_record(labels=["film", "film", "law"]), RECORD),
    "labels of numbers": (_record(labels=[1, 2, 3]), RECORD),
    "temperature": (_record(temperature=0), RECORD),
    "thresholds": (_record(thresholds=[0.5]), RECORD),
    "multi-label": (_record(multi_label=1), RECORD),
    "no terms": (_record(terms=[[]]), RECORD),
    "equal terms": (_record(terms=[["film", "film"]]), RECORD),
    "unhashable terms": (_record(terms=[[["film"]]]), RECORD),
    "settings": (_record(settings={"ngrams": 1}), RECORD),
    "a setting": (_record(settings={"ngrams": 9, "max_terms": 5, "inverse_penalty": 1.0}), RECORD),
    "a penalty": (_record(settings={"ngrams": 1, "max_terms": 5, "inverse_penalty": 1e9}), RECORD),
    "fewer terms": (_record(terms=[["film", "law"]]), TENSORS),
    "more labels": (_record(labels=[*LABELS, "more"]), TENSORS),
    "other tensors": (_tensors(lambda tensors: tensors.update(more=np.zeros(1, np.float32))), TENSORS),
    "a tensor less": (_tensors(lambda tensors: tensors.pop("intercepts")), TENSORS),
    "another shape": (_tensors(lambda tensors: tensors.update(intercepts=np.zeros(2, np.float32))), TENSORS),
    "another type": (_tensors(lambda tensors: tensors.update(intercepts=np.zeros(3, np.float64))), TENSORS),
    "not finite": (_tensors(lambda tensors: tensors.update(intercepts=np.full(3, np.nan, np.float32))), TENSORS),
    "terms of another": (_of_another, TENSORS),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken(folder: Path, name: str) -> None:
    breaks, file = BROKEN[name]
    breaks(folder)
    with pytest.raises(CheckpointError, match=file.replace(".", r"\.")):
        WordsClassifier.load(folder)


def test_terms_in_another_order_are_found(folder: Path) -> None:
    record = json.loads((folder / RECORD).read_text())
    record["terms"][0].reverse()
    (folder / RECORD).write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="another words"):
        WordsClassifier.load(folder)


def test_other_files_stay_and_nothing_is_left_over(folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    fitted("pairs")[0].save(folder)
    assert {file.name for file in folder.iterdir()} == {RECORD, TENSORS, "config.json"}
    assert WordsClassifier.load(folder).pairs


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperatingSystemError, match="file"):
        fitted()[0].save(tmp_path / "file" / "bag")
