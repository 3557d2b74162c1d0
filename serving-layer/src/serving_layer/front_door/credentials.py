"""Where a request carries its key."""

import base64
import binascii

from starlette.datastructures import Headers
from starlette.requests import cookie_parser

COOKIE = "streamguard_key"
"""What a browser keeps a key under after its user has signed in."""


def presented(headers: Headers) -> str | None:
    """Return the key that a request presents, None if it presents none.

    ``Authorization: Bearer KEY`` and ``X-API-Key: KEY`` are for programs; of a name and a
    password (``Basic``) the key is the password. Browsers send the cookie of ``sign_in``.
    """
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            decoded = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError):
            return ""
        return decoded.partition(":")[2]
    given = headers.get("x-api-key")
    if given is None and COOKIE in headers.get("cookie", ""):
        return cookie_parser(headers["cookie"]).get(COOKIE)
    return given


def bearer(headers: Headers) -> dict[str, str]:
    """Return the headers that present the same key to another service; none without a key."""
    key = presented(headers)
    return {"authorization": f"Bearer {key}"} if key else {}
