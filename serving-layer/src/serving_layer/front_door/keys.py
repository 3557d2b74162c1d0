"""API keys: made by command, hashed at rest, checked in memory.

A key reads ``sgk_<id>_<secret>``. The secret has 256 random bits, so one round of SHA-256 is
enough: there is no dictionary to try. The file holds the hash only.
"""

import hashlib
import hmac
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving_layer.errors import NotFoundError
from serving_layer.front_door.scopes import Scope

FILE = "keys.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    scope TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
)
"""
_COLUMNS = "id, name, scope, secret_hash, created_at, expires_at, revoked_at"
_FORMAT = re.compile(r"sgk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_LOOK_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Key:
    """A key without its secret; times in Unix ms."""

    id: str
    name: str
    scope: Scope
    secret_hash: bytes
    created_at: int
    expires_at: int | None
    revoked_at: int | None

    def ended(self, now: int) -> str | None:
        """Return why the key is no longer good, None if it is."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return None


class KeyStore:
    """The keys of one installation; a command and a server may hold it at once."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / FILE
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute(_SCHEMA)
        self._version = -1
        self._looked_at = float("-inf")
        self._known: dict[str, Key] = {}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def create(self, name: str, scope: Scope, expires_at: int | None = None) -> tuple[Key, str]:
        """Make a key; its text is returned once and kept nowhere."""
        secret = secrets.token_urlsafe(32)
        key = Key(
            id=secrets.token_hex(6),
            name=name,
            scope=scope,
            secret_hash=_hash(secret),
            created_at=_now(),
            expires_at=expires_at,
            revoked_at=None,
        )
        values = tuple(getattr(key, column) for column in _COLUMNS.split(", "))
        self._do(f"INSERT INTO keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608
        return key, f"sgk_{key.id}_{secret}"

    def rotate(self, key_id: str, overlap_ms: int) -> tuple[Key, str]:
        """Make a key like another one, which ends after ``overlap_ms``.

        Raises:
            NotFoundError: If there is no such key, or it has ended.
        """
        old = next((each for each in self.all() if each.id == key_id), None)
        now = _now()
        if old is None or old.ended(now):
            raise NotFoundError(f"no key that still holds has the id {key_id!r}")
        lifetime = None if old.expires_at is None else old.expires_at - old.created_at
        made = self.create(old.name, old.scope, None if lifetime is None else now + lifetime)
        ends = now + overlap_ms
        if old.expires_at is not None:
            ends = min(ends, old.expires_at)
        self._do("UPDATE keys SET expires_at = ? WHERE id = ?", (ends, key_id))
        return made

    def revoke(self, key_id: str) -> None:
        """End a key at once.

        Raises:
            NotFoundError: If there is no such key, or it was revoked before.
        """
        statement = "UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
        if not self._do(statement, (_now(), key_id)):
            raise NotFoundError(f"no key that still holds has the id {key_id!r}")

    def all(self) -> list[Key]:
        """Return every key, oldest first."""
        with self._lock:
            rows = self._connection.execute(
                f"SELECT {_COLUMNS} FROM keys ORDER BY created_at, id"  # noqa: S608
            ).fetchall()
        return [Key(*row) for row in rows]

    def of(self, text: str) -> Key | None:
        """Return the key that a text is, None if it is none that holds."""
        found = _FORMAT.fullmatch(text)
        if found is None:
            return None
        # A key just made is used at once: only those known already may wait for the next look.
        self._look(at_most_every=_LOOK_AGAIN_SECONDS if found[1] in self._known else 0)
        key = self._known.get(found[1])
        if key is None or not hmac.compare_digest(key.secret_hash, _hash(found[2])):
            return None
        return None if key.ended(_now()) else key

    def _look(self, at_most_every: float) -> None:
        """Read the keys again if a command changed them, and the last look is some seconds past."""
        now = time.monotonic()
        if now - self._looked_at < at_most_every:
            return
        self._looked_at = now
        with self._lock:
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._version = version
            self._known = {key.id: key for key in self.all()}

    def _do(self, statement: str, values: Sequence[object]) -> int:
        with self._lock:
            changed = self._connection.execute(statement, values).rowcount
        # The pragma tells of other connections' changes only.
        self._version, self._looked_at = -1, float("-inf")
        return changed


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _now() -> int:
    return int(time.time() * 1000)
