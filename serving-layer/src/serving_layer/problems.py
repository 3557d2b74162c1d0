"""Errors as RFC 9457 problem details, each naming what was wrong."""

from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from serving_layer.errors import ParameterError, ServingError

MEDIA_TYPE = "application/problem+json"


class InvalidParameter(BaseModel):
    """One thing that is wrong with a request."""

    parameter: str = Field(examples=["limit"])
    detail: str = Field(examples=["Input should be less than or equal to 10000"])


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field(examples=["/problems/invalid-parameter"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["limit: Input should be less than or equal to 10000"])
    errors: list[InvalidParameter] | None = Field(
        None, description="Every parameter that is wrong, for 422."
    )


def problem(
    status: int, slug: str, detail: str, errors: list[dict[str, str]] | None = None
) -> Response:
    """Return a problem response."""
    body: dict[str, Any] = {
        "type": f"/problems/{slug}",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
    }
    if errors is not None:
        body["errors"] = errors
    return Response(orjson.dumps(body), status_code=status, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Teach ``app`` to answer every error as a problem."""
    app.add_exception_handler(ServingError, _serving_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)


async def _serving_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, ServingError):
        raise error
    errors = None
    if isinstance(error, ParameterError):
        errors = [{"parameter": error.parameter, "detail": error.reason}]
    return problem(error.status, error.slug, error.detail, errors)


async def _validation_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [
        {"parameter": _named(each["loc"]), "detail": str(each["msg"])} for each in error.errors()
    ]
    detail = "; ".join(f"{each['parameter']}: {each['detail']}" for each in errors)
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-parameter", detail, errors)


async def _http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    slug = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    detail = f"{request.method} {request.url.path}: {error.detail}"
    response = problem(error.status_code, slug, detail)
    response.headers.update(error.headers or {})
    return response


def _named(location: tuple[str | int, ...]) -> str:
    """Return the parameter or body field of a validation error."""
    inside = [str(part) for part in location[1:]]
    return ".".join(inside) or str(location[0])
