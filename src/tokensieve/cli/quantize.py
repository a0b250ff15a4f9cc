"""`tokensieve quantize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tokensieve.cli.data import name_of_data
from tokensieve.cli.evaluate import Data, Split, labelled_documents
from tokensieve.cli.options import (
    Delimiter,
    Json,
    LabelColumn,
    LabelSeparator,
    OnBadRows,
    PairColumn,
    TextColumn,
    Threads,
    emit,
    prepare,
)

Folder = Annotated[Path, typer.Option("--model", help="Folder of a trained classifier, float32.")]
Output = Annotated[Path, typer.Option("--output", help="Folder to make.")]
Unlabelled = Annotated[bool, typer.Option("--unlabelled", help="The documents have no labels; accuracy is not told.")]
Changed = Annotated[float, typer.Option("--max-labels-changed", help="Share of the labels that may change, in [0, 1].")]
Moved = Annotated[
    float, typer.Option("--max-mean-change", help="Mean change of a document's probability that is allowed, in [0, 1].")
]
Most = Annotated[int | None, typer.Option("--max-documents", help="At most so many documents, drawn by label.")]
Stage = Annotated[
    list[str] | None,
    typer.Option(
        "--stage",
        help="Stage of a cascade that gets int8 weights, 'encoder' or 'second encoder'; the other keeps float32. "
        "By default all stages get them.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT if it is there.")]


def quantize_command(
    model: Folder,
    output: Output,
    data: Data = None,
    split: Split = "validation",
    unlabelled: Unlabelled = False,
    max_labels_changed: Changed = 0.015,
    max_mean_change: Moved = 0.01,
    stage: Stage = None,
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    pair_column: PairColumn = None,
    label_separator: LabelSeparator = "|",
    delimiter: Delimiter = None,
    on_bad_rows: OnBadRows = "error",
    max_documents: Most = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Make a classifier with int8 weights, and write it only if its answers stay.

    A quarter of the documents, 256 at most, fit the scales of activations. Both classifiers answer the others: 1,000 or
    more that it was not trained on. If too many labels change, the most sensitive layers keep their float32 weights; if
    that does not help, nothing is written.

    Example: tokensieve quantize --model news-classifier --data news/ --output news-int8
    """
    prepare(threads, quiet=json)
    from tokensieve.data import Tally
    from tokensieve.data.sampling import sample_by_label, sample_unlabelled
    from tokensieve.quantize.gate import Gate
    from tokensieve.quantize.quantize import quantize, said
    from tokensieve.training.files.output import check_output

    gate = Gate(max_labels_changed, max_mean_change)
    check_output(output, overwrite, sources=(model,))
    reading: dict[str, Any] = {
        "text_column": text_column,
        "label_column": None if unlabelled else label_column,
        "pair_column": pair_column,
        "label_separator": label_separator,
        "delimiter": delimiter,
        "policy": on_bad_rows,
        **_labels_of(model, unlabelled),
    }
    found = labelled_documents(data, split, reading, Tally())
    documents = (sample_unlabelled if unlabelled else sample_by_label)(found, max_documents)
    report = quantize(model, output, documents, gate=gate, stages=stage or (), overwrite=overwrite)
    record = {"model": str(model), "data": name_of_data(data), "output": str(output), **report}
    size = f"{report['bytes'] / 1e6:.1f} MB of weights, {report['bytes_float32'] / 1e6:.1f} MB before"
    emit(record, [said(report), f"saved in {output}: {size}"], json)


def _labels_of(model: Path, unlabelled: bool) -> dict[str, Any]:
    """What reading has to know of the classifier's labels."""
    from tokensieve.backbones.loading import load_config

    config = load_config(model)
    several = getattr(config, "is_multi_label", False) and not unlabelled
    known = getattr(config, "label_names", ())
    return {"multi_label": several, "known_labels": None if unlabelled else known}
