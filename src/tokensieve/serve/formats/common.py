"""What the formats share: the type of a text, and an endpoint that knows what it takes and gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError
from starlette.requests import Request
from starlette.responses import Response

from tokensieve.serve.refusal import RefusedError
from tokensieve.serve.service import Service

TextField = Annotated[str, Field(min_length=1, pattern=r"\S", description="A text; not of white space alone.")]
Scores = Annotated[list["Score"], Field(description="Every label with its score, the highest first.")]


def said(what: str) -> WrapValidator:
    """Lets a field of several forms fail with one sentence, in place of a fault for each of the forms."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("form", "{what}", {"what": what}) from None

    return WrapValidator(check)


class Body(BaseModel):
    """A body of a request or of an answer.

    Fields that it does not know are passed over, as in the formats' own servers.
    """

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


SpeedField = Annotated[
    Annotated[str, Field(min_length=1, max_length=20)] | Annotated[float, Field(gt=0)] | None,
    Field(description="Of the classifier's frontier: accurate, balanced, fastest, or as 8x; null: as the server."),
    said("give accurate, balanced, fastest, or times the dense encoder's speed, such as 8x"),
]


class Score(Body):
    """A label and its score."""

    score: float
    label: str


Handler = Callable[[Service, Request, Any], Awaitable[Response]]
"""(service, request, checked body or None) -> answer; it raises RefusedError."""

ErrorShape = Callable[[RefusedError], Any]
"""A refusal -> the body of the answer, for JSON."""


@dataclass(frozen=True)
class Endpoint:
    """A path and a method, with all that the server and its description need.

    Attributes:
        method: of HTTP.
        path: as Starlette writes it.
        handler: answers.
        summary: one sentence.
        error_shape: of its refusals.
        error: the type of these shapes.
        takes: the type of its body; None: it has none.
        gives: the type of its answer, for the description; None: text.
        statuses: of its refusals, beside those that every endpoint has.
        is_open: whether it is answered without the key.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    error_shape: ErrorShape
    error: Any
    takes: Any = None
    gives: Any = None
    statuses: tuple[int, ...] = ()
    is_open: bool = False


WORK = (400, 408, 413, 422, 424, 429, 503)
"""Statuses of the refusals of what classifies."""
