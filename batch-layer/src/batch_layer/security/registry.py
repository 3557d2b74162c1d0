"""Security runs and how they ended, in SQLite: ids survive restarts."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from batch_layer.errors import RunNotFoundError
from batch_layer.security.progress import RunProgress

Status = Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS security_runs (
        run_id TEXT PRIMARY KEY,
        status TEXT NOT NULL,
        submitted INTEGER NOT NULL,
        record TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS security_runs_by_time ON security_runs (submitted DESC);
    CREATE TABLE IF NOT EXISTS submissions (
        key TEXT PRIMARY KEY,
        run_id TEXT NOT NULL
    );
"""

INTERRUPTED = "interrupted by a restart"


class RunRecord(BaseModel):
    """One security run as clients see it; times are ISO-8601 UTC."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    run_id: str
    status: Status = "PENDING"
    submit_time: str
    start_time: str | None = None
    end_time: str | None = None
    progress: RunProgress | None = None
    error_message: str | None = None
    published: bool = Field(False, description="Whether the run became the served one.")
    message: str | None = Field(None, description="What came of it, in words.")
    output: str | None = Field(None, description="Folder of a bounded run's report.")
    retry_of: str | None = Field(None, description="The run that this one repeats.")
    parameters: dict[str, Any] = Field(default_factory=dict)


class RunRegistry:
    """Durable; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def add(self, record: RunRecord, key: str | None) -> None:
        """Insert a run, and the key it was submitted by, both or neither."""
        with self._transaction() as cursor:
            cursor.execute("BEGIN")
            self._save(cursor, record)
            if key is not None:
                values = (key, record.run_id)
                cursor.execute("INSERT INTO submissions (key, run_id) VALUES (?, ?)", values)

    def submitted_by(self, key: str) -> RunRecord | None:
        """Return the run that was submitted by a key, if there is one."""
        with self._transaction() as cursor:
            row = cursor.execute(
                "SELECT record FROM submissions JOIN security_runs USING (run_id) WHERE key = ?",
                (key,),
            ).fetchone()
        return None if row is None else RunRecord.model_validate_json(row[0])

    def save(self, record: RunRecord) -> None:
        """Insert or replace a run."""
        with self._transaction() as cursor:
            self._save(cursor, record)

    @staticmethod
    def _save(cursor: sqlite3.Cursor, record: RunRecord) -> None:
        cursor.execute(
            "INSERT INTO security_runs (run_id, status, submitted, record) "
            "VALUES (?, ?, (SELECT COALESCE(MAX(submitted), 0) + 1 FROM security_runs), ?) "
            "ON CONFLICT (run_id) DO UPDATE SET status = excluded.status, "
            "record = excluded.record",
            (record.run_id, record.status, record.model_dump_json()),
        )

    def get(self, run_id: str) -> RunRecord:
        """Return a run.

        Raises:
            RunNotFoundError: If there is none of this id.
        """
        with self._transaction() as cursor:
            row = cursor.execute(
                "SELECT record FROM security_runs WHERE run_id = ?", (run_id,)
            ).fetchone()
        if row is None:
            raise RunNotFoundError(f"no security run has the id {run_id!r}")
        return RunRecord.model_validate_json(row[0])

    def latest(self, limit: int) -> tuple[int, list[RunRecord]]:
        """Return how many runs there are, and the newest ``limit``."""
        with self._transaction() as cursor:
            total: int = cursor.execute("SELECT COUNT(*) FROM security_runs").fetchone()[0]
            rows = cursor.execute(
                "SELECT record FROM security_runs ORDER BY submitted DESC LIMIT ?", (limit,)
            ).fetchall()
        return total, [RunRecord.model_validate_json(row[0]) for row in rows]

    def fail_interrupted(self, end_time: str) -> int:
        """Mark runs that the last process left unfinished as FAILED; return how many."""
        with self._transaction() as cursor:
            rows = cursor.execute(
                "SELECT record FROM security_runs WHERE status IN ('PENDING', 'RUNNING')"
            ).fetchall()
        for (text,) in rows:
            record = RunRecord.model_validate_json(text)
            update = {"status": "FAILED", "end_time": end_time, "error_message": INTERRUPTED}
            self.save(record.model_copy(update=update))
        return len(rows)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        with self._lock, self._connection:
            yield self._connection.cursor()
