"""`tokensieve export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tokensieve.cli.options import Json, Model, emit, prepare


def export_command(
    model: Model,
    output: Annotated[Path, typer.Option("--output", help="Folder to make; nothing is overwritten.")],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="transformers: the family's own class; for dense models with pooling=pretrained. onnx: model.onnx; "
            "for dense models of any pooling, and for those that keep a fixed share of the tokens.",
        ),
    ],
    stage: Annotated[
        int | None, typer.Option("--stage", help="Stage of a cascade: 1 prunes, 2 answers the deferred documents.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a classifier in a format that other programs read without tokensieve.

    The logits are the model's. What was fitted to them, a temperature or thresholds, is not part of the export.

    Example: tokensieve export --model news-classifier --output news-onnx --format onnx
    """
    prepare(None, quiet=json)
    from tokensieve.export import export

    exported = export(model, output, format, stage=stage)
    record = {
        "output": str(output),
        "format": exported.format,
        "largest_difference": exported.difference,
        "not_exported": exported.not_exported,
    }
    emit(record, [f"{output}: {format}; its logits differ from the model's by {exported.difference:.1e} at most"], json)
