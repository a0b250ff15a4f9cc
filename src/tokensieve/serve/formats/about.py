"""What the server tells of itself: health, facts, metrics and its description."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from tokensieve.serve.formats.common import Body, Endpoint
from tokensieve.serve.formats.tei import TeiError, error_shape
from tokensieve.serve.metrics import CONTENT_TYPE
from tokensieve.serve.refusal import not_ready
from tokensieve.serve.service import Service


class Info(Body):
    """The server's limits, and the model."""

    model_id: str
    served_model_name: str
    model_sha: str
    model_dtype: str
    model_type: dict[str, Any]
    multi_label: bool
    text_pairs: bool
    max_input_length: int | None
    max_concurrent_requests: int
    max_batch_tokens: int
    max_client_batch_size: int
    payload_limit: int
    auto_truncate: bool
    stages: list[str]
    settings: dict[str, Any]
    measured: dict[str, Any] | None
    version: str


async def health(service: Service, request: Request, body: None) -> Response:
    """Tell whether texts can be classified."""
    if not service.is_ready:
        raise not_ready("it is being loaded, or has stopped")
    return Response(status_code=200)


async def info(service: Service, request: Request, body: None) -> Response:
    """Tell of the model and the limits."""
    if service.served is None:
        raise not_ready("it is being loaded")
    limits = service.settings
    facts = {
        "served_model_name": limits.name,
        "max_concurrent_requests": limits.max_concurrent_requests,
        "max_batch_tokens": limits.max_batch_tokens,
        "max_client_batch_size": limits.max_client_batch_size,
        "payload_limit": limits.payload_limit,
        "auto_truncate": limits.auto_truncate,
    }
    return JSONResponse({**service.served.info, **facts})


async def metrics(service: Service, request: Request, body: None) -> Response:
    """Tell what was counted."""
    return Response(service.metrics.text(), headers={"content-type": CONTENT_TYPE})


async def openapi(service: Service, request: Request, body: None) -> Response:
    """Describe the server, for machines."""
    return JSONResponse(request.app.state.openapi)


async def docs(service: Service, request: Request, body: None) -> Response:
    """Describe the server, for people."""
    return HTMLResponse(request.app.state.docs)


def _get(path: str, handler: Any, summary: str, gives: Any = None, *statuses: int, is_open: bool = True) -> Endpoint:
    return Endpoint(
        "GET", path, handler, summary, error_shape, TeiError, gives=gives, statuses=statuses, is_open=is_open
    )


ENDPOINTS = (
    *(_get(path, health, "Whether texts can be classified.", None, 503) for path in ("/health", "/ping")),
    _get("/info", info, "The model, its labels, the limits and what was measured.", Info, 503, is_open=False),
    _get("/metrics", metrics, "What was counted, as Prometheus reads it."),
    _get("/openapi.json", openapi, "This description.", dict[str, Any]),
    _get("/docs", docs, "This description, as a page."),
)
