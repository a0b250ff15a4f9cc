"""scikit-learn's own checks: those that feed no documents on the estimator itself, all others through numbers as texts.

scikit-learn has no checks for text: for an estimator whose tags say that X is no matrix it runs one check and warns.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted, validate_data

from tokensieve import TokensieveClassifier
from unit.estimator.keyword_texts import FAST, FILLERS, LABELS

WITHOUT_DOCUMENTS = (
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_estimators_unfitted",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
)
EXPECTED_TO_FAIL = {
    "check_class_weight_classifiers": "class_weight takes 'balanced' or None, no weights of single classes",
}
WORDS = (*FILLERS, *LABELS, "court", "goal", "market", "share", "player", "price")


class OnNumbers(TokensieveClassifier):
    """Rows of numbers as texts: a word tells a number's interval and, of the first four, its column."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "OnNumbers":  # noqa: N803
        return super().fit(self._texts(validate_data(self, X)), y, sample_weight)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        return super().predict(self._validated(X))

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        return super().predict_proba(self._validated(X))

    def _validated(self, rows: Any) -> list[str]:
        check_is_fitted(self)
        return self._texts(validate_data(self, rows, reset=False))

    @staticmethod
    def _texts(rows: np.ndarray) -> list[str]:
        levels = (np.clip(rows, -1, 1) * 2 + 2).astype(int)[:, :12]
        return [" ".join(WORDS[level + 5 * (column % 4)] for column, level in enumerate(row)) for row in levels]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array, tags.input_tags.string = False, True, False
        tags.classifier_tags.poor_score = True  # one epoch; that it learns is shown elsewhere
        return tags


@pytest.mark.parametrize("name", WITHOUT_DOCUMENTS)
def test_checks_without_documents(name: str) -> None:
    getattr(estimator_checks, name)("TokensieveClassifier", TokensieveClassifier())


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@parametrize_with_checks([OnNumbers(**FAST | {"batch_size": 64})], expected_failed_checks=lambda _: EXPECTED_TO_FAIL)
def test_checks_on_numbers(estimator: OnNumbers, check: Callable[[OnNumbers], None], tiny_bert_dir: Path) -> None:
    check(clone(estimator).set_params(model=tiny_bert_dir))


def test_tags() -> None:
    tags = TokensieveClassifier().__sklearn_tags__()
    assert tags.estimator_type == "classifier"
    assert tags.input_tags.string
    assert tags.input_tags.one_d_array
    assert not tags.input_tags.two_d_array
    assert not tags.input_tags.allow_nan
    assert tags.target_tags.required
    assert tags.classifier_tags.multi_class
