"""Refusals: what a server answers in place of a result."""

from __future__ import annotations

from collections.abc import Mapping

VALIDATION, OVERLOADED, UNHEALTHY, BACKEND = "Validation", "Overloaded", "Unhealthy", "Backend"
"""Kinds of errors as text-embeddings-inference names them."""
UNAUTHORIZED, NOT_FOUND = "Unauthorized", "NotFound"
"""Kinds that it answers without a body."""


class RefusedError(Exception):
    """A request is refused; the text tells its sender what to do.

    It may quote the beginning of a text to who sent it, and so it goes into no log.

    Attributes:
        status: of HTTP.
        kind: one of the kinds above.
        headers: of the answer.
    """

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.headers = status, kind, dict(headers or {})


class ClientLeftError(Exception):
    """The client has closed the connection: nobody waits for an answer."""


STOPPED = "it has stopped; start the server again"


def not_ready(what: str) -> RefusedError:
    """503; the client may ask again."""
    return RefusedError(503, UNHEALTHY, f"the model is not ready: {what}", {"Retry-After": "1"})


def overloaded(limit: int) -> RefusedError:
    """429; the client may ask again."""
    message = f"Model is overloaded: {limit} texts are being classified (--max-concurrent-requests); try again"
    return RefusedError(429, OVERLOADED, message, {"Retry-After": "1"})


def too_large(what: str) -> RefusedError:
    """413."""
    return RefusedError(413, VALIDATION, what)


def wrong(what: str, status: int = 422) -> RefusedError:
    """A request that cannot be answered as it is."""
    return RefusedError(status, VALIDATION, what)
