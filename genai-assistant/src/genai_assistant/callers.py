"""Whose key a call to the serving layer carries.

What is read for a question carries the credentials that came with it, and no others: the scope of
a caller's key limits what the assistant may read for it. Work of the assistant's own (analyst,
copy of past analyses) carries ``ASSISTANT_SERVING_KEY``.
"""

import base64
import binascii
import re
from contextvars import ContextVar

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

FORWARDED = ("authorization", "x-api-key")
ANALYST = "analyst"
"""Who spends on the model for work of our own."""
_KEY = "key "
_KEY_ID = re.compile(r"sgk_([0-9a-f]{12})_")

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


def asker(named: str | None) -> str | None:
    """Return whose budget a question is on: its key's, else of whom it names.

    A name is a claim, a key is not: the serving layer refuses one that it does not know.
    """
    if (key := key_id()) is not None:
        return key
    is_taken = named is not None and (named == ANALYST or named.startswith(_KEY))
    return None if is_taken else named


def key_id() -> str | None:
    """Return the id of the key that came with the request; None without one."""
    text = _presented(_caller.get() or {})
    if not text:
        return None
    found = _KEY_ID.match(text)
    # All that are none of ours are one asker: no new name comes from a new text.
    return f"{_KEY}{found[1] if found else 'unknown'}"


def _presented(given: dict[str, str]) -> str:
    """Return the key's text, where the serving layer looks for it."""
    if "authorization" not in given:
        return given.get("x-api-key", "").strip()
    kind, _, value = given["authorization"].partition(" ")
    if kind.lower() != "basic":
        return value.strip()
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return value
