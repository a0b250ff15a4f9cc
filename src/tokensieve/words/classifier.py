"""WordsClassifier: TF-IDF and logistic regression, both scikit-learn's own objects."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from tokensieve.errors import InputError
from tokensieve.model.probabilities import class_probabilities
from tokensieve.words.files import WordsFiles, read_words, write_words
from tokensieve.words.regression import (
    Targets,
    choose,
    fit_regression,
    logits_of,
    rebuilt,
    score,
    targets_of,
    temperature_of,
)
from tokensieve.words.settings import INVERSE_PENALTIES, NGRAMS, WordsSettings
from tokensieve.words.terms import TermWeights, Text, chunks, fit_terms, wordless
from tokensieve.words.weights import checked_weights, regression_weights

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SEARCHED = 20_000
"""Most training documents that candidates of the settings are fitted to; the chosen one is fitted to all."""

Labelled = tuple[Sequence[Text], "ArrayLike"]
"""Texts, and their class ids [N] or 0 and 1 [N, C]."""


class WordsClassifier:
    """A bag of words that classifies documents, or pairs of texts; made by `fit` or `load`.

    Attributes:
        labels: names in the order of the class ids.
        multi_label: whether a document has any number of labels.
        weights: texts -> TF-IDF, by scikit-learn's TfidfVectorizer.
        regression: scikit-learn's LogisticRegression, whose decisions are the logits.
        settings: with the values that were chosen.
        temperature: divides the logits; 1 without validation documents.
        thresholds: with several labels a document, the probability from which each is given; None: 0.5.
    """

    def __init__(
        self,
        labels: Sequence[str],
        weights: TermWeights,
        regression: Any,
        settings: WordsSettings,
        *,
        multi_label: bool = False,
        temperature: float = 1.0,
        thresholds: Sequence[float] | None = None,
    ) -> None:
        self.labels = tuple(labels)
        self.weights, self.regression = weights, regression
        self.settings, self.multi_label = settings, multi_label
        self.temperature = temperature
        self.thresholds = None if thresholds is None else tuple(thresholds)

    @classmethod
    def fit(
        cls,
        texts: Sequence[Text],
        targets: ArrayLike,
        labels: Sequence[str],
        *,
        validation: Labelled | None = None,
        validation_weight: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        class_weight: ArrayLike | None = None,
        settings: WordsSettings | None = None,
    ) -> WordsClassifier:
        """Fit to labelled texts; the same texts give the same classifier, and no global random state is drawn from.

        Args:
            texts: strings, or all of them pairs (text, second text).
            targets: class ids [N], or 0 and 1 [N, C] for several labels a document.
            labels: names of the C labels.
            validation: choose n-grams, penalty and temperature. Without them the first candidates are taken, and
                probabilities are the regression's own.
            validation_weight: weights of the validation texts; None: each counts once.
            sample_weight: how many times each text counts, [N], in the frequencies of terms and in the regression; 0 is
                as if it was not there. None: each counts once.
            class_weight: weight of each class [C], for one label a document: what the weights of its texts are
                multiplied by in the regression.
            settings: None: the defaults.

        Raises:
            DataError: no text has a word, all have the same labels, or targets or weights do not fit the texts.
            InputError: a text of the wrong form.
        """
        settings = settings or WordsSettings()
        wanted = targets_of(targets, len(labels), len(texts))
        weight = checked_weights(sample_weight, len(texts))
        training = _Weighted(texts, wanted, weight, regression_weights(weight, class_weight, wanted))
        if weight is not None and not weight.all():
            training = training.at(np.flatnonzero(weight))
        judged = None
        if validation is not None and (number := len(validation[0])):
            weight = checked_weights(validation_weight, number, "validation_weight")
            judged = _Weighted(validation[0], targets_of(validation[1], len(labels), number), weight)
        some = training
        if len(training.texts) > SEARCHED:
            some = training.at(np.linspace(0, len(training.texts) - 1, SEARCHED, dtype=np.int64))
        chosen, weights, regression = _search(some, judged, settings)
        if len(some.texts) < len(training.texts):
            weights, matrix = fit_terms(training.texts, chosen.ngrams or 1, chosen.max_terms, training.weight)
            penalty = chosen.inverse_penalty or 1.0
            regression = fit_regression(matrix, training.targets, penalty, training.in_regression)
        fitted = cls(labels, weights, regression, chosen, multi_label=wanted.multi_label)
        if judged is not None:
            fitted.temperature = temperature_of(fitted.logits(judged.texts), judged.targets, judged.weight)
        return fitted

    @property
    def problem_type(self) -> str:
        """As in transformers' configs."""
        return "multi_label_classification" if self.multi_label else "single_label_classification"

    @property
    def pairs(self) -> bool:
        """Whether it classifies pairs of texts."""
        return self.weights.pairs

    def logit_chunks(self, texts: Iterable[Text]) -> Iterator[NDArray[np.float32]]:
        """Logits [n, C] float32 of some thousand texts at a time, not calibrated; an iterator is never held in memory.

        Raises:
            InputError: single texts for a classifier of pairs, or the other way round.
        """
        for chunk in chunks(texts):
            yield self.logits_of_weights(self.weights(chunk))

    def logits_of_weights(self, weights: Any) -> NDArray[np.float32]:
        """Logits [N, C] float32 of weights [N, terms] that `weights` made."""
        return logits_of(self.regression, weights, self.multi_label)

    def logits(self, texts: Iterable[Text]) -> NDArray[np.float32]:
        """Logits [N, C] float32, not calibrated; errors as `logit_chunks`."""
        if isinstance(texts, str):
            raise InputError("give a list of texts, not one string: [text]")
        return np.concatenate([np.zeros((0, len(self.labels)), dtype=np.float32), *self.logit_chunks(texts)])

    def lacks_words(self, texts: Iterable[Text]) -> NDArray[np.bool_]:
        """Which texts have no word that is known, [N]; errors as `logit_chunks`."""
        nothing = np.zeros(0, dtype=np.bool_)
        return np.concatenate([nothing, *(wordless(self.weights(chunk)) for chunk in chunks(texts))])

    def predict_proba(self, texts: Iterable[Text]) -> NDArray[np.float32]:
        """Calibrated probabilities [N, C] float32: of one label a softmax, of several a sigmoid each."""
        logits = torch.from_numpy(self.logits(texts))
        probabilities: NDArray[np.float32] = class_probabilities(logits, self.problem_type, self.temperature).numpy()
        return probabilities

    def predict(self, texts: Iterable[Text]) -> NDArray[np.int64]:
        """Class ids [N], or 0 and 1 [N, C] for several labels a document."""
        if not self.multi_label:
            best: NDArray[np.int64] = self.logits(texts).argmax(1)
            return best
        limits = np.array(self.thresholds or [0.5] * len(self.labels), dtype=np.float32)
        return (self.predict_proba(texts) >= limits).astype(np.int64)

    def digest(self) -> str:
        """SHA-256 over all that an answer depends on, in hex."""
        parts = (self.labels, self.multi_label, self.temperature, self.thresholds, self.settings)
        found = hashlib.sha256(repr(parts).encode())
        found.update(repr(self.weights.terms).encode("utf-8", "surrogatepass"))
        for numbers in (*self.weights.idf, self.regression.coef_.T, self.regression.intercept_):
            found.update(numbers.tobytes())
        return found.hexdigest()

    def save(self, folder: str | Path) -> None:
        """Write words.json (labels, settings, terms) and words.safetensors (idf, coefficients); no pickle.

        Other files of the folder stay as they are. Each file is written beside its place first.

        Raises:
            OperatingSystemError: the disk is full, or the system refuses something else.
        """
        write_words(
            Path(folder),
            WordsFiles(
                labels=self.labels,
                multi_label=self.multi_label,
                settings=self.settings,
                temperature=self.temperature,
                thresholds=self.thresholds,
                terms=self.weights.terms,
                idf=self.weights.idf,
                coefficients=self.regression.coef_.T,
                intercepts=self.regression.intercept_,
            ),
        )

    @classmethod
    def load(cls, folder: str | Path) -> WordsClassifier:
        """Read what `save` wrote; the probabilities are the same.

        Raises:
            CheckpointError: a file is missing, broken, of another format version, or does not fit the other one.
        """
        files = read_words(Path(folder))
        assert files.settings.ngrams is not None
        return cls(
            files.labels,
            TermWeights.of(files.terms, files.idf, files.settings.ngrams),
            rebuilt(files.coefficients, files.intercepts, len(files.labels)),
            files.settings,
            multi_label=files.multi_label,
            temperature=files.temperature,
            thresholds=files.thresholds,
        )


class _Weighted(NamedTuple):
    """Labelled texts with their weights: in the frequencies of terms, and in the regression."""

    texts: Sequence[Text]
    targets: Targets
    weight: NDArray[np.float64] | None
    in_regression: NDArray[np.float64] | None = None

    def at(self, rows: NDArray[np.int64]) -> _Weighted:
        """Those of some rows."""
        weights = (None if each is None else each[rows] for each in (self.weight, self.in_regression))
        return _Weighted([self.texts[row] for row in rows.tolist()], self.targets.at(rows), *weights)


def _search(
    training: _Weighted, validation: _Weighted | None, settings: WordsSettings
) -> tuple[WordsSettings, TermWeights, Any]:
    """The settings with what the validation documents choose, and what they were fitted to.

    First they choose n-grams at the first penalty, then the penalty.
    """
    terms: dict[int, tuple[TermWeights, Any]] = {}
    fitted: dict[tuple[int, float], Any] = {}
    judged: dict[int, Any] = {}

    def regression(ngrams: int, penalty: float) -> Any:
        if ngrams not in terms:
            terms[ngrams] = fit_terms(training.texts, ngrams, settings.max_terms, training.weight)
        if (ngrams, penalty) not in fitted:
            matrix = terms[ngrams][1]
            fitted[ngrams, penalty] = fit_regression(matrix, training.targets, penalty, training.in_regression)
        return fitted[ngrams, penalty]

    def score_of(ngrams: int, penalty: float) -> float:
        own = regression(ngrams, penalty)
        assert validation is not None
        if ngrams not in judged:
            judged[ngrams] = terms[ngrams][0](validation.texts)
        logits = logits_of(own, judged[ngrams], validation.targets.multi_label)
        return score(logits, validation.targets, validation.weight)

    sizes = [*NGRAMS] if settings.ngrams is None else [settings.ngrams]
    penalties = [*INVERSE_PENALTIES] if settings.inverse_penalty is None else [settings.inverse_penalty]
    if validation is None:
        sizes, penalties = sizes[:1], penalties[:1]
    size = int(choose(sizes, lambda own: score_of(int(own), penalties[0])))
    penalty = choose(penalties, lambda own: score_of(size, own))
    found = regression(size, penalty)
    return replace(settings, ngrams=size, inverse_penalty=penalty), terms[size][0], found
