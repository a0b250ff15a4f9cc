"""`tokensieve info`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from tokensieve.cli.options import Assignments, Delimiter, Json, Keep, Preset, TextColumn, emit, prepare
from tokensieve.cli.settings import given_options, info_settings
from tokensieve.config import ReductionConfig
from tokensieve.errors import ConfigError
from tokensieve.settings_paths import assignments_of, value_text
from tokensieve.training.settings import base_checkpoint

Described = Annotated[
    str | None,
    typer.Option("--model", help="A trained classifier, or a checkpoint to compress (default: all-MiniLM-L6-v2)."),
]
Length = Annotated[
    int | None,
    typer.Option(
        "--length", help="Tokens of the document to plan, special ones included (default: 512, or what fits)."
    ),
]
Sample = Annotated[
    Path | None,
    typer.Option("--sample", help="Documents to measure counts on that depend on scores (trained classifiers only)."),
]


def info_command(
    context: typer.Context,
    model: Described = None,
    length: Length = None,
    preset: Preset = None,
    keep: Keep = None,
    assignments: Assignments = None,
    sample: Sample = None,
    text_column: TextColumn = "text",
    delimiter: Delimiter = None,
    json: Json = False,
) -> None:
    """Describe a classifier or a checkpoint, and print the plan for a length: tokens and FLOPs of every step.

    Example: tokensieve info --preset paper-pfc-7 --length 512
    """
    asked = info_settings(given_options(context), assignments)
    prepare(None, quiet=True)
    from tokensieve.backbones.loading import load_config
    from tokensieve.backbones.source import source_config
    from tokensieve.cascade.plan import plan_of
    from tokensieve.kernels.backends import resolve_backend
    from tokensieve.kernels.linear import linear_backend
    from tokensieve.model.configuration import TokensieveConfig
    from tokensieve.runtime.bag_of_words import is_bag_of_words
    from tokensieve.runtime.load import resolve_device
    from tokensieve.runtime.precision import dtype_name, resolve_dtype

    device = resolve_device("auto")
    base = base_checkpoint(model)
    if is_bag_of_words(base):
        return _describe_words(base, json, alone=not asked and sample is None and length is None)
    raw = load_config(base)
    config = source_config(raw, base)
    trained = isinstance(raw, TokensieveConfig)
    if sample is not None and not trained:
        raise ConfigError(
            f"--sample {sample}: {base} is no trained classifier, nothing can be measured on it: train it first"
        )
    if asked:
        config.reduction = asked.settings(config).to_dict()
    shares = None if sample is None else _measured_shares(base, sample, text_column, delimiter)
    plan = plan_of(config, min(512, config.longest_document) if length is None else length, shares=shares)
    record = {
        "model": str(base),
        "trained": trained,
        "family": config.family,
        "layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "longest_document": config.longest_document,
        "labels": list(config.label_names) if trained else [],
        "attention_backend": resolve_backend(config.attention_backend),
        "linear_backend": linear_backend(),
        "auto": {"device": str(device), "dtype": dtype_name(resolve_dtype("auto", device))},
        "settings": config.reduction,
        "quantization": _of_int8(base) if config.int8 else None,
        "words_first": _of_first_stage(base, config.label_names) if trained else None,
        "plan": plan.to_dict(),
    }
    emit(record, _lines(record, str(plan)), json)


def _describe_words(folder: str, json: bool, *, alone: bool) -> None:
    if not alone:
        raise ConfigError(f"{folder}: a bag of words has no encoder, and nothing to plan: give --model alone")
    record = _of_words(folder)
    emit(record, _lines_of_words(record), json)


def _of_words(folder: str) -> dict[str, Any]:
    from tokensieve.words import WordsClassifier

    words = WordsClassifier.load(folder)
    return {
        "model": folder,
        "trained": True,
        "family": "words",
        "labels": list(words.labels),
        "terms": len(words.weights),
        "settings": {"words": words.settings.to_dict()},
        "plan": None,
    }


def _lines_of_words(record: dict[str, Any]) -> list[str]:
    settings = ", ".join(f"{name}={value_text(value)}" for name, value in record["settings"]["words"].items())
    return [
        f"model      {record['model']} (trained classifier)",
        f"words      {record['terms']} terms, TF-IDF and logistic regression",
        f"settings   {settings}",
        f"labels     {', '.join(record['labels'])}",
        "",
        "plan       no encoder: there are no tokens to keep, and no layers",
    ]


def _of_int8(base: str) -> dict[str, Any]:
    """What the gate of `tokensieve quantize` measured; nothing where its record is missing."""
    from tokensieve.backbones.loading import file_in
    from tokensieve.quantize.quantize import REPORT, read_report

    file = file_in(base, REPORT)
    return {} if file is None else read_report(file)


def _of_first_stage(base: str, labels: Sequence[str]) -> dict[str, Any] | None:
    from dataclasses import asdict

    from tokensieve.runtime.load import words_first_of

    first = words_first_of(base, labels)
    return None if first is None else {"terms": len(first.words.weights), **asdict(first.settings)}


def _measured_shares(model: str, sample: Path, text_column: str, delimiter: str | None) -> list[float]:
    from tokensieve.cascade.configuration import CascadeConfig
    from tokensieve.data import read_documents
    from tokensieve.model.plan import kept_shares
    from tokensieve.runtime.engine import Engine
    from tokensieve.runtime.load import load

    documents = read_documents(sample, text_column=text_column, label_column=None, delimiter=delimiter)
    classifier = load(model)
    if isinstance(classifier.model.config, CascadeConfig):
        classifier.model.config.defer_below = None  # the plan counts the second stage
    engine = Engine(classifier.model, classifier.engine.tokenizer)  # without a bag of words ahead
    results = [result for _, result in engine.stream(islice(documents, 256))]
    kept = list(zip(*(result.kept for result in results), strict=True))
    return kept_shares(kept, [result.length for result in results])


def _lines(record: dict[str, Any], plan: str) -> list[str]:
    start = {assignment.name: assignment.value for assignment in assignments_of(ReductionConfig().to_dict())}
    given = {assignment.name: assignment.value for assignment in assignments_of(record["settings"])}
    changed = [f"{name}={value_text(value)}" for name, value in given.items() if start.get(name, start) != value]
    lines = [
        f"model      {record['model']} ({'trained classifier' if record['trained'] else 'checkpoint to compress'})",
        f"backbone   {record['family']}, {record['layers']} layers, d={record['hidden_size']}, "
        f"at most {record['longest_document']} tokens; attention: {record['attention_backend']}; products on "
        f"CPU: {record['linear_backend']}",
        f"settings   {', '.join(changed) or 'defaults'}",
    ]
    lines.append(f"here       --device auto is {record['auto']['device']}, --dtype auto {record['auto']['dtype']}")
    if (gate := record["quantization"]) is not None:
        measured = (
            f": {gate['labels_changed']:.2%} of the labels of {gate['documents']} documents changed" if gate else ""
        )
        stages = f" in the {' and the '.join(gate['stages'])}" if "stages" in gate else ""
        lines.append(f"weights    int8{stages}{measured}")
    if (first := record["words_first"]) is not None:
        lines.append(
            f"first      a bag of {first['terms']} terms, which defers documents below a confidence of "
            f"{first['defer_below']:.4f} to this encoder"
        )
    if record["labels"]:
        lines.append(f"labels     {', '.join(record['labels'])}")
    return [*lines, "", plan]
