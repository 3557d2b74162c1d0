"""Errors as the control API answers them: ``{error, message, timestamp}``."""

import logging
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from batch_layer.errors import BatchLayerError

logger = logging.getLogger(__name__)


class ErrorBody(BaseModel):
    """What every call answers when it fails."""

    error: str = Field(description="Code, such as `INVALID_REQUEST`.")
    message: str = Field(description="What went wrong; of a bad request, it begins with the field.")
    timestamp: str = Field(description="ISO-8601 UTC.")


def answers(*errors: type[BatchLayerError]) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route that may raise these errors, for its OpenAPI document."""
    codes: dict[HTTPStatus, list[str]] = {}
    for error in errors:
        codes.setdefault(error.status, []).append(f"`{error.code}`")
    return {
        status.value: {"model": ErrorBody, "description": ", ".join(found)}
        for status, found in codes.items()
    }


def error_response(status: HTTPStatus | int, code: str, message: str) -> JSONResponse:
    """Return the error body of every call: ``{error, message, timestamp}``."""
    timestamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = {"error": code, "message": message, "timestamp": timestamp}
    return JSONResponse(body, status_code=status)


def _describe(error: RequestValidationError) -> str:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    return f"{'.'.join(place) or 'body'}: {first['msg']}"


def _domain_error(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, BatchLayerError):
        raise error
    return error_response(error.status, error.code, str(error))


def _validation_error(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    return error_response(HTTPStatus.BAD_REQUEST, "INVALID_REQUEST", _describe(error))


def _http_error(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    code = HTTPStatus(error.status_code).name
    return error_response(error.status_code, code, str(error.detail))


def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return error_response(status, "INTERNAL_ERROR", f"{type(error).__name__}: {error}")


def install(app: FastAPI) -> None:
    """Teach ``app`` to answer errors."""
    app.add_exception_handler(BatchLayerError, _domain_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected_error)
    generated = app.openapi

    def openapi() -> dict[str, Any]:
        """Leave out the framework's own answer to a bad request, which is never given."""
        document = generated()
        for methods in document["paths"].values():
            for operation in methods.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            document.get("components", {}).get("schemas", {}).pop(name, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the framework's own way to change it
