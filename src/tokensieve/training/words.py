"""`--preset words`: a bag of words alone, as a classifier's folder; no encoder is trained."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from tokensieve.data.splits import DataSplits
from tokensieve.data.weights import check_weights, weights_of
from tokensieve.errors import ConfigError
from tokensieve.metrics import accuracy_and_f1, multi_label_scores
from tokensieve.training.files.checkpoints import write_json
from tokensieve.training.files.output import RECORD, check_output, folder_in_the_making
from tokensieve.training.files.record import row_counts, versions
from tokensieve.training.files.words_card import write_words_card
from tokensieve.training.fits.bag import fit_bag, targets_of, texts_of
from tokensieve.training.fits.calibration import calibrate
from tokensieve.training.recipe import Recipe
from tokensieve.words import WordsClassifier, WordsSettings

logger = logging.getLogger(__name__)

PRESET = "words"
READ = ("seed", "class_weights", "calibrate", "floors")
"""Fields of a recipe that mean something here; floors are what is trained."""


def train_words(
    splits: DataSplits,
    output: str | Path,
    recipe: Recipe | None = None,
    *,
    settings: WordsSettings | None = None,
    overwrite: bool = False,
    data_name: str = "",
    reading: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Fit a bag of words and save it: words.json, words.safetensors, the record and the card.

    Args:
        splits: training and validation documents; the latter choose settings, temperature and thresholds.
        output: folder to make.
        recipe: `class_weights` and `calibrate` are read.
        settings: of the bag of words; None: the defaults.
        overwrite: replace `output` if it exists.
        data_name: name of the data in the record.
        reading: how `splits` were read.

    Returns:
        The record that training.json holds.

    Raises:
        ConfigError: `output` exists, or the recipe sets something that only an encoder has.
        DataError: labels or weights do not fit, or no document has a word.
    """
    recipe = recipe or Recipe()
    check_recipe(recipe)
    check_output(output, overwrite)
    check_weights(splits.train, "training")
    check_weights(splits.validation, "validation")
    start = time.perf_counter()
    with folder_in_the_making(output) as folder:
        words, judged = _fitted(splits, recipe, settings)
        words.save(folder)
        record = {
            "preset": PRESET,
            "data": data_name,
            "labels": list(words.labels),
            "multi_label": words.multi_label,
            "pairs": words.pairs,
            "documents": {"train": len(splits.train), "validation": len(splits.validation)},
            "reading": None if reading is None else dict(reading),
            "rows": {name: row_counts(tally) for name, tally in splits.tallies.items()},
            "recipe": recipe.to_dict(),
            "words": {"settings": words.settings.to_dict(), "terms": len(words.weights)},
            "seconds": time.perf_counter() - start,
            **judged,
            "versions": versions() | {"scikit-learn": _scikit_learn()},
        }
        write_words_card(folder, words, record)
        write_json(folder / RECORD, record)
    for line in words_summary(record, output)[:-1]:
        logger.info("%s", line)
    return record


def _fitted(
    splits: DataSplits, recipe: Recipe, settings: WordsSettings | None
) -> tuple[WordsClassifier, dict[str, Any]]:
    """The bag of words; and "scores" and "calibration" on the validation documents, None without them."""
    words, held_out = fit_bag(splits, recipe, settings), texts_of(splits.validation)
    words.temperature = 1.0
    if not held_out:
        return words, {"scores": None, "calibration": None}
    logits, judged = words.logits(held_out), targets_of(splits, splits.validation)
    weights = weights_of(splits.validation)
    report: dict[str, Any] = {"scores": _scores(logits, judged, weights), "calibration": None}
    if recipe.calibrate:
        calibration = calibrate(logits, judged, multi_label=splits.multi_label, weights=weights)
        words.temperature, words.thresholds = calibration.temperature, calibration.thresholds
        report["calibration"] = calibration.to_dict()
    return words, report


def check_recipe(recipe: Recipe) -> None:
    """Raise ConfigError if a recipe sets what only the training of an encoder has."""
    start = Recipe()
    for field in fields(Recipe):
        value = getattr(recipe, field.name)
        if field.name not in READ and value != getattr(start, field.name):
            raise ConfigError(
                f"{field.name}={value!r} with preset 'words': a bag of words has no such setting; leave it out"
            )


def words_summary(record: Mapping[str, Any], output: str | Path) -> list[str]:
    """What a record says, in lines for people."""
    counts, words = record["documents"], record["words"]
    lines = [
        f"a bag of {words['terms']} terms, fitted to {counts['train']} documents of {len(record['labels'])} classes in "
        f"{record['seconds']:.1f} s: words{' and pairs of words' if words['settings']['ngrams'] == 2 else ''}, "
        f"C={words['settings']['inverse_penalty']:g}"
    ]
    if (scores := record["scores"]) is not None:
        lines.append(
            f"on the {counts['validation']} validation documents that chose them: accuracy {scores['accuracy']:.4f}, "
            f"macro F1 {scores['f1_macro']:.4f}"
        )
    if (calibration := record["calibration"]) is not None:
        lines.append(
            f"calibrated by temperature {calibration['temperature']:.3f}: expected calibration error "
            f"{calibration['ece_before']:.4f} before, {calibration['ece_after']:.4f} after"
        )
    return [*lines, f"saved in {output}"]


def _scores(logits: Any, truth: Any, weights: Any) -> dict[str, float]:
    if truth.ndim == 2:
        return multi_label_scores(truth, logits > 0, weights)
    return accuracy_and_f1(truth, logits.argmax(1), weights)


def _scikit_learn() -> str:
    import sklearn

    version: str = sklearn.__version__
    return version
