"""The description of the server, made from the endpoints that it runs: OpenAPI 3.1 for machines, a page for people."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from tokensieve.serve.formats.common import Endpoint
from tokensieve.version import __version__

_REF = "#/components/schemas/{model}"
_KEY = "key"


def description(endpoints: Sequence[Endpoint], name: str, *, has_key: bool) -> dict[str, Any]:
    """An OpenAPI document.

    Args:
        endpoints: all that there are.
        name: of the model; paths with a name in them are described for this one.
        has_key: whether those that are not open need the key.
    """
    wanted: dict[tuple[str, JsonSchemaMode], Any] = {}
    for endpoint in endpoints:
        if endpoint.takes is not None:
            wanted[repr(endpoint.takes), "validation"] = endpoint.takes
        for kind in (endpoint.gives, endpoint.error):
            if kind is not None:
                wanted[repr(kind), "serialization"] = kind
    adapters: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        (key, mode, TypeAdapter(kind)) for (key, mode), kind in wanted.items()
    ]
    schemas, shared = TypeAdapter.json_schemas(adapters, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = endpoint.path.replace("{name}", quote(name, safe=""))
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, schemas, has_key)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": f"tokensieve: {name}", "version": __version__},
        "paths": paths,
        "components": {"schemas": shared.get("$defs", {})},
    }
    if has_key:
        document["components"]["securitySchemes"] = {_KEY: {"type": "http", "scheme": "bearer"}}
    return document


def _operation(endpoint: Endpoint, schemas: Any, has_key: bool) -> dict[str, Any]:
    given: dict[str, Any] = {"description": "The answer."}
    if endpoint.gives is not None:
        given |= _json(schemas[repr(endpoint.gives), "serialization"])
    elif endpoint.path == "/metrics":
        given |= {"content": {"text/plain": {"schema": {"type": "string"}}}}
    elif endpoint.path == "/docs":
        given |= {"content": {"text/html": {"schema": {"type": "string"}}}}
    locked = has_key and not endpoint.is_open
    answers = {"200": given}
    for status in sorted({*endpoint.statuses, *([401] if locked else [])}):
        shape = _json(schemas[repr(endpoint.error), "serialization"])
        answers[str(status)] = {"description": f"{HTTPStatus(status).phrase}.", **shape}
    operation: dict[str, Any] = {"summary": endpoint.summary, "responses": answers}
    if endpoint.takes is not None:
        operation["requestBody"] = {"required": True, **_json(schemas[repr(endpoint.takes), "validation"])}
    return operation | ({"security": [{_KEY: []}]} if locked else {})


def _json(schema: Any) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def page(document: dict[str, Any]) -> str:
    """The description as HTML that needs no network and no script."""
    rows = [
        f"<tr><td>{method.upper()}</td><td><code>{escape(path)}</code></td><td>{escape(operation['summary'])}</td>"
        f"<td>{', '.join(operation['responses'])}</td></tr>"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    title = escape(document["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><style>body{font-family:sans-serif;margin:2em}'
        "td,th{padding:.3em .8em;text-align:left;vertical-align:top}</style>"
        f'<h1>{title}</h1><p>Bodies and answers in full: <a href="openapi.json">openapi.json</a>. For example:</p>'
        '<pre>curl -H \'Content-Type: application/json\' -d \'{"texts": ["first text", "second text"]}\' '
        "http://HOST:PORT/predict</pre>"
        "<table><tr><th>Method</th><th>Path</th><th>What</th><th>Status</th></tr>" + "".join(rows) + "</table></html>"
    )
