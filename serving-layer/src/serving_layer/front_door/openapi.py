"""What the OpenAPI document says of keys: how to send one, and which scope each call needs."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serving_layer.front_door.scopes import scope_of
from serving_layer.problems import MEDIA_TYPE, Problem

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "The key as password, any name.",
    },
}
_REFUSALS = {
    "401": "A key is needed, or this one does not hold.",
    "403": "The key's scope does not suffice, or a page of another origin asks.",
    "413": "The body is too large.",
    "429": "The key asks too much; `Retry-After` says when to ask again.",
}
_EVERYWHERE = frozenset({"401", "403", "429"})


def install(app: FastAPI) -> None:
    """Describe the front door in the document of ``app``."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to change it


def _described(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
    )
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            scope = scope_of(method.upper(), path)
            if scope is None:
                continue
            operation["security"] = [{}, *({name: []} for name in _SCHEMES)]
            operation["x-scope"] = scope
            operation["description"] += f"\n\nScope: `{scope}`."
            for status, text in _REFUSALS.items():
                if status in _EVERYWHERE or "requestBody" in operation:
                    answer = {"description": text, "content": content}
                    operation["responses"].setdefault(status, answer)
    return document
