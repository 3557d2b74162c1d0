"""Who changed what: every request that may write, also refused ones, in one SQLite file."""

import sqlite3
import threading
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS writes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    key_id TEXT,
    key_name TEXT,
    client TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    status INTEGER NOT NULL
)
"""
_NAMES = ("at", "request_id", "key_id", "key_name", "client", "method", "path", "status")


@dataclass(frozen=True, slots=True)
class Write:
    """One request; ``at`` in Unix ms."""

    at: int
    request_id: str
    key_id: str | None
    key_name: str | None
    client: str
    method: str
    path: str
    status: int


class AuditLog:
    """Appended to, never changed."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            directory / "audit.sqlite", check_same_thread=False, isolation_level=None
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def append(self, write: Write) -> None:
        """Keep a request; blocks."""
        statement = f"INSERT INTO writes ({', '.join(_NAMES)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
        with self._lock:
            self._connection.execute(statement, astuple(write))

    def newest(self, limit: int, before: int | None = None) -> list[dict[str, Any]]:
        """Return requests, newest first, with their numbers; blocks."""
        names = ("number", *_NAMES)
        statement = (
            f"SELECT {', '.join(names)} FROM writes WHERE number < ? ORDER BY number DESC LIMIT ?"  # noqa: S608
        )
        with self._lock:
            rows = self._connection.execute(statement, (before or 2**62, limit)).fetchall()
        return [dict(zip(names, row, strict=True)) for row in rows]
