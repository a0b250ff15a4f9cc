"""An endpoint as Starlette calls it: the key, the body and its size, the client that leaves, and refusals as JSON."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from tokensieve.serve.formats import kserve, tei, vllm
from tokensieve.serve.formats.common import Endpoint, ErrorShape
from tokensieve.serve.refusal import (
    NOT_FOUND,
    UNAUTHORIZED,
    VALIDATION,
    ClientLeftError,
    RefusedError,
    too_large,
    wrong,
)
from tokensieve.serve.service import Service

logger = logging.getLogger(__name__)

_CLIENT_LEFT = 499  # as nginx logs it; nobody reads it


def called(endpoint: Endpoint, service: Service) -> Callable[[Request], Awaitable[Response]]:
    """The function that Starlette calls for an endpoint."""
    adapter: TypeAdapter[Any] | None = None if endpoint.takes is None else TypeAdapter(endpoint.takes)

    async def call(request: Request) -> Response:
        try:
            if not endpoint.is_open:
                _check_key(request, service.settings.api_key)
            body = None if adapter is None else _checked(adapter, await _body(request, service))
            answer = endpoint.handler(service, request, body)
            return await (answer if adapter is None else _unless_left(request, answer))
        except (ClientLeftError, ClientDisconnect):
            service.metrics.refused(_CLIENT_LEFT)
            return Response(status_code=_CLIENT_LEFT)
        except RefusedError as refusal:
            service.metrics.refused(refusal.status)
            return refused(refusal, endpoint.error_shape)
        except Exception as error:
            # No text of the error: it may quote a document.
            logger.exception("%s %s failed", endpoint.method, endpoint.path, exc_info=_without_text(error))
            service.metrics.refused(500)
            failure = RefusedError(500, "Internal", "the server has failed; its log says where")
            return refused(failure, endpoint.error_shape)

    return call


def refused(refusal: RefusedError, shape: ErrorShape) -> Response:
    """The answer to a request that is refused."""
    return JSONResponse(shape(refusal), refusal.status, refusal.headers)


async def not_routed(request: Request, error: Exception) -> Response:
    """The answer to a path, or a method, that there is not."""
    assert isinstance(error, HTTPException)
    what = "there is no such path" if error.status_code == 404 else "the path is not for this method"
    refusal = RefusedError(error.status_code, NOT_FOUND, f"{what}; see /docs", error.headers)
    path = request.url.path
    shape = kserve.error_shape if path.startswith("/v2") else tei.error_shape
    return refused(refusal, vllm.error_shape if path == "/classify" else shape)


def _check_key(request: Request, key: str | None) -> None:
    if key is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), key.encode()):
        return
    what = "send the server's key, as the header 'Authorization: Bearer KEY'"
    raise RefusedError(401, UNAUTHORIZED, what, {"WWW-Authenticate": "Bearer"})


async def _body(request: Request, service: Service) -> bytes:
    """The whole body, if it is not too large and comes in time."""
    limit, seconds = service.settings.payload_limit, service.settings.body_seconds
    message = f"the body has more than {limit} bytes (--payload-limit): send fewer or shorter texts"
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told[:18]) > limit:
        raise too_large(message)
    parts, size = [], 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise too_large(message)
                parts.append(part)
    except TimeoutError:
        what = f"the body did not arrive within {seconds:g} seconds"
        raise RefusedError(408, VALIDATION, what, {"Connection": "close"}) from None
    return b"".join(parts)


def _checked(adapter: TypeAdapter[Any], body: bytes) -> Any:
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise wrong(f"the body is no valid JSON: {first['msg'].removeprefix('Invalid JSON: ')}", 400) from None
        raise wrong(f"{_place(first['loc'])} has a wrong form: {first['msg']}") from None


def _place(location: tuple[str | int, ...]) -> str:
    """Where the first fault of a body is, as `inputs[0].shape`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return f"`{path.removeprefix('.')}`" if path else "the body"


async def _unless_left(request: Request, answer: Awaitable[Response]) -> Response:
    """The answer, unless the client leaves before; then its work is cancelled.

    Raises:
        ClientLeftError: it has.
    """
    working, leaving = asyncio.ensure_future(answer), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return await working
        raise ClientLeftError
    finally:
        for task in (working, leaving):
            task.cancel()


def _without_text(error: Exception) -> Exception:
    """The error's kind and place, without its text."""
    return Exception(type(error).__name__).with_traceback(error.__traceback__)
