"""TokensieveClassifier: the whole of tokensieve behind scikit-learn's fit and predict."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from tokensieve.backbones.loading import load_config
from tokensieve.backbones.source import source_config
from tokensieve.checks import shown
from tokensieve.config import ReductionConfig
from tokensieve.data.documents import Document
from tokensieve.data.doubts import similar_labels
from tokensieve.data.rows import list_names
from tokensieve.data.sampling import carve_validation, check_fraction
from tokensieve.data.splits import DataSplits
from tokensieve.errors import ConfigError
from tokensieve.estimator.folder import Fitted, read_folder, write_folder
from tokensieve.estimator.inputs import class_names, places_in_model, read_classes, read_documents
from tokensieve.estimator.state import off_its_device, on_its_device, quiet
from tokensieve.estimator.weights import weighted
from tokensieve.methods import METHODS
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.load import load, resolve_device
from tokensieve.runtime.results import Result
from tokensieve.settings_paths import Assignment
from tokensieve.training.dense_first import train_dense_first
from tokensieve.training.random_states import random_states_kept
from tokensieve.training.recipe import Recipe
from tokensieve.training.settings import base_checkpoint, keep_share, reduction_settings

_RECIPE = ("learning_rate", "epochs", "batch_size", "max_length")


class TokensieveClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """A document classifier with token pruning and combining, as a scikit-learn estimator.

    `fit` trains by `tokensieve.training.dense_first.train_dense_first`, so the model is the one that `tokensieve train`
    makes of the same documents, settings and seed; of two runs the dense one is not kept. X is a list, array or Series
    of texts; no vectorizer comes before the classifier.

    Settings that are searched over are parameters of their own and go before `preset`, `config` and `recipe`, which
    hold the rest; None leaves a setting as it is there. Values are checked by `fit`.

    Args:
        model: checkpoint to start from, a folder or hub name; None: the embedded default model.
        preset: reduction settings by name, such as "paper-pfc-7"; None: `config`.
        keep: share of the tokens that stays at every pruning layer, in (0, 1].
        settings: other reduction settings by dotted path, such as {"prune.site": "hidden", "combine.layer": 3}.
        config: all reduction settings; None: the checkpoint's own, or ReductionConfig's defaults.
        learning_rate: peak of the schedule; where a dense stage comes first, half of it is the second one's.
        epochs: at most this many; 0, for a `model` that is a trained classifier: it gets the settings without training.
        batch_size: documents of one forward pass.
        max_length: tokens at which a document is truncated.
        class_weight: "balanced" weighs every class by the inverse of its frequency; None: as in `recipe`.
        recipe: all settings of training; None: Recipe's defaults, the paper's.
        validation_fraction: share of the documents, from 0 to 0.5, on which the best epoch is chosen; they are not
            trained on. Every class gives at least one, if it has two different texts. 0: all documents are trained on,
            and the last epoch's weights are kept.
        random_state: seed of new parameters, order, dropout, noise and the choice of validation documents, below 2^32;
            None: the recipe's, so that without it a second fit is the same as the first.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1".
        verbose: show progress bars and the log of training on stderr.

    Attributes:
        classes_: the classes [C], sorted, of y's own type; of a matrix the names of its columns, if it is a data frame
            that has such, else 0 to C-1.
        classifier_: the trained model with its tokenizer, ready to predict.
        record_: the record of the run that `training.json` holds.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        preset: str | None = None,
        keep: float | None = None,
        settings: Mapping[str, Any] | None = None,
        config: ReductionConfig | None = None,
        learning_rate: float | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        max_length: int | None = None,
        class_weight: str | None = None,
        recipe: Recipe | None = None,
        validation_fraction: float = 0.2,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.preset = preset
        self.keep = keep
        self.settings = settings
        self.config = config
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.max_length = max_length
        self.class_weight = class_weight
        self.recipe = recipe
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TokensieveClassifier:  # noqa: N803
        """Train on texts and their classes.

        Args:
            X: a list, array or Series of N texts, none of them empty, or of (text, second text) tuples.
            y: their classes [N]: strings, whole numbers or booleans, two classes or more; or for any number of labels a
                document a matrix [N, C] of 0 and 1.
            sample_weight: how much each document counts [N], in training and in validation: finite numbers. A document
                of weight 0 is left out, one of weight 2 counts as if it was there twice. Weights below 1 on average
                are scaled to a mean of 1. None: each counts once.

        Raises:
            ConfigError: parameters out of range, or that do not go together.
            DataError: X, y or sample_weight cannot be used.
            CheckpointError: `model` cannot be read.
            MissingExtraError: accelerate, or the default model where it is meant, is not installed.
            TrainingError: the training diverged.
        """
        classes, labels = read_classes(y)
        for doubt in similar_labels(class_names(classes)):
            warnings.warn(f"y: {doubt}", stacklevel=2)
        documents, recipe = weighted(read_documents(X, labels), sample_weight), self._recipe()
        with quiet(bool(self.verbose)), random_states_kept():
            record, classifier = self._train(documents, recipe)
        unseen = sorted(set(class_names(classes)) - set(classifier.labels))
        if unseen:
            none = "no document" if sample_weight is None else "no document of a weight above 0"
            warnings.warn(f"{none} has the labels {list_names(unseen)}: they are never given", stacklevel=2)
        self.classifier_, self.classes_, self.record_ = classifier, classes, record
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The most probable class of each text [N], of y's type; after a y [N, C] a matrix of 0 and 1 [N, C].

        Raises:
            NotFittedError: before `fit`.
            DataError: X cannot be used.
        """
        results = self._results(X)
        if self.classifier_.model.config.is_multi_label:
            given = np.zeros((len(results), len(self.classifier_.labels)), dtype=np.int64)
            for row, result in zip(given, results, strict=True):
                row[list(result.labels)] = 1
            return self._by_class(given)
        return np.asarray(self.classes_[self._probabilities(results).argmax(axis=1)])

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities [N, C] float32, columns in the order of `classes_`; errors as `predict`."""
        return self._probabilities(self._results(X))

    def _results(self, X: Any) -> list[Result]:  # noqa: N803
        check_is_fitted(self)
        documents = read_documents(X, paired=self.classifier_.model.config.text_pairs)
        return self.classifier_.results(document.content for document in documents)

    def _probabilities(self, results: list[Result]) -> np.ndarray:
        rows = np.array([result.probabilities for result in results], dtype=np.float32)
        return self._by_class(rows.reshape(len(results), len(self.classifier_.labels)))

    def _by_class(self, columns: np.ndarray) -> np.ndarray:
        """Columns for the model's labels [N, L] as columns for the classes [N, C]; 0 for a class that it never saw."""
        padded = np.pad(columns, ((0, 0), (0, 1)))
        return padded[:, places_in_model(self.classes_, self.classifier_.labels)]

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the fitted estimator as a folder that `tokensieve predict` and `tokensieve.load` read as well.

        It holds safetensors, JSON and the tokenizer's files; no pickle.

        Raises:
            NotFittedError: before `fit`.
            ConfigError: the folder exists, or cannot be made.
        """
        check_is_fitted(self)
        with quiet():
            fitted = Fitted(self.get_params(deep=False), self.classifier_, self.classes_, self.record_)
            write_folder(fitted, folder, overwrite=overwrite)

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "auto", dtype: str = "float32") -> TokensieveClassifier:
        """Read a folder that `save` or `tokensieve train` wrote; of the latter, classes are strings.

        Args:
            folder: the folder.
            device: becomes the estimator's parameter.
            dtype: of what it predicts with, as `tokensieve.load` takes it; a folder of `tokensieve quantize` is int8.

        Raises:
            CheckpointError: no tokensieve classifier there, or it cannot be read.
            ConfigError: an unknown device or type.
        """
        with quiet():
            classifier = load(folder, device=device, dtype=dtype)
        parameters, classes, record = read_folder(folder, classifier, cls._get_param_names())
        estimator = cls(**{**parameters, "device": device})
        estimator.classifier_, estimator.classes_, estimator.record_ = classifier, classes, record
        return estimator

    def _train(self, documents: tuple[Document, ...], recipe: Recipe) -> tuple[dict[str, Any], Classifier]:
        """The record of the run, and what it made."""
        base, place = self._base(), resolve_device(self.device)
        settings = self._settings(base)
        check_fraction(self.validation_fraction)
        splits = DataSplits(documents)
        if self.validation_fraction > 0:
            splits = DataSplits(*carve_validation(documents, self.validation_fraction, recipe.seed))
        with tempfile.TemporaryDirectory() as folder:
            output, name = Path(folder) / "classifier", "TokensieveClassifier.fit"
            progress = bool(self.verbose)
            options: dict[str, Any] = {"device": place, "data_name": name, "progress": progress}
            record = train_dense_first(base, settings, splits, output, recipe, **options)
            return record, load(output, device=str(place))

    def _base(self) -> str:
        if self.model is not None and not isinstance(self.model, (str, Path)):
            raise ConfigError(f"model={self.model!r}: give a folder or hub name, or None for the default model")
        return base_checkpoint(None if self.model is None else str(self.model))

    def _settings(self, base: str) -> ReductionConfig:
        if self.config is not None and self.preset is not None:
            raise ConfigError(f"preset={self.preset!r} and a config are given, which set the same: give one of them")
        checkpoint = source_config(load_config(base), base)
        if self.config is not None:
            if not isinstance(self.config, ReductionConfig):
                raise ConfigError(f"config={self.config!r}: give a tokensieve.ReductionConfig")
            checkpoint.reduction = self.config.to_dict()
        named = isinstance(self.settings, Mapping) and all(isinstance(path, str) for path in self.settings)
        if self.settings is not None and not named:
            raise ConfigError(f"settings={shown(self.settings)}: give a dictionary of dotted paths and values")
        changes = [Assignment(tuple(path.split(".")), _plain(value)) for path, value in (self.settings or {}).items()]
        kept = [] if self.keep is None else keep_share(_plain(self.keep))
        return reduction_settings(checkpoint, self.preset, [*kept, *changes])

    def _recipe(self) -> Recipe:
        preset = METHODS.get(self.preset) if isinstance(self.preset, str) else None
        recipe = Recipe(**(preset.recipe if preset else {})) if self.recipe is None else self.recipe
        if not isinstance(recipe, Recipe):
            raise ConfigError(f"recipe={recipe!r}: give a tokensieve.Recipe")
        changes = {**self._given(_RECIPE), "class_weights": self.class_weight, "seed": self._seed()}
        if self.class_weight not in (None, "balanced"):
            raise ConfigError(f"class_weight={self.class_weight!r}: give 'balanced' or None")
        return replace(recipe, **{name: value for name, value in changes.items() if value is not None})

    def _seed(self) -> Any:
        if isinstance(self.random_state, np.random.RandomState):
            return int(check_random_state(self.random_state).randint(2**31))
        return _plain(self.random_state)

    def _given(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Parameters by name; a search over a numpy range sets numpy's numbers, which no JSON file holds."""
        return {name: _plain(getattr(self, name)) for name in names}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.classifier_tags.multi_label = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        return off_its_device(super().__getstate__())

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(on_its_device(state))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
