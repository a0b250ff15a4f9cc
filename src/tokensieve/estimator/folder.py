"""The folder of a fitted estimator: a tokensieve classifier, and beside it estimator.json with what else fit() knew."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tokensieve.checks import read_object
from tokensieve.config import ReductionConfig
from tokensieve.errors import CheckpointError
from tokensieve.estimator.inputs import class_names, places_in_model
from tokensieve.methods import METHODS
from tokensieve.runtime.classifier import Classifier
from tokensieve.training.files.output import ESTIMATOR, RECORD, check_output, folder_in_the_making
from tokensieve.training.files.work_folder import save_classifier
from tokensieve.training.old import record_today
from tokensieve.training.recipe import Recipe

_FLAT = {
    "pruning": "prune.select",
    "keep_ratio": "prune.schedule",
    "site": "prune.site",
    "combine_layer": "combine.layer",
    "combination_tokens": "combine.tokens",
}
"""Parameters of version 0.1.0, which are among `settings` now."""


@dataclass(frozen=True)
class Fitted:
    """What `fit` left.

    Attributes:
        parameters: the estimator's, by name.
        classifier: the trained model with its tokenizer.
        classes: [C], of y's type.
        run: the record of the training.
    """

    parameters: Mapping[str, Any]
    classifier: Classifier
    classes: np.ndarray
    run: dict[str, Any]


def write_folder(fitted: Fitted, folder: str | Path, *, overwrite: bool) -> None:
    """Write a fitted estimator; the folder appears when it is whole.

    Raises:
        ConfigError: the folder exists, or cannot be made.
    """
    check_output(folder, overwrite)
    engine, classes = fitted.classifier.engine, fitted.classes
    record = {
        "parameters": {name: _to_json(value) for name, value in fitted.parameters.items()},
        "classes": {"dtype": classes.dtype.str if classes.dtype != object else "object", "values": classes.tolist()},
    }
    if isinstance(fitted.parameters["random_state"], np.random.RandomState):
        record["parameters"]["random_state"] = fitted.run["recipe"]["seed"]
    with folder_in_the_making(folder) as part:
        save_classifier(part, fitted.classifier.model, engine.tokenizer, fitted.run, engine.words_first)
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        (part / ESTIMATOR).write_text(text, encoding="utf-8")


def read_folder(
    folder: str | Path, classifier: Classifier, known: Collection[str]
) -> tuple[dict[str, Any], np.ndarray, dict[str, Any]]:
    """Parameters, classes [C] and the record of the run; of a folder that no estimator wrote, what can be told.

    Args:
        folder: the folder.
        classifier: read from it.
        known: names of the estimator's parameters.

    Raises:
        CheckpointError: a file is broken, or tells of other classes than the model has.
    """
    path = Path(folder)
    run = record_today(_read_json(path / RECORD))
    if not (path / ESTIMATOR).is_file():
        return {"model": str(folder)}, np.array(sorted(classifier.labels)), run
    record = _read_json(path / ESTIMATOR)
    try:
        parameters = {name: _from_json(name, value) for name, value in parameters_today(record["parameters"]).items()}
        classes = np.array(record["classes"]["values"], dtype=np.dtype(record["classes"]["dtype"]))
        places = places_in_model(classes, classifier.labels)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path / ESTIMATOR}: cannot be used ({error}); save the estimator again") from error
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise CheckpointError(
            f"{path / ESTIMATOR}: unknown parameter {unknown[0]!r}; load it with the tokensieve that wrote it"
        )
    # With several labels a document, the model lacks a label that no document had.
    lacks = -1 in places and not classifier.model.config.is_multi_label
    if lacks or set(places) - {-1} != set(range(len(classifier.labels))):
        raise CheckpointError(
            f"{path / ESTIMATOR}: its classes {class_names(classes)} are not the model's {list(classifier.labels)}; "
            "the folder was put together of two: save the estimator again"
        )
    return parameters, classes, run


def _to_json(value: Any) -> Any:
    if isinstance(value, (ReductionConfig, Recipe)):
        return value.to_dict()
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, (Path, np.random.RandomState)) else value


def _from_json(name: str, value: Any) -> Any:
    if value is not None and name == "config":
        return ReductionConfig.from_dict(value)
    if value is not None and name == "recipe":
        return Recipe.from_record(value)
    return value


def parameters_today(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of version 0.1.0 under the names that they have now."""
    now = {name: value for name, value in parameters.items() if name not in _FLAT}
    flat = {name: parameters[name] for name in _FLAT if parameters.get(name) is not None}
    method = METHODS.get(str(parameters.get("preset")))
    prune, combine = (None, None) if method is None else (method.settings.prune, method.settings.combine)
    if combine is None and "combine_layer" not in flat:
        flat.pop("combination_tokens", None)  # without a combining module it said nothing
    if flat:
        learned = prune is not None and prune.score.fitted
        now["settings"] = _settings(flat, learned)
    return now


def _settings(flat: Mapping[str, Any], learned: bool) -> dict[str, Any]:
    """Flat parameters by dotted path; `learned`: the score is, with which tokens leave ahead of a layer."""
    words = {"ratio": "top-share"} | ({"hidden": "ahead"} if learned else {})
    settings = {
        _FLAT[name]: words.get(value, value) if isinstance(value, str) else value for name, value in flat.items()
    }
    if "keep_ratio" in flat:
        settings["prune.schedule"] = {"name": "constant", "keep": flat["keep_ratio"]}
    if flat.get("pruning") == "none":
        settings = {path: value for path, value in settings.items() if not path.startswith("prune.")} | {"prune": None}
    return settings


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: cannot be used ({error}); give a folder of TokensieveClassifier.save or 'tokensieve train'"
        ) from error
