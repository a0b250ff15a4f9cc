"""The bag of words as a first stage: what it defers, and its files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tokensieve.cascade.words_first import WordsFirst, WordsFirstSettings
from tokensieve.errors import CheckpointError, ConfigError
from tokensieve.words import WordsClassifier

TEXTS = ["the court and the law", "a late goal of the team", "the law of the court", "the team and the player"] * 4
LABELS = ("law", "sport")


@pytest.fixture(scope="module")
def words() -> WordsClassifier:
    found = WordsClassifier.fit(TEXTS, [0, 1] * 8, LABELS)
    found.temperature = 0.5
    return found


@pytest.fixture
def folder(words: WordsClassifier, tmp_path: Path) -> Path:
    WordsFirst(words, WordsFirstSettings(0.7, 0.25, 0.75)).save(tmp_path)
    return tmp_path


def test_it_defers_what_it_is_not_sure_of_and_what_it_has_no_word_of(words: WordsClassifier) -> None:
    texts = ["court law", "goal team", "court goal", "zzz"]
    probabilities = words.predict_proba(texts).max(1)
    bound = float(np.sort(probabilities[:2])[0])
    found = WordsFirst(words, WordsFirstSettings(bound, 0.5, 0.5)).answer(texts)
    assert found.deferred == [2, 3]
    assert torch.allclose(found.logits.softmax(1), torch.from_numpy(words.predict_proba(texts)))
    assert WordsFirst(words, WordsFirstSettings(0.0, 0.5, 0.5)).answer(texts).deferred == [3], "nothing to go by"
    assert WordsFirst(words, WordsFirstSettings(1.0, 0.5, 0.5)).answer(texts).deferred == [0, 1, 2, 3]


def test_the_weights_of_a_combined_answer() -> None:
    settings = WordsFirstSettings(0.5, 0.25, 2.0)
    found = settings.combined(torch.tensor([[4.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    assert found.tolist() == [[1.0, 2.0]]


def test_saved_and_read(words: WordsClassifier, folder: Path) -> None:
    found = WordsFirst.load(folder, LABELS)
    assert found.settings == WordsFirstSettings(0.7, 0.25, 0.75)
    before = WordsFirst(words, found.settings)
    assert found.digest() == before.digest()
    assert torch.equal(found.answer(TEXTS).logits, before.answer(TEXTS).logits)
    assert WordsFirst(words, WordsFirstSettings(0.7, 0.25, 0.8)).digest() != before.digest()
    assert {file.name for file in folder.iterdir()} == {"words.json", "words.safetensors", "words_first.json"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"defer_below": 1.5}, "defer_below=1.5"),
        ({"words_weight": -1}, "words_weight=-1"),
        ({"encoder_weight": None}, "encoder_weight=None"),
        ({"encoder_weight": True}, "encoder_weight=True"),
        ({"thresholds": [0.5]}, "1 of them for 2 labels"),
        ({"thresholds": [0.5, 2]}, "thresholds"),
        ({"format_version": 2}, "format_version is 2"),
        ({"other": 1}, "other is unknown"),
    ],
)
def test_a_broken_file(folder: Path, change: dict[str, object], told: str) -> None:
    file = folder / "words_first.json"
    record = json.loads(file.read_text(encoding="utf-8")) | change
    file.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(CheckpointError, match=told) as error:
        WordsFirst.load(folder, LABELS)
    assert str(file) in str(error.value)


def test_files_that_are_missing_or_of_another_classifier(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="put together of two"):
        WordsFirst.load(folder, LABELS[::-1])
    (folder / "words_first.json").write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"words_first\.json"):
        WordsFirst.load(folder, LABELS)
    (folder / "words_first.json").unlink()
    with pytest.raises(CheckpointError, match=r"words_first\.json"):
        WordsFirst.load(folder, LABELS)


def test_settings_out_of_range(words: WordsClassifier) -> None:
    with pytest.raises(ConfigError, match="defer_below=-1"):
        WordsFirstSettings(-1, 0.5, 0.5)
    with pytest.raises(ConfigError, match="thresholds"):
        WordsFirst(words, WordsFirstSettings(0.5, 0.5, 0.5, (0.5,)))
