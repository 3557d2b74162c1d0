"""Everything the batch layer raises on purpose, and the body each becomes on the wire.

* BatchLayerError              500 INTERNAL_ERROR
  - InvalidRequestError        400 INVALID_REQUEST, names the field
  - BatchNotFoundError         404 BATCH_NOT_FOUND
  - RunNotFoundError           404 RUN_NOT_FOUND
  - BatchNotReadyError         409 BATCH_NOT_READY
  - StreamAlreadyRunningError  409 STREAM_ALREADY_RUNNING
  - RunAlreadyRunningError     409 RUN_ALREADY_RUNNING
  - ServiceUnavailableError    503 SERVICE_UNAVAILABLE
  - SettingsError              the service cannot start as it is configured
  - BrokerError                the broker cannot be reached or refuses
  - IngestionError             records cannot be copied into the master dataset
  - VerificationError          a run's files are not what was written: nothing is published
  - TableProtocolError         a Delta table needs features that other readers lack
"""

import logging
from datetime import UTC, datetime
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

logger = logging.getLogger(__name__)


class BatchLayerError(Exception):
    """Base class: catch this at the edge, never deeper."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "INTERNAL_ERROR"


class InvalidRequestError(BatchLayerError):
    """The request cannot be carried out as it stands; the message begins with the field."""

    status = HTTPStatus.BAD_REQUEST
    code = "INVALID_REQUEST"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class BatchNotFoundError(BatchLayerError):
    """No batch has this id."""

    status = HTTPStatus.NOT_FOUND
    code = "BATCH_NOT_FOUND"


class RunNotFoundError(BatchLayerError):
    """No security run has this id."""

    status = HTTPStatus.NOT_FOUND
    code = "RUN_NOT_FOUND"


class BatchNotReadyError(BatchLayerError):
    """The batch has no data yet, or never will."""

    status = HTTPStatus.CONFLICT
    code = "BATCH_NOT_READY"


class StreamAlreadyRunningError(BatchLayerError):
    """The streaming queries run already."""

    status = HTTPStatus.CONFLICT
    code = "STREAM_ALREADY_RUNNING"


class RunAlreadyRunningError(BatchLayerError):
    """A security run is going on; there is never a second one beside it."""

    status = HTTPStatus.CONFLICT
    code = "RUN_ALREADY_RUNNING"


class ServiceUnavailableError(BatchLayerError):
    """The Spark session is not up, or is going down."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "SERVICE_UNAVAILABLE"


class SettingsError(BatchLayerError):
    """The service cannot start as it is configured."""


class BrokerError(BatchLayerError):
    """The broker cannot be reached, or refuses what it was asked."""


class IngestionError(BatchLayerError):
    """A topic's records cannot be copied into the master dataset."""


class VerificationError(BatchLayerError):
    """A file or a count of a run is not what it should be; the message names it."""


class TableProtocolError(BatchLayerError):
    """A Delta table needs reader features that other readers silently get wrong."""


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
