"""Why a request is not let in, as problem details."""

from http import HTTPStatus

from starlette.types import Receive, Scope, Send

from serving_layer.errors import ServingError
from serving_layer.front_door import sign_in
from serving_layer.problems import problem

_POLICY_VIOLATION = 1008


class NoKeyError(ServingError):
    """No key was sent, or none that holds."""

    status = HTTPStatus.UNAUTHORIZED
    slug = "unauthorized"

    def __init__(self, detail: str, *, is_wrong: bool) -> None:
        super().__init__(detail)
        self.is_wrong = is_wrong


class ScopeError(ServingError):
    """The key may not do this."""

    status = HTTPStatus.FORBIDDEN
    slug = "forbidden"


class BadOriginError(ServingError):
    """A page of another origin may not do this."""

    status = HTTPStatus.FORBIDDEN
    slug = "forbidden"


class BadHostError(ServingError):
    """The request was meant for another host."""

    status = HTTPStatus.MISDIRECTED_REQUEST
    slug = "misdirected-request"


class TooManyError(ServingError):
    """The key asks too much."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    slug = "too-many-requests"

    def __init__(self, detail: str, wait_seconds: float) -> None:
        super().__init__(detail)
        self.wait_seconds = wait_seconds


class BusyError(ServingError):
    """All clients together ask too much."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    slug = "busy"


class LateError(ServingError):
    """The answer took too long."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    slug = "timeout"


async def refusal(error: ServingError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer that a request is refused, and why."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.detail})
        return
    response = problem(error.status, error.slug, error.detail)
    if isinstance(error, NoKeyError):
        if sign_in.is_page(scope):
            response = sign_in.form(scope, is_wrong=error.is_wrong)
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooManyError):
        response.headers["Retry-After"] = str(max(1, round(error.wait_seconds)))
    if isinstance(error, BusyError):
        response.headers["Retry-After"] = "1"
    await response(scope, receive, send)
