"""The format of vLLM's `POST /classify`."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tokensieve.data.rows import shorten
from tokensieve.serve.answers import facts_of, seen
from tokensieve.serve.formats.common import WORK, Body, Endpoint, SpeedField, TextField, said
from tokensieve.serve.refusal import NOT_FOUND, RefusedError
from tokensieve.serve.served import HowToRead
from tokensieve.serve.service import Service

_KINDS = {
    401: "AuthenticationError",
    404: "NotFoundError",
    405: "MethodNotAllowedError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
}


class ClassifyRequest(Body):
    """A text, or a list of them."""

    input: Annotated[
        TextField | Annotated[list[TextField], Field(min_length=1, description="Single texts, never pairs.")],
        said("give a text or a list of texts, none of them blank"),
    ]
    model: Annotated[str | None, Field(description="The served name, or nothing.")] = None
    truncate: Annotated[bool | None, Field(description="Truncate what is too long; null: as the server says.")] = None
    speed: SpeedField = None
    use_activation: Annotated[bool | None, Field(description="false: logits in place of probabilities.")] = None


class Classified(Body):
    """The answer to one text; from `tokens_seen` on, what vLLM does not tell."""

    index: int
    label: str
    probs: list[float]
    num_classes: int
    labels: list[str] = Field(default_factory=list)
    tokens_seen: int
    tokens_kept: int
    stage: str


class Usage(Body):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int
    prompt_tokens_details: None = None


class ClassifyAnswer(Body):
    """The answer."""

    id: str
    object: str
    created: int
    model: str
    data: list[Classified]
    usage: Usage


class VllmErrorFields(Body):
    """A refusal."""

    message: str
    type: str
    code: int


class VllmError(Body):
    """A refusal in its envelope."""

    error: VllmErrorFields


def error_shape(refusal: RefusedError) -> dict[str, Any]:
    """The body of a refusal."""
    kind = _KINDS.get(refusal.status, "BadRequestError")
    return {"error": {"message": str(refusal), "type": kind, "code": refusal.status}}


async def classify(service: Service, request: Request, body: ClassifyRequest) -> Response:
    """Classify a text or several."""
    name = service.settings.name
    if body.model not in (None, "", name):
        raise RefusedError(404, NOT_FOUND, f"The model {shorten(body.model)} does not exist; this server has `{name}`")
    truncate = service.settings.auto_truncate if body.truncate is None else body.truncate
    texts = [body.input] if isinstance(body.input, str) else body.input
    served, results = await service.classify(list(texts), HowToRead(truncate, speed=body.speed))
    raw = body.use_activation is False
    data = [
        {
            "index": index,
            "probs": list(result.logits if raw else result.probabilities),
            "num_classes": len(served.labels),
            **facts_of(served, result),
        }
        for index, result in enumerate(results)
    ]
    tokens = sum(map(seen, results))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0, "prompt_tokens_details": None}
    answer = {"id": f"classify-{uuid.uuid4().hex}", "object": "list", "created": int(time.time()), "model": name}
    return JSONResponse({**answer, "data": data, "usage": usage})


ENDPOINTS = (
    Endpoint(
        "POST",
        "/classify",
        classify,
        "Classify texts, as vLLM does.",
        error_shape,
        VllmError,
        takes=ClassifyRequest,
        gives=ClassifyAnswer,
        statuses=(*WORK, 404),
    ),
)
