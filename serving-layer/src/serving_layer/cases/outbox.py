"""Messages that still have to be sent, in one SQLite file, with how far alerts were looked at.

An alert's messages and the position behind it are written in one transaction: after a crash none
is missing. A receiver may get one twice, and tells by its delivery id.
"""

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    alert_id TEXT NOT NULL,
    body BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    dead INTEGER NOT NULL DEFAULT 0,
    error TEXT
);
CREATE INDEX IF NOT EXISTS messages_due ON messages (dead, due_at);
CREATE TABLE IF NOT EXISTS looked_at (one INTEGER PRIMARY KEY CHECK (one = 1), positions TEXT);
"""

_DUE = """
SELECT number, target, alert_id, body, created_at, attempts, error FROM messages
WHERE dead = 0 AND target = ? AND due_at <= ? ORDER BY number LIMIT ?
"""
_DEAD = """
SELECT number, target, alert_id, body, created_at, attempts, error FROM messages
WHERE dead = 1 ORDER BY number DESC LIMIT ?
"""
_NEXT_DUE = "SELECT min(due_at) FROM messages WHERE dead = 0 AND target = ?"


@dataclass(frozen=True, slots=True)
class Message:
    """One alert for one target; times in Unix ms."""

    number: int
    target: str
    alert_id: str
    body: bytes
    created_at: int
    attempts: int
    error: str | None

    @property
    def delivery_id(self) -> str:
        return f"{self.target}:{self.alert_id}"


class Outbox:
    """Pending and dead messages; safe to use from any thread."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            directory / "webhooks.sqlite", check_same_thread=False, isolation_level=None
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def positions(self) -> str | None:
        """Return how far alerts were looked at, None at the very first start."""
        with self._lock:
            row = self._connection.execute("SELECT positions FROM looked_at").fetchone()
        return row[0] if row else None

    def begin(self, positions: str) -> None:
        """Look at alerts from ``positions`` on, also after a restart."""
        self._do("INSERT OR REPLACE INTO looked_at VALUES (1, ?)", (positions,))

    def looked_at(
        self, positions: str, alert_id: str, bodies: Mapping[str, bytes], now: int
    ) -> None:
        """Move on to ``positions`` and keep an alert's message for each target."""
        rows = [(target, alert_id, body, now, now) for target, body in bodies.items()]
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(
                    "INSERT INTO messages (target, alert_id, body, created_at, due_at) "
                    "VALUES (?, ?, ?, ?, ?)",
                    rows,
                )
                self._connection.execute(
                    "INSERT OR REPLACE INTO looked_at VALUES (1, ?)", (positions,)
                )
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def due(self, target: str, now: int, limit: int) -> list[Message]:
        """Return a target's messages that are due, oldest first."""
        return self._messages(_DUE, (target, now, limit))

    def next_due(self, target: str) -> int | None:
        """Return when a target's next message is due."""
        with self._lock:
            found: int | None = self._connection.execute(_NEXT_DUE, (target,)).fetchone()[0]
        return found

    def dead(self, limit: int) -> list[Message]:
        """Return messages that were given up, newest first."""
        return self._messages(_DEAD, (limit,))

    def counts(self) -> dict[tuple[str, bool], int]:
        """Return how many messages wait and how many were given up, by (target, dead)."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT target, dead, count(*) FROM messages GROUP BY target, dead"
            ).fetchall()
        return {(target, bool(dead)): number for target, dead, number in rows}

    def delivered(self, number: int) -> None:
        """Forget a message that was taken."""
        self._do("DELETE FROM messages WHERE number = ?", (number,))

    def failed(self, number: int, error: str, due_at: int, *, dead: bool) -> None:
        """Try a message again at ``due_at``, or give it up."""
        self._do(
            "UPDATE messages SET attempts = attempts + 1, error = ?, due_at = ?, dead = ? "
            "WHERE number = ?",
            (error, due_at, int(dead), number),
        )

    def revive(self, number: int, now: int) -> bool:
        """Send a dead message again; return whether there is one with this number."""
        return bool(
            self._do(
                "UPDATE messages SET dead = 0, attempts = 0, due_at = ? "
                "WHERE number = ? AND dead = 1",
                (now, number),
            )
        )

    def _messages(self, statement: str, values: Sequence[object]) -> list[Message]:
        with self._lock:
            rows = self._connection.execute(statement, values).fetchall()
        return [Message(*row) for row in rows]

    def _do(self, statement: str, values: Sequence[object]) -> int:
        with self._lock:
            return self._connection.execute(statement, values).rowcount
