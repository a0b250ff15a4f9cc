"""`tokensieve evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tokensieve.cli.options import (
    DATA,
    BatchTokens,
    Device,
    Dtype,
    Json,
    LabelColumn,
    MaxLength,
    Model,
    OnBadRows,
    TextColumn,
    Threads,
    bar,
    emit,
    environment,
    prepare,
)
from tokensieve.data.readers import Policy
from tokensieve.runtime.engine import BATCH_TOKENS


def evaluate_command(
    model: Model,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Labelled file, or a folder of split files (default: the embedded corpus)."),
    ] = None,
    split: Annotated[
        str, typer.Option("--split", help="Which split of a folder or the corpus.", rich_help_panel=DATA)
    ] = "test",
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    on_bad_rows: OnBadRows = "error",
    max_documents: Annotated[
        int | None, typer.Option(help="At most so many documents, each label in its share.", rich_help_panel=DATA)
    ] = None,
    max_length: MaxLength = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    threads: Threads = None,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    json: Json = False,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="Show a bar on stderr (default: unless --json).")
    ] = None,
) -> None:
    """Score a trained classifier on labelled documents: accuracy, F1, speed, memory, tokens kept, a report per class.

    documents_per_second covers tokenizing and classifying; peak_memory_bytes is the peak while doing so, on CPU that of
    the whole process.

    Example: tokensieve evaluate --model news-classifier --data news/test.csv --json
    """
    quiet = json if progress is None else not progress
    prepare(threads, quiet=json)
    from tokensieve.data import Tally
    from tokensieve.runtime.evaluate import evaluate
    from tokensieve.runtime.load import load

    classifier = load(model, device=device, dtype=dtype, max_length=max_length, batch_tokens=batch_tokens)
    tally = Tally()
    documents = labelled_documents(data, split, text_column, label_column, on_bad_rows, classifier.labels, tally)
    if max_documents is not None:
        from tokensieve.data.sampling import sample_by_label

        documents = sample_by_label(documents, max_documents)
    scores = evaluate(classifier, documents, bar(len(documents), "evaluating", quiet))
    record = {
        "model": str(model),
        "data": "Python standard library" if data is None else data.name,
        "max_length": classifier.engine.max_length,
        **scores,
        "rows": tally.to_dict(),
        "settings": classifier.model.config.ptc,
        "environment": environment(classifier.model.device, dtype),
    }
    emit(record, _lines(record), json)


def labelled_documents(
    data: Path | None, split: str, text: str, label: str, policy: Policy, known: tuple[str, ...], tally: Any
) -> Any:
    """The documents of a file, of a folder's split or of the embedded corpus, whose labels the classifier knows."""
    from tokensieve.data import read_documents, resolve_split_file, standard_library_corpus
    from tokensieve.errors import ConfigError, DataError

    if data is None:
        splits = standard_library_corpus()
        if split not in ("train", "validation", "test"):
            raise ConfigError(f"split {split!r}: the embedded corpus has train, validation and test")
        documents = getattr(splits, split)
        foreign = sorted({d.label for d in documents} - set(known))
        if foreign:
            raise DataError(
                f"the classifier was not trained on the embedded corpus (it does not know {foreign[0]!r}): give --data"
            )
        for _ in documents:
            tally.accept()
        return documents
    reading = read_documents(
        resolve_split_file(data, split),
        text_column=text,
        label_column=label,
        policy=policy,
        tally=tally,
        known_labels=known,
    )
    return tuple(reading)


def _lines(record: dict[str, Any]) -> list[str]:
    lines = [
        f"documents              {record['documents']}",
        f"truncated              {record['truncated']} to {record['max_length']} tokens",
        f"accuracy               {record['accuracy']:.4f}",
        f"macro F1               {record['f1_macro']:.4f}",
        f"micro F1               {record['f1_micro']:.4f}",
        f"documents per second   {record['documents_per_second']:.1f}",
        f"peak memory            {record['peak_memory_bytes'] / 1e6:.0f} MB",
        f"mean length            {record['mean_length']:.1f} tokens",
        f"tokens kept per layer  {' '.join(f'{kept:.1f}' for kept in record['kept_tokens'])}",
        "",
        f"{'class':24} {'precision':>9} {'recall':>9} {'F1':>9} {'documents':>9}",
    ]
    for name, row in record["classes"].items():
        lines.append(
            f"{name[:24]:24} {row['precision']:9.4f} {row['recall']:9.4f} {row['f1']:9.4f} {row['support']:9d}"
        )
    if record["rows"]["rejected"]:
        lines += [
            "",
            f"{record['rows']['rejected']} of {record['rows']['read']} rows left out: {record['rows']['reasons']}",
        ]
    return lines
