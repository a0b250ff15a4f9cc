"""Metrics of multi-label predictions and of probabilities, against hand counts and scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from tokensieve.metrics import expected_calibration_error, multi_label_scores, report_per_class

TRUTH = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]])
GIVEN = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]])


def test_multi_label_scores_by_hand() -> None:
    scores = multi_label_scores(TRUTH, GIVEN)
    assert scores["accuracy"] == 0.5, "all labels of the first and of the last document"
    assert scores["f1_micro"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert scores["f1_macro"] == pytest.approx((1 + 1 / 2 + 0) / 3)


@pytest.mark.parametrize("classes", [2, 5])
def test_multi_label_scores_are_scikit_learns(classes: int) -> None:
    truth, given = np.random.default_rng(0).integers(0, 2, (2, 60, classes))
    scores = multi_label_scores(truth, given)
    assert scores["accuracy"] == pytest.approx(accuracy_score(truth, given))
    assert scores["f1_macro"] == pytest.approx(f1_score(truth, given, average="macro"))
    assert scores["f1_micro"] == pytest.approx(f1_score(truth, given, average="micro"))
    report = report_per_class(truth, given, [f"label {i}" for i in range(classes)])
    expected = np.transpose(precision_recall_fscore_support(truth, given))
    found = [[row["precision"], row["recall"], row["f1"], row["support"]] for row in report.values()]
    np.testing.assert_allclose(found, expected)


def test_one_label_is_not_taken_for_two_classes() -> None:
    truth, given = np.array([[1], [1], [0], [0], [0]]), np.array([[1], [0], [1], [0], [0]])
    assert multi_label_scores(truth, given) == pytest.approx({"accuracy": 0.6, "f1_macro": 0.5, "f1_micro": 0.5})
    assert report_per_class(truth, given, ["spam"]) == {
        "spam": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    }


@pytest.mark.parametrize("value", [0, 1])
def test_labels_of_none_and_of_all(value: int) -> None:
    matrix = np.full((4, 2), value)
    assert multi_label_scores(matrix, matrix) == {"accuracy": 1.0, "f1_macro": value, "f1_micro": value}
    assert report_per_class(matrix, matrix, "ab")["a"]["support"] == 4 * value


def test_calibration_error_of_single_labels_by_hand() -> None:
    probabilities = [[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.45, 0.55]]
    # bins of a fifth: 0.9 twice, one of them right; 0.7 right; 0.55 wrong
    assert expected_calibration_error(probabilities, [0, 1, 1, 0], bins=5) == pytest.approx(
        (2 * abs(0.5 - 0.9) + abs(1 - 0.7) + abs(0 - 0.55)) / 4
    )


def test_calibration_error_of_pairs_by_hand() -> None:
    probabilities, truth = [[0.1, 0.9], [0.15, 0.6]], [[0, 1], [1, 1]]
    # bins of a half: 0.1 and 0.15 with one true of two; 0.9 and 0.6, both true
    assert expected_calibration_error(probabilities, truth, bins=2) == pytest.approx(
        (2 * abs(0.5 - 0.125) + 2 * abs(1 - 0.75)) / 4
    )


def test_bins_are_closed_above() -> None:
    """0.5 lies in the lower of two bins, where it meets 0.25; 0 in the lowest, 1 in the highest."""
    assert expected_calibration_error([[0.5], [0.25]], [[1], [0]], bins=2) == pytest.approx(abs(0.5 - 0.375))
    assert expected_calibration_error([[0.51], [0.25]], [[1], [0]], bins=2) == pytest.approx((0.49 + 0.25) / 2)
    assert expected_calibration_error([[0.0], [1.0]], [[0], [1]]) == 0
    assert expected_calibration_error([[0.0], [1.0]], [[1], [0]]) == 1


def test_more_bins_hide_less() -> None:
    """A mean over all is right where the parts are not."""
    probabilities, truth = [[0.9], [0.6]], [[0], [1]]
    assert expected_calibration_error(probabilities, truth, bins=1) == pytest.approx(0.25)
    assert expected_calibration_error(probabilities, truth) == pytest.approx((0.9 + 0.4) / 2)


def test_frequencies_that_are_the_probabilities() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(3), 20_000)
    truth = (probabilities.cumsum(1) > generator.random((20_000, 1))).argmax(1)
    assert expected_calibration_error(probabilities, truth) < 0.015
    assert expected_calibration_error(probabilities**3 / (probabilities**3).sum(1, keepdims=True), truth) > 0.1
