"""The durable list of batches: one SQLite file, one transaction per change."""

import secrets
import sqlite3
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from batch_layer.errors import BatchNotFoundError
from batch_layer.transactions.records import UNFINISHED, BatchRecord, Status

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

FILE = "batches.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    batch_id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS batches_by_status ON batches (status, number);
"""


def new_batch_id(now: datetime) -> str:
    """Return ``batch-<yyyymmdd>-<8 hex>``."""
    return f"batch-{now:%Y%m%d}-{secrets.token_hex(4)}"


class Registry:
    """Batches by id; safe to share between threads, survives kill -9."""

    def __init__(self, directory: "Path") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            directory / FILE, isolation_level=None, check_same_thread=False, timeout=30
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def add(self, record: BatchRecord) -> None:
        """Store a new batch."""
        with self._lock:
            self._connection.execute(
                "INSERT INTO batches (batch_id, status, record) VALUES (?, ?, ?)",
                (record.batch_id, record.status, record.model_dump_json()),
            )

    def get(self, batch_id: str) -> BatchRecord:
        """Return one batch.

        Raises:
            BatchNotFoundError: If no batch has this id.
        """
        with self._lock:
            return self._get(batch_id)

    def change(
        self, batch_id: str, only_from: "Container[Status]" = tuple(Status), **values: object
    ) -> BatchRecord | None:
        """Change fields of a batch, unless it has left the statuses of ``only_from``.

        Returns:
            The batch as it is now, or None when its status forbade the change.

        Raises:
            BatchNotFoundError: If no batch has this id.
        """
        with self._lock:
            old = self._get(batch_id)
            if old.status not in only_from:
                return None
            record = old.model_copy(update=values)
            self._connection.execute(
                "UPDATE batches SET status = ?, record = ? WHERE batch_id = ?",
                (record.status, record.model_dump_json(), batch_id),
            )
            return record

    def newest(self, status: Status | None, limit: int) -> tuple[int, list[BatchRecord]]:
        """Return how many batches there are, and the newest of them."""
        where, values = ("WHERE status = ?", (status,)) if status else ("", ())
        with self._lock:
            (total,) = self._connection.execute(
                f"SELECT count(*) FROM batches {where}",  # noqa: S608 (one of two constants)
                values,
            ).fetchone()
            rows = self._connection.execute(
                f"SELECT record FROM batches {where} ORDER BY number DESC LIMIT ?",  # noqa: S608
                (*values, limit),
            ).fetchall()
        return total, [BatchRecord.model_validate_json(record) for (record,) in rows]

    def fail_unfinished(self, reason: str) -> list[str]:
        """Mark every batch that was under way as failed: at a start nothing runs yet.

        Returns:
            Their ids.
        """
        with self._lock:
            rows = self._connection.execute(
                "SELECT batch_id FROM batches WHERE status IN (?, ?)", UNFINISHED
            ).fetchall()
        ids = [batch_id for (batch_id,) in rows]
        for batch_id in ids:
            self.change(
                batch_id,
                UNFINISHED,
                status=Status.FAILED,
                error_message=reason,
                end_time=datetime.now(UTC),
            )
        return ids

    def _get(self, batch_id: str) -> BatchRecord:
        row = self._connection.execute(
            "SELECT record FROM batches WHERE batch_id = ?", (batch_id,)
        ).fetchone()
        if row is None:
            raise BatchNotFoundError(f"no batch has the id {batch_id!r}")
        return BatchRecord.model_validate_json(row[0])
