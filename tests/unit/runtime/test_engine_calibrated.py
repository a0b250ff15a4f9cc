"""What the engine makes of logits: temperature, thresholds, several labels or none; and texts with a second text."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tokensieve
from flat import reduction
from support.folders import change_config
from tokensieve import ConfigError, DataError, InputError
from tokensieve.data import Document
from tokensieve.metrics import accuracy_and_f1, expected_calibration_error, multi_label_scores
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.evaluate import evaluate
from tokensieve.runtime.predict import write_predictions

Make = Callable[..., Classifier]
LABELS = ("film", "law", "sport")
SEVERAL = {"problem_type": "multi_label_classification"}


@pytest.fixture
def make(save_classifier: Callable[..., Path], tmp_path: Path) -> Make:
    """`make(**changes)` loads a classifier with changes to its config.json."""

    def load(**changes: Any) -> Classifier:
        folder = change_config(save_classifier(tmp_path / "model", site="hidden"), **changes)
        return tokensieve.load(folder, device="cpu")

    return load


def logits_of(classifier: Classifier, some: list[str]) -> torch.Tensor:
    inputs = classifier.engine.tokenizer(some, truncation=True, max_length=64, padding=True, return_tensors="pt")
    with torch.no_grad():
        return classifier.model(**inputs).logits


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("kind", [{}, SEVERAL], ids=["single-label", "multi-label"])
def test_the_temperature_divides_the_logits(
    make: Make, some_texts: list[str], kind: dict[str, str], temperature: float
) -> None:
    classifier = make(calibration_temperature=temperature, **kind)
    logits = logits_of(classifier, some_texts)
    expected = (logits / temperature).sigmoid() if kind else (logits / temperature).softmax(-1)
    results = classifier.results(some_texts)
    np.testing.assert_allclose(classifier.predict_proba(some_texts), expected, atol=1e-5)
    np.testing.assert_allclose([result.logits for result in results], logits, atol=1e-5)
    assert [result.label for result in results] == logits.argmax(-1).tolist(), "the order of the classes stays"


def test_the_model_itself_knows_no_temperature(make: Make, some_texts: list[str]) -> None:
    plain, hot = (logits_of(make(calibration_temperature=t), some_texts) for t in (1.0, 5.0))
    torch.testing.assert_close(plain, hot, atol=0, rtol=0)


def test_a_single_label_is_a_list_of_one(make: Make, some_texts: list[str]) -> None:
    assert all(result.labels == (result.label,) for result in make().results(some_texts))


@pytest.mark.parametrize("quantiles", [None, [0.3, 0.5, 0.9], [0, 1, 0.1]])
def test_labels_reach_their_thresholds(make: Make, some_texts: list[str], quantiles: list[float] | None) -> None:
    changes = {**SEVERAL, "calibration_temperature": 2.0}
    probabilities = make(**changes).predict_proba(some_texts).astype(float)
    columns = zip(probabilities.T, quantiles or (), strict=False)
    thresholds = None if quantiles is None else [float(np.quantile(column, share)) for column, share in columns]
    classifier = make(**changes, thresholds=thresholds)
    given = (probabilities >= (thresholds or 0.5)).tolist()
    expected = [tuple(i for i in range(3) if row[i]) for row in given]
    assert len(set(expected)) > 1, "one answer for all would prove nothing here"
    assert classifier.predict(some_texts) == [[LABELS[i] for i in labels] for labels in expected]
    assert [result.labels for result in classifier.results(some_texts)] == expected


def test_records_have_all_labels(make: Make, some_texts: list[str]) -> None:
    classifier = make(**SEVERAL)
    classifier.model.config.thresholds = np.quantile(classifier.predict_proba(some_texts), 0.6, axis=0).tolist()
    expected = classifier.predict(some_texts)
    assert {0, 1, 2} <= set(map(len, expected))
    documents = [Document(text, None, "here", line) for line, text in enumerate(some_texts)]
    jsonl, table = io.StringIO(), io.StringIO(newline="")
    write_predictions(classifier, documents, jsonl, "jsonl")
    write_predictions(classifier, documents, table, "csv")
    records = [json.loads(line) for line in jsonl.getvalue().splitlines()]
    assert [record["labels"] for record in records] == expected
    assert not any("label" in record for record in records)
    rows = list(csv.DictReader(io.StringIO(table.getvalue())))
    assert [row["labels"] for row in rows] == ["|".join(labels) for labels in expected]
    assert list(rows[0]) == ["line", "labels", *(f"probability:{name}" for name in LABELS)]


def test_a_threshold_counts_as_reached(make: Make) -> None:
    (row,) = make(**SEVERAL).predict_proba(["film"]).tolist()
    above = [float(np.nextafter(value, 1)) for value in row]
    assert make(**SEVERAL, thresholds=row).predict(["film"]) == [list(LABELS)]
    assert make(**SEVERAL, thresholds=above).predict(["film"]) == [[]]


def test_nothing_to_classify_by_several_labels(make: Make) -> None:
    classifier = make(**SEVERAL)
    assert classifier.predict([]) == []
    assert classifier.predict_proba([]).shape == (0, 3)


def test_a_model_of_one_label_that_is_given_or_not(
    save_classifier: Callable[..., Path], some_texts: list[str], tmp_path: Path
) -> None:
    folder = save_classifier(tmp_path / "model")
    tokensieve.compress(str(folder), tokensieve.ReductionConfig(), id2label={0: "spam"}, **SEVERAL).save_pretrained(
        folder
    )
    classifier = tokensieve.load(folder, device="cpu")
    middle = float(np.median(classifier.predict_proba(some_texts)))
    classifier.model.config.thresholds = [middle]
    found = classifier.predict(some_texts)
    assert {tuple(labels) for labels in found} == {(), ("spam",)}
    documents = [Document(text, ("spam",), "here", 1) for text in some_texts]
    share = sum(map(len, found)) / 40
    scores = evaluate(classifier, documents)
    assert scores["classes"]["spam"]["recall"] == scores["accuracy"] == pytest.approx(share)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "temperature 0": ({"calibration_temperature": 0}, "calibration_temperature=0"),
    "temperature below 0": ({"calibration_temperature": -1.5}, "calibration_temperature=-1.5"),
    "temperature of nothing": ({"calibration_temperature": None}, "calibration_temperature=None"),
    "temperature of text": ({"calibration_temperature": "1"}, "calibration_temperature='1'"),
    "temperature of infinity": ({"calibration_temperature": float("inf")}, "calibration_temperature=inf"),
    "temperature of NaN": ({"calibration_temperature": float("nan")}, "calibration_temperature=nan"),
    "a threshold too few": ({**SEVERAL, "thresholds": [0.5, 0.5]}, "3 labels"),
    "one threshold": ({**SEVERAL, "thresholds": 0.5}, "thresholds=0.5"),
    "no threshold": ({**SEVERAL, "thresholds": []}, "3 labels"),
    "a threshold above 1": ({**SEVERAL, "thresholds": [0.5, 0.5, 1.5]}, "1.5"),
    "a threshold below 0": ({**SEVERAL, "thresholds": [0.5, -0.1, 0.5]}, "-0.1"),
    "a threshold of text": ({**SEVERAL, "thresholds": ["0.5", 0.5, 0.5]}, "'0.5'"),
    "a threshold of NaN": ({**SEVERAL, "thresholds": [float("nan"), 0.5, 0.5]}, "nan"),
    "thresholds of text": ({**SEVERAL, "thresholds": "abc"}, "'abc'"),
    "thresholds by label": ({**SEVERAL, "thresholds": {"film": 0.5}}, "film"),
    "thresholds of a single-label model": ({"thresholds": [0.5] * 3}, "multi-label"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_calibrations_that_cannot_be(make: Make, name: str, tmp_path: Path) -> None:
    changes, hint = REFUSED[name]
    with pytest.raises(tokensieve.CheckpointError) as caught:
        make(**changes)
    assert hint in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_calibration_that_was_broken_after_loading(make: Make) -> None:
    classifier = make(**SEVERAL)
    classifier.model.config.thresholds = [0.5]
    with pytest.raises(ConfigError, match="3 labels"):
        classifier.predict(["film"])


def test_a_calibration_lives_in_the_folder(make: Make, some_texts: list[str], tmp_path: Path) -> None:
    classifier = make(**SEVERAL)
    classifier.model.config.calibration_temperature, classifier.model.config.thresholds = 1.7, [0.2, 0.5, 0.9]
    classifier.model.save_pretrained(tmp_path / "copy")
    classifier.engine.tokenizer.save_pretrained(tmp_path / "copy")
    copy = tokensieve.load(tmp_path / "copy", device="cpu")
    assert (copy.model.config.calibration_temperature, copy.model.config.thresholds) == (1.7, [0.2, 0.5, 0.9])
    np.testing.assert_array_equal(copy.predict_proba(some_texts), classifier.predict_proba(some_texts))
    assert copy.predict(some_texts) == classifier.predict(some_texts)


def test_a_calibration_goes_with_its_head(make: Make) -> None:
    model = make(**SEVERAL, calibration_temperature=2.0, thresholds=[0.1, 0.2, 0.3]).model
    dense = reduction(pruning="none")
    kept = tokensieve.compress(model, dense).config
    assert (kept.calibration_temperature, kept.thresholds) == (2.0, [0.1, 0.2, 0.3])
    new_head = reduction(pruning="none", pooling="mean")
    for anew in (
        tokensieve.compress(model, dense, num_labels=5),
        tokensieve.compress(model, dense, id2label=dict(enumerate(LABELS))),
        tokensieve.compress(model, dense, problem_type="single_label_classification"),
        tokensieve.compress(model, new_head),
    ):
        assert (anew.config.calibration_temperature, anew.config.thresholds) == (1.0, None)
    assert model.config.thresholds == [0.1, 0.2, 0.3], "the given one is left as it was"


def test_an_evaluation_tells_the_calibration(make: Make, some_texts: list[str]) -> None:
    classifier = make(calibration_temperature=3.0)
    documents = [Document(text, LABELS[i % 3], "here", i) for i, text in enumerate(some_texts)]
    truth, logits = [i % 3 for i in range(40)], logits_of(classifier, some_texts)
    scores = evaluate(classifier, documents)
    assert scores["temperature"] == 3.0
    assert scores["ece"] == pytest.approx(expected_calibration_error((logits / 3).softmax(-1), truth), abs=1e-4)
    assert scores["ece_uncalibrated"] == pytest.approx(expected_calibration_error(logits.softmax(-1), truth), abs=1e-4)
    assert scores["ece"] != pytest.approx(scores["ece_uncalibrated"], abs=1e-3)
    assert "mean_labels" not in scores
    predicted = logits.argmax(-1).tolist()
    assert {name: scores[name] for name in ("accuracy", "f1_macro", "f1_micro")} == accuracy_and_f1(truth, predicted)


def test_an_evaluation_of_several_labels(make: Make, some_texts: list[str]) -> None:
    classifier = make(**SEVERAL, calibration_temperature=0.7, thresholds=[0.3, 0.5, 0.8])
    truth = np.array([[number & 1, number >> 1 & 1, number >> 2 & 1] for number in range(40)])
    names = [tuple(name for name, true in zip(LABELS, row, strict=True) if true) for row in truth]
    documents = [Document(text, labels, "here", 1) for text, labels in zip(some_texts, names, strict=True)]
    logits = logits_of(classifier, some_texts)
    probabilities = (logits / 0.7).sigmoid()
    given = (probabilities >= torch.tensor([0.3, 0.5, 0.8])).int().numpy()
    scores = evaluate(classifier, documents)
    assert {name: scores[name] for name in ("accuracy", "f1_macro", "f1_micro")} == multi_label_scores(truth, given)
    assert scores["ece"] == pytest.approx(expected_calibration_error(probabilities, truth), abs=1e-4)
    assert scores["ece_uncalibrated"] == pytest.approx(expected_calibration_error(logits.sigmoid(), truth), abs=1e-4)
    assert scores["mean_labels"] == pytest.approx(given.sum(1).mean())
    assert scores["mean_labels_true"] == pytest.approx(truth.sum(1).mean())
    assert [row["support"] for row in scores["classes"].values()] == truth.sum(0).tolist()
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_labels_of_the_other_kind(make: Make) -> None:
    with pytest.raises(DataError, match="here, line 7"):
        evaluate(make(**SEVERAL), [Document("film", "film", "here", 7)])
    with pytest.raises(DataError, match="here, line 7"):
        evaluate(make(), [Document("film", ("film",), "here", 7)])


PAIRS = [("film " * a, "law " * b) for a, b in ((5, 8), (30, 1), (2, 60), (60, 40), (9, 20))]


def test_pairs_are_read_together(make: Make, tiny_tokenizer: Any) -> None:
    classifier = make(**SEVERAL)
    classifier.engine.tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    firsts, seconds = (list(column) for column in zip(*PAIRS, strict=True))
    length = {"truncation": True, "max_length": 64, "padding": True, "return_tensors": "pt"}
    inputs = tiny_tokenizer(firsts, seconds, return_token_type_ids=True, **length)
    assert inputs["token_type_ids"].any()
    with torch.no_grad():
        expected = classifier.model(**inputs).logits.sigmoid()
    results = classifier.results(PAIRS, tokens=True)
    np.testing.assert_allclose(classifier.predict_proba(PAIRS), expected, atol=1e-5)
    assert [result.length for result in results] == inputs["attention_mask"].sum(1).tolist() == [16, 34, 64, 64, 32]
    assert all((result.tokens or ()).count("[SEP]") == 2 for result in results), "both separators are protected"
    assert classifier.engine.truncated == 2 * 2
    alone = [classifier.results([pair])[0].probabilities for pair in PAIRS]
    np.testing.assert_allclose([result.probabilities for result in results], alone, atol=1e-5)
    documents = [Document(first, (), "here", 1, second) for first, second in PAIRS]
    streamed = [result.probabilities for _, result in classifier.engine.stream(documents)]
    np.testing.assert_allclose(streamed, alone, atol=1e-5)
    assert evaluate(classifier, documents)["mean_length"] == (16 + 34 + 64 + 64 + 32) / 5


def test_the_second_text_counts_for_the_window(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokensieve.runtime.windows._WINDOW_CHARACTERS", 100)
    taken: list[int] = []
    documents = (taken.append(n) or Document("film", None, "here", n, "film " * 10) for n in range(50))
    next(make().engine.stream(documents, prefetch=False))
    assert len(taken) == 2


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (("film",), "tuple of 1"),
        (("a", "b", "c"), "tuple of 3"),
        (("film", None), "pair the value is null"),
        ((3, "film"), "int"),
        (["film", "law"], "list"),
        ("film", "pairs"),
        (("film", "\ud800"), "not valid UTF-8"),
    ],
)
@pytest.mark.parametrize("method", ["predict", "encode"])
def test_pairs_that_are_none(make: Make, wrong: Any, hint: str, method: str) -> None:
    with pytest.raises(InputError, match=f"document 1 .*{hint}"):
        getattr(make(), method)([("film", "law"), wrong])


@pytest.mark.parametrize(
    ("trained_on_pairs", "wrong", "right", "hint"),
    [(True, ["film"], PAIRS, "--pair-column"), (False, PAIRS, ["film"], "leave the second text out")],
)
def test_the_form_of_the_training_is_asked_for(
    make: Make, trained_on_pairs: bool, wrong: Any, right: Any, hint: str
) -> None:
    classifier = make(text_pairs=trained_on_pairs)
    assert len(classifier.predict(right)) == len(right)
    for method in (classifier.predict, classifier.predict_proba, classifier.encode):
        with pytest.raises(InputError, match=f"trained on .*{hint}"):
            method(wrong)


def test_a_pair_among_single_texts(make: Make) -> None:
    with pytest.raises(InputError, match=r"document 1500 is a pair"):
        make().predict([*["film"] * 1500, ("film", "law")])
