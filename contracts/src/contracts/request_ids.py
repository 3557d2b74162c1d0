"""A request's id: in its answer, in log lines, and in what is asked of other services for it."""

import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any, Protocol

HEADER = "X-Request-ID"

current: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Id of the request that is being answered; None outside of any request."""

_GOOD = re.compile(r"[A-Za-z0-9._-]{1,64}")
_WIRE = HEADER.lower().encode()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class OutgoingRequest(Protocol):
    """What ``forward`` needs of an ``httpx.Request``."""

    @property
    def headers(self) -> MutableMapping[str, str]: ...


def request_id(given: str | None) -> str:
    """Return the id that a client gave, or a new one if it gave none that can be logged.

    Examples:
        >>> request_id("ticket-17"), len(request_id("a b"))
        ('ticket-17', 16)
    """
    return given if given is not None and _GOOD.fullmatch(given) else secrets.token_hex(8)


async def forward(request: OutgoingRequest) -> None:
    """Add the id of the request being answered to a request of our own; an httpx hook."""
    known = current.get()
    if known is not None:
        request.headers[HEADER] = known


class RequestIds:
    """ASGI middleware: takes the id of each request from its header or makes one, and returns it.

    A server runs each request in a task of its own. So the id stays behind an error that leaves
    the application, for the server's log line about it; only a request within another one (a page
    that asks a route in process) puts the outer id back.
    """

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _WIRE), None)
        known = request_id(None if given is None else given.decode("latin-1"))
        outer = current.get()
        current.set(known)

        async def with_id(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                others = [pair for pair in message.get("headers", ()) if pair[0].lower() != _WIRE]
                message["headers"] = [*others, (_WIRE, known.encode())]
            await send(message)

        try:
            await self._app(scope, receive, with_id)
        finally:
            if outer is not None:
                current.set(outer)


def install(app: Any) -> None:  # noqa: ANN401  # a Starlette application, which this leaf does not know
    """Put ``RequestIds`` around an application and its own answer to an unexpected error."""
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: RequestIds(build())
