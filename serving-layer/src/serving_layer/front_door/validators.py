"""``ETag`` and 304 for answers that change rarely: runs, a run's users, the OpenAPI document.

Lists of live events change with every event: hashing them would cost every request and save nothing.
"""

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PREFIXES = ("/api/runs", "/api/training-data", "/openapi.json")
_OF_A_RUN = b"as_of_run="
_KEPT = ("etag", "cache-control", "vary", "link")


class Validators:
    """Adds the tag of a body, and leaves the body out for a client that has it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_tagged(scope):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = bytearray()

        async def tagged(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and message["status"] == 200:
                start = message
            elif message["type"] == "http.response.body" and start is not None:
                body.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    await _answer(scope, start, bytes(body), send)
            else:
                await send(message)

        await self._app(scope, receive, tagged)


def _is_tagged(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    return scope["path"].startswith(_PREFIXES) or _OF_A_RUN in scope["query_string"]


async def _answer(scope: Scope, start: Message, body: bytes, send: Send) -> None:
    tag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = MutableHeaders(raw=list(start["headers"]))
    headers["etag"] = tag
    headers["cache-control"] = "private, no-cache"
    headers["vary"] = "Accept, Authorization, X-API-Key"
    if tag in _known(Headers(scope=scope).get("if-none-match", "")):
        kept = [(name, value) for name, value in headers.raw if name.decode() in _KEPT]
        await send({**start, "status": 304, "headers": kept})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({**start, "headers": headers.raw})
    await send({"type": "http.response.body", "body": body})


def _known(header: str) -> list[str]:
    """Return the tags that a client has; weak ones count, the bodies are equal."""
    return [each.strip().removeprefix("W/") for each in header.split(",")]
