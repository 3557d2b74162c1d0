"""Opaque, signed positions in a list.

A cursor holds the key of the last row that was sent and a fingerprint of the query it belongs to.
Because it names a row and no page number, rows that arrive or a run that is published between two
pages neither repeat nor hide anything.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path

import orjson

from serving_layer.errors import ParameterError

_SIGNATURE_BYTES = 12
_KEY_BYTES = 32

Position = Sequence[int | str]


class CursorSigner:
    """Signs cursors with a key of this installation, so that nobody else can make one."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encode(self, query: object, position: Position) -> str:
        """Return the cursor behind ``position`` of a list.

        Args:
            query: The list and its filters, ready for orjson; anything with a stable repr.
            position: Key of the last row sent.
        """
        body = orjson.dumps([_fingerprint(query), *position])
        return base64.urlsafe_b64encode(self._signature(body) + body).rstrip(b"=").decode()

    def decode(self, query: object, cursor: str) -> list[int | str]:
        """Return the position that a cursor holds.

        Raises:
            ParameterError: If it was forged or damaged, or belongs to another query.
        """
        try:
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            data = base64.b64decode(padded, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise ParameterError("cursor", "is not a cursor of this API") from None
        signature, body = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(body)):
            raise ParameterError("cursor", "is not a cursor of this API")
        fingerprint, *position = orjson.loads(body)
        if fingerprint != _fingerprint(query):
            raise ParameterError("cursor", "belongs to a query with other filters")
        return list(position)

    def _signature(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()[:_SIGNATURE_BYTES]


def signing_key(directory: Path) -> bytes:
    """Return the installation's key, made on first use: cursors survive a restart."""
    path = directory / "cursor.key"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        directory.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.touch(mode=0o600)
        partial.write_bytes(os.urandom(_KEY_BYTES))
        partial.replace(path)
        return path.read_bytes()


def _fingerprint(query: object) -> str:
    return hashlib.sha256(repr(query).encode()).hexdigest()[:12]
