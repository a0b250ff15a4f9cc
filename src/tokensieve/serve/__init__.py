"""The server: a trained classifier behind HTTP, in the formats of text-embeddings-inference, vLLM and KServe V2.

A request goes: `web` (key, size, JSON) -> `formats` (what the format asks for) -> `service` (limits, tokens) -> `queue`
-> `model_thread` (the engine, on what waits) -> `answers` (in the format's shape).
"""

from __future__ import annotations

from tokensieve.serve.app import create_app
from tokensieve.serve.settings import ServeSettings

__all__ = ["ServeSettings", "create_app"]
