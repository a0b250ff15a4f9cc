"""Options that several commands share, and what they set up."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokensieve.data.readers import Policy
from tokensieve.errors import ConfigError
from tokensieve.methods import METHODS

if TYPE_CHECKING:
    from tokensieve.runtime.classifier import Classifier

RUNNING, DATA, REDUCTION, RECIPE = "Running", "Data", "Token reduction", "Recipe"

Model = Annotated[str, typer.Option("--model", help="Folder of a trained tokensieve classifier.")]
Device = Annotated[
    str, typer.Option("--device", help="auto (CUDA where there is one), cpu, cuda, cuda:1.", rich_help_panel=RUNNING)
]
Dtype = Annotated[
    str,
    typer.Option(
        "--dtype",
        help="Weights and activations: float32, bfloat16, float16, int8 (of a folder by 'tokensieve quantize'); auto: "
        "int8 of such a folder, else what 'tokensieve tune' chose, else bfloat16 where the processor has instructions.",
        rich_help_panel=RUNNING,
    ),
]
Threads = Annotated[
    int | None, typer.Option("--threads", help="CPU threads (default: torch's choice).", rich_help_panel=RUNNING)
]
BatchTokens = Annotated[
    str,
    typer.Option(
        "--batch-tokens",
        help="Most tokens of a batch; bounds memory. auto: the fastest of 1024 to 16384 on the first documents.",
        metavar="INTEGER|auto",
        rich_help_panel=RUNNING,
    ),
]
OffloadEmbeddings = Annotated[
    bool,
    typer.Option(
        "--offload-embeddings",
        help="Leave the embedding table in its file: the same answers in less memory, and a little more time.",
        rich_help_panel=RUNNING,
    ),
]
Speed = Annotated[
    str | None,
    typer.Option(
        "--speed",
        help="Thresholds that 'tokensieve tune' measured: accurate, balanced, fastest, or times the dense encoder's "
        "speed, such as 8x (default: as the folder says).",
        metavar="NAME|TIMES",
        rich_help_panel=RUNNING,
    ),
]
KeptShare = Annotated[
    float | None,
    typer.Option(
        "--keep",
        help="Share of its tokens that a document keeps in each pruning layer, above 0 and at most 1 (default: as the "
        "folder says). For a classifier of the preset length-adaptive.",
        rich_help_panel=RUNNING,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and no progress bars.")]
Input = Annotated[
    str,
    typer.Option("--input", help="CSV, TSV, JSONL, JSON, TXT (a document a line; all also .gz), Parquet; - for stdin."),
]
InputFormat = Annotated[
    str | None,
    typer.Option(
        "--input-format",
        help="csv, tsv, jsonl, json, txt or parquet where the name does not tell; stdin is jsonl.",
        rich_help_panel=DATA,
    ),
]
MaxLength = Annotated[
    int | None, typer.Option("--max-length", help="Truncate documents to this many tokens (default: as in training).")
]
TextColumn = Annotated[
    str, typer.Option("--text-column", help="Column, or JSON field, of the text.", rich_help_panel=DATA)
]
LabelColumn = Annotated[str, typer.Option("--label-column", help="Column of the label.", rich_help_panel=DATA)]
PairColumn = Annotated[
    str | None,
    typer.Option(
        "--pair-column", help="Column of a second text, classified together with the first.", rich_help_panel=DATA
    ),
]
MultiLabel = Annotated[
    bool,
    typer.Option(
        "--multi-label", help="A document has any number of labels: a list, or a divided cell.", rich_help_panel=DATA
    ),
]
LabelSeparator = Annotated[
    str, typer.Option("--label-separator", help="What divides the labels of a cell.", rich_help_panel=DATA)
]
Delimiter = Annotated[
    str | None,
    typer.Option(
        "--delimiter",
        help="What divides the columns of CSV, TSV and text files: ';', '|', tab (default: by the name).",
        rich_help_panel=DATA,
    ),
]
OnBadRows = Annotated[
    Policy,
    typer.Option(
        "--on-bad-rows",
        help="Rows that cannot be used (empty or binary text, wrong type or encoding, unknown label): error stops at "
        "the first one, skip counts and reports them.",
        rich_help_panel=DATA,
    ),
]
MaxDocuments = Annotated[
    int | None,
    typer.Option(
        "--max-documents", help="At most so many documents a split, each label in its share.", rich_help_panel=DATA
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help=f"Start from named settings: {', '.join(METHODS)} (default: the checkpoint's, or fuzzy pruning of keys); "
        "for train also words: a bag of words, no encoder.",
        rich_help_panel=REDUCTION,
    ),
]
Keep = Annotated[
    float | None,
    typer.Option(
        "--keep", help="Share of tokens that stays at each layer, (0, 1].", metavar="SHARE", rich_help_panel=REDUCTION
    ),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Any other setting by its dotted path, such as prune.schedule.first=0.5 (repeatable).",
        metavar="PATH=VALUE",
    ),
]


def recipe_option(*names: str, help: str) -> Any:
    """An option under the recipe's heading."""
    return typer.Option(*names, help=help, rich_help_panel=RECIPE)


def number_or_word(text: str) -> int | str:
    """The value of an option that takes a number or a word; which ones, its user knows."""
    try:
        return int(text)
    except ValueError:
        return text


def load_classifier(
    model: str,
    device: str,
    dtype: str,
    max_length: int | None,
    batch_tokens: str,
    offload_embeddings: bool,
    speed: str | None = None,
    keep: float | None = None,
) -> Classifier:
    """`tokensieve.load` by the options of the same names."""
    from tokensieve.runtime.load import load

    return load(model, **load_options(device, dtype, max_length, batch_tokens, offload_embeddings, speed, keep))


def load_options(
    device: str,
    dtype: str,
    max_length: int | None,
    batch_tokens: str,
    offload_embeddings: bool,
    speed: str | None = None,
    keep: float | None = None,
) -> dict[str, Any]:
    """What `tokensieve.load` takes beside the path."""
    return {
        "device": device,
        "dtype": dtype,
        "max_length": max_length,
        "batch_tokens": number_or_word(batch_tokens),
        "offload_embeddings": offload_embeddings,
        "speed": speed,
        "keep": keep,
    }


def prepare(threads: int | None, quiet: bool) -> None:
    """Set the number of threads, the tokenizer's too, and send our log to stderr: all of it, or warnings alone."""
    from transformers.utils import logging as transformers_logging

    from tokensieve.runtime.threads import set_threads

    if threads is not None:
        set_threads(threads)
    transformers_logging.disable_progress_bar()  # reading and writing weights takes no time worth a bar
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("tokensieve")
    logger.handlers = [handler]
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False


def bar(total: int | None, description: str, quiet: bool, unit: str = "documents") -> Any:
    """A progress bar over a stream, on stderr."""
    from tqdm import tqdm

    return lambda stream: tqdm(stream, total=total, desc=description, unit=f" {unit}", disable=quiet)


def emit(record: dict[str, Any], lines: Sequence[str], as_json: bool) -> None:
    """Print the result for machines or for people."""
    typer.echo(json.dumps(record, ensure_ascii=False, indent=2) if as_json else "\n".join(lines))


def training_device(device: Any) -> Any:
    """A device that Trainer can be put on.

    Raises:
        ConfigError: another GPU than the first one that is visible.
    """
    if device.type == "cuda" and device.index:
        raise ConfigError(
            f"device={device}: training takes the first GPU that is visible; give --device cuda and set "
            f"CUDA_VISIBLE_DEVICES={device.index}"
        )
    return device


def environment(device: Any, dtype: str) -> dict[str, Any]:
    """The machine and the versions that a measurement depends on."""
    import platform

    import torch
    import transformers

    from tokensieve.version import __version__

    return {
        "device": str(device),
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "machine": f"{platform.system()} {platform.machine()}",
        "tokensieve": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
