"""`tokensieve push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tokensieve.cli.options import Json, emit, prepare


def push_command(
    model: Annotated[Path, typer.Option("--model", help="Folder of a trained tokensieve classifier.")],
    repo: Annotated[str, typer.Option("--repo", help="Repository on the Hugging Face hub: user/name, or name.")],
    private: Annotated[
        bool, typer.Option("--private", help="Nobody else may see it; refused where it is there and public.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch, made if it is not there (default: main).")
    ] = None,
    message: Annotated[str, typer.Option("--message", help="Of the commit.")] = "Upload tokensieve classifier",
    json: Json = False,
) -> None:
    """Publish a classifier on the Hugging Face hub: weights, config, tokenizer, records and model card, no other file.

    The token is that of `hf auth login`, or of the variable HF_TOKEN.

    Example: tokensieve push --model news-classifier --repo my-name/news-classifier --private
    """
    prepare(None, quiet=json)
    from huggingface_hub.utils.tqdm import disable_progress_bars

    from tokensieve.hub import push_to_hub

    if json:
        disable_progress_bars()
    url = push_to_hub(model, repo, private=private, revision=revision, commit_message=message)
    emit({"url": url}, [f"pushed to {url}"], json)
