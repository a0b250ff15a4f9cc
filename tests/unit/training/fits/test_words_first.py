"""`words_first`: a training that puts a bag of words ahead of the encoder, and says what it is worth."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tokensieve
from tokensieve.data import DataSplits, Document
from tokensieve.errors import ConfigError, DataError
from tokensieve.metrics import multi_label_scores
from tokensieve.runtime.results import given_labels
from tokensieve.runtime.words_first import engine_like
from tokensieve.training.fits import bag as fit_bag
from tokensieve.training.fits.bag import targets_of
from tokensieve.training.fits.words_first import first_stage_lines
from unit.training.keyword_documents import Train, labelled_documents

Documents = tuple[Document, ...]


def multi_label(documents: Documents) -> Documents:
    """The same documents, each with a list of labels; a word tells the second one."""
    return tuple(
        replace(found, label=(str(found.label), "good") if "good" in found.text else (str(found.label),))
        for found in documents
    )


def paired(documents: Documents) -> Documents:
    """The same documents, each with a second text."""
    return tuple(replace(found, pair="the court") for found in documents)


def as_they_are(documents: Documents) -> Documents:
    """The same documents."""
    return documents


@pytest.fixture
def more() -> DataSplits:
    return DataSplits(labelled_documents(60), labelled_documents(30, seed=1))


@pytest.mark.parametrize("change", [as_they_are, multi_label, paired])
def test_the_folder_answers_as_the_report_says(
    run: Train,
    more: DataSplits,
    tmp_path: Path,
    change: Callable[[Documents], Documents],
    caplog: pytest.LogCaptureFixture,
) -> None:
    splits = DataSplits(change(more.train), change(more.validation))
    with caplog.at_level("INFO"):
        report = run(splits, words_first=1.0)["words_first"]
    whole = tokensieve.load(tmp_path / "out", device="cpu")
    results = whole.results([document.content for document in splits.validation])
    read = np.mean([result.stage != "words" for result in results])
    assert read == pytest.approx(report["share"])
    assert report["documents"] == 30
    assert report["expected_loss"] <= 1.0
    assert report["score"] - report["words_score"] == pytest.approx(report["difference_to_words"])
    low, high = report["interval_to_encoder"]
    assert low <= report["difference_to_encoder"] <= high
    names = whole.labels
    right = [
        {names[i] for i in result.labels} == {*([own.label] if isinstance(own.label, str) else own.label or ())}
        for result, own in zip(results, splits.validation, strict=True)
    ]
    assert np.mean(right) > 0.9
    for line in first_stage_lines(report):
        assert line in caplog.text
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "First stage: a bag of words" in card
    assert f"| the whole | {report['score']:.4f} |" in card


def test_scores_of_several_labels_are_by_the_thresholds_that_answer(
    run: Train, more: DataSplits, tmp_path: Path
) -> None:
    """The encoder by its own, the bag of words by those that it would get alone."""
    splits = DataSplits(multi_label(more.train), multi_label(more.validation))
    report = run(splits, words_first=100.0)["words_first"]
    assert report["share"] == 0
    whole = tokensieve.load(tmp_path / "out", device="cpu")
    engine: Any = whole.engine
    engines = {"": engine, "encoder_": engine_like(engine, whole.model, None)}
    truth = targets_of(splits, splits.validation)
    for name, own in engines.items():
        given = given_labels([result for _, result in own.stream(splits.validation)], 4)
        assert report[f"{name}score"] == pytest.approx(multi_label_scores(truth, given.int(), None)["accuracy"])
    assert report["words_score"] == report["score"], "it answers all"
    halves = torch.tensor([result.probabilities for _, result in engines["encoder_"].stream(splits.validation)]) >= 0.5
    assert multi_label_scores(truth, halves.int(), None)["accuracy"] != pytest.approx(report["encoder_score"])


def test_a_document_without_a_known_word_is_read_whatever_may_be_lost(run: Train, tmp_path: Path) -> None:
    train = labelled_documents(60, shares=(6, 1, 1))
    unknown = Document("zzz", "film", "made up", 1)
    splits = DataSplits(train, (*labelled_documents(29, seed=1, shares=(6, 1, 1)), unknown))
    report = run(splits, words_first=100.0)["words_first"]
    stages = [result.stage for result in tokensieve.load(tmp_path / "out", device="cpu").results(["film", "zzz"])]
    assert stages == ["words", "encoder"]
    assert report["share"] == pytest.approx(1 / 30)


def test_several_labels_have_thresholds_of_the_whole(run: Train, more: DataSplits, tmp_path: Path) -> None:
    splits = DataSplits(multi_label(more.train), multi_label(more.validation))
    run(splits, words_first=0.0)
    first = tokensieve.load(tmp_path / "out", device="cpu").engine.words_first
    assert first is not None
    assert first.thresholds is not None
    assert len(first.thresholds) == 4
    run(splits, words_first=0.0, calibrate=False, output=tmp_path / "plain")
    first = tokensieve.load(tmp_path / "plain", device="cpu").engine.words_first
    assert first is not None
    assert first.thresholds is None


def test_a_cascade_of_encoders_behind_it(run: Train, more: DataSplits, tmp_path: Path) -> None:
    record = run(more, {"reread": 0.4, "combine_layer": None}, words_first=0.0)
    assert record["cascade"]["share"] == pytest.approx(0.4)
    rule = tmp_path / "out" / "words_first.json"
    deferring = json.loads(rule.read_text(encoding="utf-8")) | {"defer_below": 1.0}
    rule.write_text(json.dumps(deferring), encoding="utf-8")
    whole = tokensieve.load(tmp_path / "out", device="cpu")
    assert whole.engine.stages == ("words", "encoder", "second encoder")
    stages = {result.stage for result in whole.results([document.content for document in more.validation])}
    assert {"encoder", "second encoder"} <= stages


def test_the_encoder_is_the_same_and_the_bag_is_fitted_once(
    run: Train, more: DataSplits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = []
    fit = fit_bag.WordsClassifier.fit
    monkeypatch.setattr(fit_bag.WordsClassifier, "fit", lambda *a, **k: fitted.append(1) or fit(*a, **k))
    run(more, output=tmp_path / "plain", floors="none")
    record = run(more, words_first=0.5)
    assert len(fitted) == 1
    assert record["floors"]["words"]["score"] == record["words_first"]["words_score"]
    plain, ours = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "out"))
    assert all(torch.equal(tensor, ours[name]) for name, tensor in plain.items())
    assert not (tmp_path / "plain" / "words.json").exists()


def test_the_folder_is_replaced_and_resumed_as_any_other(run: Train, more: DataSplits, tmp_path: Path) -> None:
    run(more, words_first=0.5)
    with pytest.raises(ConfigError, match="exists"):
        run(more, words_first=0.5)
    folder = tmp_path / "out"
    (folder / "mine.txt").write_text("a note", encoding="utf-8")
    from tokensieve.training.files.output import check_output

    with pytest.raises(ConfigError, match=r"mine\.txt"):
        check_output(folder, overwrite=True)
    (folder / "mine.txt").unlink()
    check_output(folder, overwrite=True)


def test_refused(run: Train, more: DataSplits, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"words_first=0\.5 needs validation documents"):
        run(DataSplits(more.train), words_first=0.5)
    with pytest.raises(ConfigError, match=r"words_first=-1"):
        run(more, words_first=-1)
    monkeypatch.setattr(
        "tokensieve.training.stages.fine_tune.run_trainer", lambda *_, **__: pytest.fail("it was trained")
    )
    wordless = tuple(Document(text, label, "made up", 1) for text, label in (("a", "a"), (". a", "b"), (". ,", "a")))
    with pytest.raises(DataError, match="no words"):
        run(DataSplits(wordless * 3, wordless), words_first=0.5)
