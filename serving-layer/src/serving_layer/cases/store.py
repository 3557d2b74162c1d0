"""Cases and suppressions in one SQLite file: steps are appended, never changed.

What the steps add up to is kept in memory too, because every alert of every list asks for it.
"""

import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from serving_layer.cases.states import UNTOUCHED, Case, Step
from serving_layer.cases.suppressions import Pattern, Suppression

_SCHEMA = """
CREATE TABLE IF NOT EXISTS steps (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    alert_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    action TEXT NOT NULL,
    assignee TEXT,
    comment TEXT
);
CREATE INDEX IF NOT EXISTS steps_by_alert ON steps (alert_id, number);
CREATE TABLE IF NOT EXISTS suppressions (
    id TEXT PRIMARY KEY,
    rule_id TEXT NOT NULL,
    user TEXT,
    source_ip TEXT,
    alert_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_by TEXT,
    revoked_at INTEGER
);
"""

_STEPS = "SELECT alert_id, at, by, action, assignee, comment FROM steps ORDER BY number"
_STEPS_OF_ALERT = """
SELECT alert_id, at, by, action, assignee, comment FROM steps WHERE alert_id = ? ORDER BY number
"""
_ADD_STEP = """
INSERT INTO steps (alert_id, at, by, action, assignee, comment)
VALUES (:alert_id, :at, :by, :action, :assignee, :comment)
"""
_ADD_SUPPRESSION = """
INSERT INTO suppressions VALUES (
    :id, :rule_id, :user, :source_ip, :alert_id, :reason,
    :created_by, :created_at, :expires_at, NULL, NULL
)
"""
_SUPPRESSIONS = """
SELECT id, alert_id, reason, created_by, created_at, expires_at, revoked_by, revoked_at,
       rule_id, user, source_ip
FROM suppressions ORDER BY created_at, id
"""


class CaseStore:
    """Cases of alerts and suppressions; safe to use from any thread."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            directory / "cases.sqlite", check_same_thread=False, isolation_level=None
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(_SCHEMA)
        self._cases: dict[str, Case] = {}
        self._fold(Step(*row) for row in self._connection.execute(_STEPS))
        self._suppressions: dict[str, Suppression] = {}
        for *values, rule_id, user, source_ip in self._connection.execute(_SUPPRESSIONS):
            pattern = Pattern(rule_id, user, source_ip)
            self._suppressions[values[0]] = Suppression(values[0], pattern, *values[1:])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def case(self, alert_id: str) -> Case:
        """Return where an alert stands."""
        return self._cases.get(alert_id, UNTOUCHED)

    def take(self, steps: Sequence[Step]) -> None:
        """Store steps, all or none."""
        with self._lock:
            self._write(_ADD_STEP, [asdict(step) for step in steps])
            self._fold(steps)

    def history(self, alert_id: str) -> list[Step]:
        """Return what was done with an alert, oldest first."""
        with self._lock:
            rows = self._connection.execute(_STEPS_OF_ALERT, (alert_id,)).fetchall()
        return [Step(*row) for row in rows]

    def suppressions(self) -> list[Suppression]:
        """Return every suppression, expired and revoked ones too, newest first."""
        return list(self._suppressions.values())[::-1]

    def suppression(self, suppression_id: str) -> Suppression | None:
        """Return the suppression with this id."""
        return self._suppressions.get(suppression_id)

    def suppress(
        self, pattern: Pattern, *, alert_id: str, reason: str, by: str, expires_at: int
    ) -> Suppression:
        """Store a suppression made from an alert."""
        made = Suppression(
            id=f"sup_{secrets.token_hex(6)}",
            pattern=pattern,
            alert_id=alert_id,
            reason=reason,
            created_by=by,
            created_at=now_ms(),
            expires_at=expires_at,
        )
        with self._lock:
            self._write(_ADD_SUPPRESSION, [asdict(made) | asdict(pattern)])
            self._suppressions[made.id] = made
        return made

    def revoke(self, suppression_id: str, by: str) -> Suppression:
        """End a suppression; one that was revoked before stays as it is.

        Raises:
            KeyError: If there is none with this id.
        """
        with self._lock:
            found = self._suppressions[suppression_id]
            if found.revoked_at is not None:
                return found
            revoked = replace(found, revoked_by=by, revoked_at=now_ms())
            self._write(
                "UPDATE suppressions SET revoked_by = :revoked_by, revoked_at = :revoked_at "
                "WHERE id = :id",
                [{"id": found.id, "revoked_by": by, "revoked_at": revoked.revoked_at}],
            )
            self._suppressions[found.id] = revoked
            return revoked

    def suppressed_by(self, record: Mapping[str, Any]) -> str | None:
        """Return the id of the oldest suppression that silences an alert."""
        if not self._suppressions or self.case(record["alert_id"]).verdict == "true_positive":
            return None
        covering = (each.id for each in list(self._suppressions.values()) if each.covers(record))
        return next(covering, None)

    def _write(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(statement, rows)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _fold(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self._cases[step.alert_id] = self.case(step.alert_id).after(step)


def now_ms() -> int:
    """Return the wall clock, Unix ms."""
    return int(time.time() * 1000)
