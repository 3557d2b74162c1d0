"""Where a request carries its key."""

import base64
import binascii

from starlette.datastructures import Headers


def presented(headers: Headers) -> str | None:
    """Return the key that a request presents, None if it presents none.

    ``Authorization: Bearer KEY`` and ``X-API-Key: KEY`` are for programs. Browsers ask for a
    name and a password (``Basic``): the key is the password, the name is ignored.
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
    return headers.get("x-api-key")
