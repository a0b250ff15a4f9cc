"""quantize(): a folder of a trained classifier -> one with int8 weights, if the answers stay.

If they do not, the layers that change the answers most keep their float32 weights, one after the other, and the gate
is tried again. More than half of the layers in float32 would save little: then nothing is written.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from math import ceil
from pathlib import Path
from random import Random
from typing import Any

from tokensieve.cascade.build import stages_of
from tokensieve.checks import SHARE, check_values, list_of, one_of, read_object, whole
from tokensieve.data.documents import Document
from tokensieve.errors import CheckpointError, ConfigError, DataError
from tokensieve.kernels.int8.instructions import attention_dtype
from tokensieve.model.int8 import in_int8
from tokensieve.quantize.gate import Gate, changes, judged
from tokensieve.quantize.ranges import names_of, ranges
from tokensieve.runtime.bag_of_words import BagOfWords
from tokensieve.runtime.classifier import Classifier
from tokensieve.runtime.engine import STAGES
from tokensieve.runtime.load import load
from tokensieve.runtime.precision import dtype_name
from tokensieve.runtime.results import Result
from tokensieve.runtime.words_first import engine_like
from tokensieve.training.files.checkpoints import write_json
from tokensieve.training.files.output import CARD, OURS, check_output, folder_in_the_making, open_to_others

logger = logging.getLogger(__name__)

REPORT = "quantization.json"
"""What the gate measured, in the folder of an int8 classifier."""
ENOUGH = 1000
"""Documents from which on a change of 1.5 % of the labels is told from chance."""
_FITTED_SHARE, _FITTED_MOST = 4, 256
"""One document in so many, and no more than that, fits the ranges of activations; the others are compared."""
_TRIED = 128
"""Documents by which the layers are ordered."""
_LAYER = "encoder.layer."
_NOT_COPIED = ("config.json", "model*.safetensors*", "frontier.*")
"""Files that are made anew, and the frontier, whose thresholds, scores and speeds are those of float32."""


def quantize(
    model: str | Path,
    output: str | Path,
    documents: Sequence[Document],
    *,
    gate: Gate | None = None,
    stages: Sequence[str] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Make an int8 classifier of a trained one, and write it if it passes the gate.

    Args:
        model: folder of the classifier, float32.
        output: folder to make.
        documents: that the classifier was not trained on; labels are not needed. With labels the accuracy is reported.
        gate: what may change; None: the defaults.
        stages: of a cascade those that get int8 weights, "encoder" or "second encoder"; the other one keeps float32.
            None of them: all stages.
        overwrite: replace `output` if it is there.

    Returns:
        The report, which `quantization.json` holds: "type", "attention" (its type here), "fitted_to", "documents",
        "labels_changed", "mean_change", "float32" (layers that keep their weights), "stages" that are int8, bytes of
        both weights files, and of labelled documents the accuracy.

    Raises:
        CheckpointError: `model` is no folder, cannot be read, or is int8 already.
        ConfigError: a bag of words alone; a stage that the classifier lacks; `output` exists; or the gate is not passed
            (with the figures).
        DataError: no documents, or labels that the classifier does not know.
    """
    gate = gate or Gate()
    if not documents:
        raise DataError("there is no document to compare on: give a file with at least one usable row")
    check_output(output, overwrite, sources=(model,))
    if not Path(model).is_dir():
        raise CheckpointError(f"{model} is no folder: give one; a classifier on a hub has to be downloaded first")
    before = load(model, device="cpu")
    if isinstance(before, BagOfWords):
        raise ConfigError(f"{model}: a bag of words has no encoder, and nothing to quantize")
    if before.model.config.int8:
        raise CheckpointError(f"{model}: its weights are int8 already: give the float32 classifier that it was made of")
    numbers = _numbers_of(stages, model, before)
    fitted, compared = _split(documents)
    if len(compared) < ENOUGH:
        logger.warning(
            "%d documents to compare on tell little: give %d or more, labels are not needed",
            len(compared),
            ENOUGH + _FITTED_MOST,
        )
    made, report = _tried(_Trial(before, fitted, compared, numbers), gate)
    named = [STAGES[number] for number in numbers or range(len(stages_of(before.model)))]
    report |= {"stages": named, "fitted_to": len(fitted), "attention": dtype_name(attention_dtype(before.model.device))}
    report = {"type": "int8", "gate": {"labels_changed": gate.labels_changed, "mean_change": gate.mean_change}} | report
    if made is None:
        raise ConfigError(f"{model}: int8 changes too much: {said(report)}; nothing is written: keep float32")
    with folder_in_the_making(output) as folder:
        report |= _write(Path(model), folder, made, report)
    return report


def _numbers_of(stages: Sequence[str], model: str | Path, classifier: Classifier) -> list[int] | None:
    """Numbers of the stages of these names; None: all stages that the classifier has."""
    known = STAGES[: len(stages_of(classifier.model))]
    for name in stages:
        if name not in known:
            raise ConfigError(f"stage {name!r}: the encoders of {model} are {', '.join(map(repr, known))}")
    return sorted({known.index(name) for name in stages}) if 0 < len(set(stages)) < len(known) else None


def _split(documents: Sequence[Document]) -> tuple[list[Document], list[Document]]:
    """Documents that ranges are fitted to, drawn by a fixed seed, as files are often sorted by label; and the others.

    One document alone is both.
    """
    drawn = Random(0).sample(documents, len(documents))
    fitted = min(_FITTED_MOST, ceil(len(documents) / _FITTED_SHARE))
    return drawn[:fitted], drawn[fitted:] or drawn


class _Trial:
    """The parts that every attempt shares: the float32 classifier, its answers, the ranges of its activations."""

    def __init__(
        self,
        before: Classifier,
        fitted: Sequence[Document],
        documents: Sequence[Document],
        stages: Sequence[int] | None,
    ) -> None:
        self.before, self.documents, self.stages = before, documents, stages
        self.names = names_of(before.model, stages)
        self.ranges = ranges(before, self.names, fitted, stages)
        self.results = _results(before, documents)

    def made(self, names: Sequence[str]) -> Any:
        """The model with int8 in the modules of these names."""
        return in_int8(self.before.model, names, self.ranges, self.stages)

    def answers(self, model: Any, documents: Sequence[Document]) -> list[Result]:
        """Results of another model in the classifier's place."""
        return _results(_with(self.before, model), documents)


def _tried(trial: _Trial, gate: Gate) -> tuple[Any, dict[str, Any]]:
    """The int8 model that passes, None if none does; and the report of the last one that was tried."""
    kept = list[str]()
    order: list[str] | None = None
    while True:
        made = trial.made([name for name in trial.names if not name.startswith(tuple(kept) or ("\n",))])
        after = trial.answers(made, trial.documents)
        report = {"float32": kept, **judged(trial.before, trial.documents, trial.results, after)}
        logger.info("%s", said(report))
        if gate.passes(report):
            return made, report
        order = _most_sensitive(trial) if order is None else order
        if len(kept) >= len(order) // 2:
            return None, report
        kept = [*kept, order[len(kept)]]


def _most_sensitive(trial: _Trial) -> list[str]:
    """The layers, those first that change the probabilities most if they alone are int8."""
    layers = sorted({name[: name.index(".", len(_LAYER)) + 1] for name in trial.names if name.startswith(_LAYER)})
    some, wanted = trial.documents[:_TRIED], trial.results[:_TRIED]
    moved = {}
    for layer in layers:
        alone = trial.made([name for name in trial.names if name.startswith(layer)])
        moved[layer] = changes(wanted, trial.answers(alone, some))["mean_change"]
    return sorted(layers, key=lambda layer: -moved[layer])


def _with(classifier: Classifier, model: Any) -> Classifier:
    """The classifier with another model: the same tokenizer, length and bag of words."""
    return Classifier(engine_like(classifier.engine, model, classifier.engine.words_first))


def _results(classifier: Classifier, documents: Sequence[Document]) -> list[Result]:
    return [result for _, result in classifier.engine.stream(documents)]


def _write(source: Path, folder: Path, made: Any, report: dict[str, Any]) -> dict[str, Any]:
    """Write the folder: the source's files but weights, config and frontier, then the first two, report and card."""
    for file in source.iterdir():
        ours = any(fnmatch(file.name, pattern) for pattern in OURS)
        if ours and file.is_file() and not any(fnmatch(file.name, pattern) for pattern in _NOT_COPIED):
            shutil.copy(file, folder / file.name)
    made.save_pretrained(folder)
    open_to_others(folder)
    sizes = {name: _bytes(place) for name, place in (("bytes_float32", source), ("bytes", folder))}
    write_json(folder / REPORT, report | sizes)
    card = folder / CARD
    if card.is_file():
        text = card.read_text(encoding="utf-8")
        card.write_text(f"{text.rstrip()}\n\n## int8\n\n{_sentence(said(report))}\n", encoding="utf-8")
    return sizes


def read_report(file: Path) -> dict[str, Any]:
    """The report in a folder of int8 weights.

    Raises:
        CheckpointError: it cannot be read, or lacks what the gate measured.
    """
    try:
        report = read_object(file)
        check_values(report, {"documents": whole(1), "labels_changed": SHARE, "mean_change": SHARE})
        check_values(report, {"stages": list_of(one_of(STAGES), "names of stages").or_none()})
        if missing := {"documents", "labels_changed", "mean_change"} - report.keys():
            raise ValueError(f"{min(missing)} is missing")
        return report
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: cannot be used ({error}); quantize the classifier again") from error


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("model*.safetensors"))


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def said(report: dict[str, Any]) -> str:
    """A report in a sentence."""
    parts = [
        f"int8 changes {report['labels_changed']:.2%} of the labels of {report['documents']} documents, and their "
        f"probability by {report['mean_change']:.4f} on average"
    ]
    if "gate" in report:
        bound = report["gate"]
        parts.append(f"allowed are {bound['labels_changed']:.2%} and {bound['mean_change']:.4f}")
    if "accuracy" in report:
        low, high = report["interval"]
        parts.append(
            f"accuracy {report['accuracy']:.4f}, {100 * report['difference']:+.2f} points [{100 * low:.2f}, "
            f"{100 * high:.2f}] to float32's {report['accuracy_float32']:.4f}"
        )
    if report["float32"]:
        layers = ", ".join(name.removeprefix(_LAYER).rstrip(".") for name in report["float32"])
        parts.append(f"layers {layers} keep their float32 weights")
    return "; ".join(parts)
