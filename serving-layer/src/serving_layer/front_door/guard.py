"""The outermost middleware: may this request in, and is it over in time?"""

import asyncio
import logging
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts import request_ids
from serving_layer.errors import NotReadyError, ServingError
from serving_layer.front_door.audit import Write
from serving_layer.front_door.credentials import presented
from serving_layer.front_door.keys import Key, KeyStore
from serving_layer.front_door.limits import RateLimit, Slots
from serving_layer.front_door.refusals import (
    BadHostError,
    BadOriginError,
    BusyError,
    LateError,
    NoKeyError,
    ScopeError,
    TooManyError,
    refusal,
)
from serving_layer.front_door.scopes import includes, is_write, scope_of
from serving_layer.settings import Settings, is_loopback

if TYPE_CHECKING:
    from serving_layer.services import Services

logger = logging.getLogger(__name__)

_STREAM = "/api/alerts/stream"
_PER_KEY_AT_ONCE = 32
_API_POLICY = "default-src 'none'; frame-ancestors 'none'"
_PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' ws: wss:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)


@dataclass(slots=True)
class Visit:
    """One request on its way through; ``status`` 0 until its answer begins."""

    method: str
    path: str
    client: str
    request_id: str
    key: Key | None = None
    status: int = 0


class Guard:
    """Checks host, origin, key and limits; adds headers; writes the audit log."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._rate = RateLimit(settings.key_rate)
        self._slots = Slots(settings.max_concurrent)
        self._streams = Slots(settings.max_streams)
        self._at_once: Counter[str] = Counter()
        self._origins = frozenset(settings.cors_allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        visit = Visit(
            method=scope.get("method", "GET"),
            path=scope["path"],
            client=(scope.get("client") or ("unknown", 0))[0],
            request_id=request_ids.current.get() or "",
        )
        scope.setdefault("state", {})
        try:
            await self._visit(scope, receive, self._watched(visit, send), headers, visit)
        finally:
            if is_write(visit.method) and scope["type"] == "http":
                await self._keep(scope, visit)

    async def _visit(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers, visit: Visit
    ) -> None:
        services: Services | None = getattr(scope["app"].state, "services", None)
        try:
            self._check_host(headers)
            self._check_origin(scope, headers, visit)
            if services is None:
                raise NotReadyError("the service is starting")
            visit.key = self._key(headers, visit, services.keys)
            self._check_rate(visit)
            slots = self._streams if _is_stream(scope) else self._slots
            self._enter(slots, visit)
        except ServingError as error:
            await refusal(error, scope, receive, send)
            return
        scope["state"]["key"] = visit.key
        try:
            await self._in_time(scope, self._limited(receive, headers), send, visit)
        finally:
            slots.give_back()
            if visit.key is not None:
                self._at_once[visit.key.id] -= 1

    async def _keep(self, scope: Scope, visit: Visit) -> None:
        services: Services | None = getattr(scope["app"].state, "services", None)
        if services is None:
            return
        try:
            await asyncio.to_thread(services.audit.append, _written(visit))
        except sqlite3.Error:  # a full disk: the step itself fails for the same reason
            logger.exception("a %s request is not in the audit log", visit.method)

    def _check_host(self, headers: Headers) -> None:
        """Refuse other names on loopback: a page could bind its own name to 127.0.0.1."""
        settings = self._settings
        if not is_loopback(settings.host) or "host" not in headers:
            return
        host = urlsplit(f"//{headers['host']}").hostname or ""
        if not is_loopback(host) and host not in settings.further_hosts:
            raise BadHostError(f"the host {host!r} is not this server's; see SERVING_ALLOWED_HOSTS")

    def _check_origin(self, scope: Scope, headers: Headers, visit: Visit) -> None:
        """Refuse writes and sockets that a page of another origin began."""
        if not (is_write(visit.method) or scope["type"] == "websocket"):
            return
        origin = headers.get("origin")
        if origin is None or origin in self._origins:
            return
        if urlsplit(origin).netloc != headers.get("host"):
            raise BadOriginError(f"requests of {origin!r} are not taken; see SERVING_CORS_ORIGINS")

    def _key(self, headers: Headers, visit: Visit, keys: KeyStore) -> Key | None:
        needed = scope_of(visit.method, visit.path)
        text = presented(headers)
        if text is None:
            if self._settings.needs_keys and needed is not None:
                raise NoKeyError("send a key as `Authorization: Bearer KEY`", is_wrong=False)
            return None
        key = keys.of(text)
        if key is None and needed is None:
            return None  # a browser that kept a revoked key can still give another one
        if key is None:
            raise NoKeyError("this key is unknown, expired or revoked", is_wrong=True)
        if needed is not None and not includes(key.scope, needed):
            raise ScopeError(f"this needs a key of scope {needed}; yours has {key.scope}")
        return key

    def _check_rate(self, visit: Visit) -> None:
        wait = self._rate.wait_seconds(visit.key.id) if visit.key else 0.0
        if wait:
            raise TooManyError(f"more than {self._settings.key_rate:g} requests a second", wait)

    def _enter(self, slots: Slots, visit: Visit) -> None:
        key = visit.key
        if key is not None and self._at_once[key.id] >= _PER_KEY_AT_ONCE:
            raise TooManyError(f"more than {_PER_KEY_AT_ONCE} requests of this key at once", 1.0)
        if not slots.take():
            raise BusyError("too many requests are being answered; try again")
        if key is not None:
            self._at_once[key.id] += 1

    async def _in_time(self, scope: Scope, receive: Receive, send: Send, visit: Visit) -> None:
        if _is_stream(scope):
            await self._app(scope, receive, send)
            return
        seconds = self._settings.request_timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds) as limit:
                await self._app(scope, receive, send)
        except TimeoutError:
            if not limit.expired():
                raise
            # Once an answer has begun, returning makes uvicorn close the connection.
            if not visit.status:
                await refusal(LateError(f"took longer than {seconds:g} s"), scope, receive, send)

    def _limited(self, receive: Receive, headers: Headers) -> Receive:
        """Return a ``receive`` that refuses a body which is too large."""
        most, seen = self._settings.max_body_bytes, 0

        async def limited() -> Message:
            nonlocal seen
            declared = headers.get("content-length", "0")
            if declared.isdecimal() and int(declared) > most:
                raise HTTPException(413, f"the body is larger than {most} bytes")
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise HTTPException(413, f"the body is larger than {most} bytes")
            return message

        return limited

    def _watched(self, visit: Visit, send: Send) -> Send:
        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                _secure(headers, visit.path)
            await send(message)

        return watched


def _is_stream(scope: Scope) -> bool:
    is_socket: bool = scope["type"] == "websocket"
    return is_socket or scope["path"] == _STREAM


def _secure(headers: MutableHeaders, path: str) -> None:
    is_page = headers.get("content-type", "").startswith("text/html")
    policy = _PAGE_POLICY if is_page else _API_POLICY
    headers.setdefault("content-security-policy", policy)
    headers.setdefault("x-content-type-options", "nosniff")
    headers.setdefault("x-frame-options", "DENY")
    headers.setdefault("referrer-policy", "no-referrer")
    if path.startswith("/api/"):
        headers.setdefault("cache-control", "no-store")


def _written(visit: Visit) -> Write:
    key = visit.key
    return Write(
        at=int(time.time() * 1000),
        request_id=visit.request_id,
        key_id=key.id if key else None,
        key_name=key.name if key else None,
        client=visit.client,
        method=visit.method,
        path=visit.path,
        status=visit.status,
    )
