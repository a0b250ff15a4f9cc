"""The format of text-embeddings-inference: `POST /predict`, which huggingface_hub's client speaks too (`POST /`).

Beside `inputs`, where two strings are a pair, there is `texts`, where every string is a text of its own.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tokensieve.runtime.classifier import Text
from tokensieve.runtime.results import Result
from tokensieve.serve.answers import facts_of, scores_of, seen
from tokensieve.serve.formats.common import WORK, Body, Endpoint, Score, Scores, SpeedField, TextField, said
from tokensieve.serve.refusal import RefusedError, wrong
from tokensieve.serve.served import HowToRead, Served
from tokensieve.serve.service import Service

TEXTS = Field(min_length=1, description="Single texts, never pairs.")
Sequence_ = Annotated[list[TextField], Field(min_length=1, max_length=2, description="A text, or a pair of texts.")]


class Parameters(Body):
    """What huggingface_hub's client sends."""

    top_k: Annotated[int, Field(ge=1)] | None = None
    function_to_apply: Literal["softmax", "sigmoid", "none"] | None = None


Inputs = Annotated[
    TextField | Sequence_ | Annotated[list[Sequence_], Field(min_length=1, description="Texts, or pairs.")],
    said("give a text, a list of one or two texts (two are a pair), or a list of such lists; no text may be blank"),
]


def _one_of(one: str, other: str) -> dict[str, Any]:
    """JSON schema: one of two fields is there, the other is not, or null."""
    return {"required": [one], "properties": {one: {"not": {"type": "null"}}, other: {"type": "null"}}}


class PredictRequest(Body):
    """A text, a pair, or several of either: as `inputs`, or several single texts as `texts`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [_one_of("inputs", "texts"), _one_of("texts", "inputs")]}  # as `_texts` checks
    )

    inputs: Inputs | None = None
    texts: Annotated[list[TextField], TEXTS, said("give a list of texts, none of them blank")] | None = None
    raw_scores: Annotated[bool, Field(description="Logits in place of probabilities.")] = False
    truncate: Annotated[bool | None, Field(description="Truncate what is too long; null: as the server says.")] = None
    truncation_direction: Literal["Left", "Right", "left", "right"] | None = None
    top_k: Annotated[int, Field(ge=1, description="At most so many labels a text.")] | None = None
    details: Annotated[bool, Field(description="Tell of each text its label, tokens and stage, too.")] = False
    speed: SpeedField = None
    parameters: Parameters | None = None


class Details(Body):
    """A text's answer with `details`."""

    scores: Scores
    label: str
    labels: list[str] = Field(default_factory=list)
    tokens_seen: int
    tokens_kept: int
    stage: str


class TeiError(Body):
    """A refusal."""

    error: str
    error_type: str


def error_shape(refusal: RefusedError) -> dict[str, str]:
    """The body of a refusal."""
    return {"error": str(refusal), "error_type": refusal.kind}


async def predict(service: Service, request: Request, body: PredictRequest) -> Response:
    """Classify: a list of scores for a single text or pair, else a list of such lists."""
    texts, alone = _texts(body)
    if service.served is not None:
        _check_function(service.served, body)
    truncate = service.settings.auto_truncate if body.truncate is None else body.truncate
    side = None if body.truncation_direction is None else body.truncation_direction.lower()
    served, results = await service.classify(texts, HowToRead(truncate, side, body.speed))
    answers = [_answer(served, result, body) for result in results]
    tokens = str(sum(map(seen, results)))
    # huggingface_hub takes the first element of what it gets: with parameters, that is the list of one text.
    nested = not alone or body.parameters is not None
    return JSONResponse(answers if nested else answers[0], headers={"x-compute-tokens": tokens})


def _texts(body: PredictRequest) -> tuple[list[Text], bool]:
    """The texts, and whether they are one that was not in a list."""
    if (body.inputs is None) == (body.texts is None):
        raise wrong("give `inputs` or `texts`, one of them")
    if body.texts is not None:
        return list(body.texts), False
    inputs: Any = body.inputs
    if isinstance(inputs, str):
        return [inputs], True
    if isinstance(inputs[0], str):
        return [_sequence(inputs)], True
    return [_sequence(each) for each in inputs], False


def _check_function(served: Served, body: PredictRequest) -> None:
    asked = None if body.parameters is None else body.parameters.function_to_apply
    has = "sigmoid" if served.is_multi_label else "softmax"
    if asked not in (None, "none", has):
        what = f"this classifier's probabilities are made by {has}"
        raise wrong(f"`parameters.function_to_apply` is {asked}, and {what}: leave it out; none gives logits")


def _sequence(parts: list[str]) -> Text:
    return parts[0] if len(parts) == 1 else (parts[0], parts[1])


def _answer(served: Served, result: Result, body: PredictRequest) -> Any:
    asked = body.parameters or Parameters()
    raw = body.raw_scores or asked.function_to_apply == "none"
    scores = scores_of(served, result, raw=raw, top_k=body.top_k or asked.top_k)
    return {"scores": scores, **facts_of(served, result)} if body.details else scores


GIVES = list[Score] | list[list[Score]] | Details | list[Details]

ENDPOINTS = tuple(
    Endpoint(
        "POST",
        path,
        predict,
        f"Classify texts or pairs of texts, as text-embeddings-inference does{more}.",
        error_shape,
        TeiError,
        takes=PredictRequest,
        gives=GIVES,
        statuses=WORK,
    )
    for path, more in (("/predict", ""), ("/", "; the same as /predict, for huggingface_hub's InferenceClient"))
)
