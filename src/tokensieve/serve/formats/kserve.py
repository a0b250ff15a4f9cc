"""The format of KServe's open inference protocol, version 2: tensors of bytes in, tensors of labels out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tokensieve.data.rows import shorten
from tokensieve.runtime.classifier import Text
from tokensieve.runtime.results import Result
from tokensieve.serve.answers import kept, seen
from tokensieve.serve.formats.common import WORK, Body, Endpoint, SpeedField, TextField, said
from tokensieve.serve.refusal import NOT_FOUND, RefusedError, not_ready, wrong
from tokensieve.serve.served import HowToRead, Served
from tokensieve.serve.service import Service
from tokensieve.version import __version__

_Size = Annotated[int, Field(ge=1)]


class Tensor(Body):
    """A tensor of texts: of shape [N], of [N, 1], or of [N, 2] for pairs."""

    name: Annotated[str, Field(min_length=1)]
    shape: Annotated[list[_Size], Field(min_length=1, max_length=2)]
    datatype: Literal["BYTES"]
    data: Annotated[
        Annotated[list[TextField], Field(min_length=1)]
        | Annotated[list[Annotated[list[TextField], Field(min_length=1, max_length=2)]], Field(min_length=1)],
        said("give a list of texts, or a list of lists of one or two texts; no text may be blank"),
    ]


class WantedOutput(Body):
    """The name of an output."""

    name: Literal["label", "probabilities", "tokens_seen", "tokens_kept", "stage"]


class InferParameters(Body):
    """What a request may say besides."""

    truncate: bool | None = None
    speed: SpeedField = None


class InferRequest(Body):
    """One tensor of texts; the outputs that are wanted, or all."""

    inputs: Annotated[list[Tensor], Field(min_length=1, max_length=1)]
    id: str | None = None
    outputs: Annotated[list[WantedOutput], Field(min_length=1)] | None = None
    parameters: InferParameters | None = None


class OutputTensor(Body):
    """A tensor of the answer."""

    name: str
    shape: list[int]
    datatype: str
    data: list[str] | list[float] | list[int]


class InferAnswer(Body):
    """The answer."""

    model_name: str
    id: str | None = None
    outputs: list[OutputTensor]


class KserveError(Body):
    """A refusal."""

    error: str


class Live(Body):
    """Whether the server runs."""

    live: bool


class Ready(Body):
    """Whether the model can be asked."""

    ready: bool


class ServerFacts(Body):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class TensorFacts(Body):
    """A tensor's name, type and shape; -1 is any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelFacts(Body):
    """The model."""

    name: str
    platform: str
    inputs: list[TensorFacts]
    outputs: list[TensorFacts]


def error_shape(refusal: RefusedError) -> dict[str, str]:
    """The body of a refusal."""
    return {"error": str(refusal)}


async def infer(service: Service, request: Request, body: InferRequest) -> Response:
    """Classify the texts of a tensor."""
    _check_name(service, request)
    if "inference-header-content-length" in request.headers:
        raise wrong("tensors in binary form are not read: send `data` as JSON", 400)
    asked = body.parameters or InferParameters()
    truncate = service.settings.auto_truncate if asked.truncate is None else asked.truncate
    how = HowToRead(truncate, speed=asked.speed)
    served, results = await service.classify(_texts(body.inputs[0]), how)
    outputs = _outputs(served, results)
    names = list(outputs) if body.outputs is None else [each.name for each in body.outputs]
    tensors = [{"name": name, **outputs[name]} for name in names]
    identity = {} if body.id is None else {"id": body.id}
    return JSONResponse({"model_name": service.settings.name, **identity, "outputs": tensors})


def _texts(tensor: Tensor) -> list[Text]:
    rows: list[Any] = [[each] if isinstance(each, str) else each for each in tensor.data]
    width = tensor.shape[1] if len(tensor.shape) == 2 else 1
    flat = [text for row in rows for text in row]
    is_uneven = any(len(each) != width for each in tensor.data if not isinstance(each, str))
    if width > 2 or is_uneven or len(flat) != tensor.shape[0] * width:
        raise wrong(
            f"`data` has {len(flat)} texts, and `shape` is {shorten(tensor.shape)}: give [N], or [N, 2] for pairs"
        )
    return list(flat) if width == 1 else list(zip(flat[::2], flat[1::2], strict=True))


def _outputs(served: Served, results: list[Result]) -> dict[str, dict[str, Any]]:
    count, classes = len(results), len(served.labels)
    labels = [served.labels[result.label] for result in results]
    if served.is_multi_label:  # a text has any number of them
        labels = ["|".join(served.labels[number] for number in result.labels) for result in results]
    numbers = [number for result in results for number in result.probabilities]
    return {
        "label": {"shape": [count], "datatype": "BYTES", "data": labels},
        "probabilities": {"shape": [count, classes], "datatype": "FP32", "data": numbers},
        "tokens_seen": {"shape": [count], "datatype": "INT64", "data": [seen(result) for result in results]},
        "tokens_kept": {"shape": [count], "datatype": "INT64", "data": [kept(result) for result in results]},
        "stage": {"shape": [count], "datatype": "BYTES", "data": [result.stage for result in results]},
    }


def _check_name(service: Service, request: Request) -> None:
    name = request.path_params["name"]
    if name != service.settings.name:
        raise RefusedError(
            404, NOT_FOUND, f"model {shorten(name)} is unknown; this server has {service.settings.name!r}"
        )


async def server_facts(service: Service, request: Request, body: None) -> Response:
    """Tell what the server is."""
    return JSONResponse({"name": "tokensieve", "version": __version__, "extensions": []})


async def live(service: Service, request: Request, body: None) -> Response:
    """Tell that the server runs."""
    return JSONResponse({"live": True})


async def ready(service: Service, request: Request, body: None) -> Response:
    """Tell whether the model can be asked."""
    if "name" in request.path_params:
        _check_name(service, request)
    if not service.is_ready:
        raise not_ready("it is being loaded, or has stopped")
    return JSONResponse({"ready": True})


async def model_facts(service: Service, request: Request, body: None) -> Response:
    """Tell what the model takes and gives."""
    _check_name(service, request)
    if (served := service.served) is None:
        raise not_ready("it is being loaded")
    pairs = bool(served.classifier.model.config.text_pairs)
    texts = {"name": "text", "datatype": "BYTES", "shape": [-1, 2] if pairs else [-1]}
    shapes = {"probabilities": [-1, len(served.labels)]}
    types = {
        "label": "BYTES",
        "probabilities": "FP32",
        "tokens_seen": "INT64",
        "tokens_kept": "INT64",
        "stage": "BYTES",
    }
    outputs = [{"name": name, "datatype": kind, "shape": shapes.get(name, [-1])} for name, kind in types.items()]
    facts = {"name": service.settings.name, "platform": "tokensieve", "inputs": [texts], "outputs": outputs}
    return JSONResponse(facts)


def _get(path: str, handler: Any, summary: str, gives: Any, *statuses: int, is_open: bool = False) -> Endpoint:
    return Endpoint(
        "GET", path, handler, summary, error_shape, KserveError, gives=gives, statuses=statuses, is_open=is_open
    )


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v2/models/{name}/infer",
        infer,
        "Classify a tensor of texts, as KServe's protocol has it.",
        error_shape,
        KserveError,
        takes=InferRequest,
        gives=InferAnswer,
        statuses=(*WORK, 404),
    ),
    _get("/v2", server_facts, "The server's name and version.", ServerFacts),
    _get("/v2/health/live", live, "Whether the server runs.", Live, is_open=True),
    _get("/v2/health/ready", ready, "Whether the model can be asked.", Ready, 503, is_open=True),
    _get("/v2/models/{name}", model_facts, "What the model takes and gives.", ModelFacts, 404, 503),
    _get("/v2/models/{name}/ready", ready, "Whether this model can be asked.", Ready, 404, 503, is_open=True),
)
