"""`tokensieve evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tokensieve.cli.data import name_of_data, refuse_for_corpus
from tokensieve.cli.options import (
    DATA,
    BatchTokens,
    Delimiter,
    Device,
    Dtype,
    Json,
    KeptShare,
    LabelColumn,
    LabelSeparator,
    MaxLength,
    Model,
    OffloadEmbeddings,
    OnBadRows,
    PairColumn,
    Speed,
    TextColumn,
    Threads,
    bar,
    emit,
    environment,
    load_classifier,
    prepare,
)
from tokensieve.runtime.budget import BATCH_TOKENS

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Labelled file, a folder of split files or data set (folder of save_to_disk, or name or name:config "
        "on the Hugging Face hub; default: the embedded corpus).",
    ),
]
Split = Annotated[
    str, typer.Option("--split", help="Which split of a folder, data set or the corpus.", rich_help_panel=DATA)
]
Most = Annotated[
    int | None,
    typer.Option("--max-documents", help="At most so many documents, each label in its share.", rich_help_panel=DATA),
]
Progress = Annotated[
    bool | None, typer.Option("--progress/--no-progress", help="Show a bar on stderr (default: unless --json).")
]


def evaluate_command(
    model: Model,
    data: Data = None,
    split: Split = "test",
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    pair_column: PairColumn = None,
    label_separator: LabelSeparator = "|",
    delimiter: Delimiter = None,
    on_bad_rows: OnBadRows = "error",
    max_documents: Most = None,
    max_length: MaxLength = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    speed: Speed = None,
    keep: KeptShare = None,
    threads: Threads = None,
    batch_tokens: BatchTokens = str(BATCH_TOKENS),
    offload_embeddings: OffloadEmbeddings = False,
    json: Json = False,
    progress: Progress = None,
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

    classifier = load_classifier(model, device, dtype, max_length, batch_tokens, offload_embeddings, speed, keep)
    tally = Tally()
    reading = {
        "text_column": text_column,
        "label_column": label_column,
        "pair_column": pair_column,
        "multi_label": classifier.model.config.is_multi_label,
        "label_separator": label_separator,
        "delimiter": delimiter,
        "policy": on_bad_rows,
        "known_labels": classifier.labels,
    }
    documents = _limited(labelled_documents(data, split, reading, tally), max_documents)
    scores = evaluate(classifier, documents, bar(len(documents), "evaluating", quiet))
    record = {
        "model": str(model),
        "data": name_of_data(data),
        "max_length": classifier.engine.max_length,
        "offload_embeddings": offload_embeddings,
        **scores,
        "rows": tally.to_dict(),
        "settings": classifier.model.config.reduction,
        "environment": environment(classifier.model.device, classifier.dtype),
    }
    emit(record, _lines(record), json)


def labelled_documents(data: str | Path | None, split: str, reading: dict[str, Any], tally: Any) -> Any:
    """The documents of a file, of a split of a folder, of a data set or of the embedded corpus.

    `reading` is what `read_documents` takes, the labels among it that the classifier knows.
    """
    from tokensieve.data import read_documents, resolve_split_file, standard_library_corpus
    from tokensieve.errors import ConfigError, DataError

    if data is None:
        if split not in ("train", "validation", "test"):
            raise ConfigError(f"split {split!r}: the embedded corpus has train, validation and test")
        refuse_for_corpus(pair_column=reading["pair_column"])
        if reading["multi_label"]:
            raise DataError("the classifier is multi-label, the embedded corpus is not: give --data")
        documents = getattr(standard_library_corpus(), split)
        foreign = sorted({d.label for d in documents} - set(reading["known_labels"]))
        if foreign:
            raise DataError(
                f"the classifier was not trained on the embedded corpus (it does not know {foreign[0]!r}): give --data"
            )
        for _ in documents:
            tally.accept()
        return documents
    source = resolve_split_file(data, split, tables=reading.get("delimiter") is not None)
    return tuple(read_documents(source, **reading, tally=tally))


def _limited(documents: Any, most: int | None) -> Any:
    """At most so many of the documents, each label in its share; None: all."""
    from tokensieve.data.sampling import sample_by_label

    return documents if most is None else sample_by_label(documents, most)


def _lines(record: dict[str, Any]) -> list[str]:
    lines = [
        f"documents              {record['documents']}",
        *_tokens(record, f"truncated              {record['truncated']} to {record['max_length']} tokens"),
        f"{'exact match' if 'mean_labels' in record else 'accuracy':22} {record['accuracy']:.4f}",
        f"macro F1               {record['f1_macro']:.4f}",
        f"micro F1               {record['f1_micro']:.4f}",
        *_label_counts(record),
        f"calibration error      {record['ece']:.4f}, before temperature scaling {record['ece_uncalibrated']:.4f}",
        f"documents per second   {record['documents_per_second']:.1f}",
        *_tokens(record, f"batches                of at most {record['batch_tokens']} tokens, in {record['dtype']}"),
        f"peak memory            {record['peak_memory_bytes'] / 1e6:.0f} MB",
        f"mean length            {record['mean_length']:.1f} {'tokens' if record['kept_tokens'] else 'known terms'}",
        *_stages(record),
        *_tokens(record, f"tokens kept per layer  {' '.join(f'{kept:.1f}' for kept in record['kept_tokens'])}"),
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


def _tokens(record: dict[str, Any], line: str) -> list[str]:
    """A line about tokens; none for a bag of words, which has none."""
    return [line] if record["kept_tokens"] else []


def _stages(record: dict[str, Any]) -> list[str]:
    """The share of the documents that each stage answered; none where there is one stage."""
    if len(record["stages"]) < 2:
        return []
    return [f"answered by            {', '.join(f'{name} {share:.1%}' for name, share in record['stages'].items())}"]


def _label_counts(record: dict[str, Any]) -> list[str]:
    if "mean_labels" not in record:
        return []
    return [f"labels per document    {record['mean_labels']:.2f} given, {record['mean_labels_true']:.2f} true"]
