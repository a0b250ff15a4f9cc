"""`tokensieve serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tokensieve.cli.options import (
    Device,
    Dtype,
    KeptShare,
    MaxLength,
    Model,
    OffloadEmbeddings,
    Speed,
    Threads,
    load_options,
    prepare,
)
from tokensieve.errors import ConfigError, MissingExtraError
from tokensieve.runtime.budget import BATCH_TOKENS
from tokensieve.runtime.frontier import times

LIMITS = "Limits"

Host = Annotated[str, typer.Option("--host", help="Address to listen at; 0.0.0.0 lets other machines in.")]
Port = Annotated[int, typer.Option("--port", help="Port to listen at; 0: any that is free.")]
Name = Annotated[
    str | None,
    typer.Option("--served-model-name", help="What clients call the model (default: the name of its folder)."),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--api-key", envvar="TOKENSIEVE_API_KEY", show_default=False, help="Key that requests have to send as Bearer."
    ),
]
MostTokens = Annotated[
    int,
    typer.Option("--max-batch-tokens", help="Most tokens that the model reads together.", rich_help_panel=LIMITS),
]
MostTexts = Annotated[
    int, typer.Option("--max-client-batch-size", help="Most texts of a request; else 413.", rich_help_panel=LIMITS)
]
MostAtOnce = Annotated[
    int,
    typer.Option(
        "--max-concurrent-requests", help="Most texts that wait or are read; else 429.", rich_help_panel=LIMITS
    ),
]
MostBytes = Annotated[
    int, typer.Option("--payload-limit", help="Most bytes of a request's body; else 413.", rich_help_panel=LIMITS)
]
Truncate = Annotated[
    bool,
    typer.Option(
        "--auto-truncate/--no-auto-truncate",
        help="Truncate texts that are too long, where a request does not say; else 422.",
        rich_help_panel=LIMITS,
    ),
]
MostSpeed = Annotated[
    str | None,
    typer.Option(
        "--max-speed",
        metavar="TIMES",
        help="Highest speed that a request may ask for, as 8x (default: the fastest of the frontier).",
        rich_help_panel=LIMITS,
    ),
]


def serve_command(
    model: Model,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    served_model_name: Name = None,
    api_key: Key = None,
    max_batch_tokens: MostTokens = BATCH_TOKENS,
    max_client_batch_size: MostTexts = 32,
    max_concurrent_requests: MostAtOnce = 512,
    payload_limit: MostBytes = 2_000_000,
    auto_truncate: Truncate = True,
    max_speed: MostSpeed = None,
    max_length: MaxLength = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    speed: Speed = None,
    keep: KeptShare = None,
    threads: Threads = None,
    offload_embeddings: OffloadEmbeddings = False,
) -> None:
    """Serve a classifier over HTTP, in the formats of text-embeddings-inference, vLLM and KServe.

    It listens at this machine alone unless --host says otherwise. When the files of the model's folder are replaced, or
    on SIGHUP, the model is read again; requests in flight finish on the old one. SIGTERM ends it, after accepted
    requests are answered. Nothing of a document is logged.

    Example: tokensieve serve --model news-classifier --port 8080
    """
    prepare(threads, quiet=False)
    try:
        from tokensieve.serve.app import loader
        from tokensieve.serve.run import run
        from tokensieve.serve.settings import ServeSettings
    except ModuleNotFoundError as error:
        raise MissingExtraError("tokensieve serve", str(error.name), "serve") from error

    if not 0 <= port <= 65535:
        raise ConfigError(f"port={port}: give a number from 0 to 65535")
    folder = Path(os.path.abspath(model))  # a link stays one: the model is replaced when it points elsewhere
    settings = ServeSettings(
        name=served_model_name or folder.name,
        max_batch_tokens=max_batch_tokens,
        max_client_batch_size=max_client_batch_size,
        max_concurrent_requests=max_concurrent_requests,
        payload_limit=payload_limit,
        auto_truncate=auto_truncate,
        max_speed=None if max_speed is None else times(max_speed),
        api_key=api_key,
    )
    options = load_options(device, dtype, max_length, str(max_batch_tokens), offload_embeddings, speed, keep)
    run(settings, loader(model, **options), host=host, port=port, folder=folder if folder.is_dir() else None)
