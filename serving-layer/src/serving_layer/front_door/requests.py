"""A request's id: in its answer, in every log line, and in what it asks other services."""

import logging
import re
import secrets
from contextvars import ContextVar

import httpx

HEADER = "X-Request-ID"

current: ContextVar[str] = ContextVar("request_id", default="-")

_GOOD = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id(given: str | None) -> str:
    """Return the id that a client gave, or a new one if it gave none that can be logged."""
    return given if given is not None and _GOOD.fullmatch(given) else secrets.token_hex(8)


async def forward(request: httpx.Request) -> None:
    """Add the id of the request being answered to a request of our own; an httpx hook."""
    known = current.get()
    if known != "-":
        request.headers[HEADER] = known


class InLogLines(logging.Filter):
    """Gives every record the attribute ``request_id``."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the id; keep the record."""
        record.request_id = current.get()
        return True
