"""Errors as the control API answers them: ``{error, message, timestamp}``."""

import logging
from datetime import UTC, datetime
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from batch_layer.errors import BatchLayerError

logger = logging.getLogger(__name__)


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
