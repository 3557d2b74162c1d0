"""Whose key a call to the serving layer carries.

What is read for a question carries the credentials that came with it, and no others: the scope of
a caller's key limits what the assistant may read for it. Work of the assistant's own (analyst,
copy of past analyses) carries ``ASSISTANT_SERVING_KEY``.
"""

from contextvars import ContextVar

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

FORWARDED = ("authorization", "x-api-key")

_caller: ContextVar[dict[str, str] | None] = ContextVar("caller", default=None)
"""Credentials of the request that is being answered; None outside of any request."""


class CallerCredentials:
    """Remembers each request's credentials for the calls that are made to answer it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request within its caller's credentials."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        token = _caller.set({name: headers[name] for name in FORWARDED if name in headers})
        try:
            await self._app(scope, receive, send)
        finally:
            _caller.reset(token)


def credentials(own: SecretStr | None) -> dict[str, str]:
    """Return the headers of a call: the caller's, or our own outside of any request."""
    given = _caller.get()
    if given is not None:
        return given
    key = own.get_secret_value().strip() if own else ""
    return {"authorization": f"Bearer {key}"} if key else {}
