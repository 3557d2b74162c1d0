"""Local store of one partition: one SQLite file, one writer, one transaction per micro-batch."""

import fcntl
import json
import logging
import os
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from speed_layer.errors import StoreBusyError, StoreDamagedError
from speed_layer.store_schema import LAYOUT, connect_writer, translated_errors

if TYPE_CHECKING:
    import sqlite3

logger = logging.getLogger(__name__)

_RECENT = 4
"""Micro-batches kept in memory: readers that keep up need no look into the file."""
SNAPSHOT_PART_BYTES = 64 * 1024 * 1024
"""SQLite takes no value of more than 1,000,000,000 bytes; the state of a million users is larger."""
_PRUNED_AT_ONCE = 500
_VACUUMED_PAGES = 2000


@dataclass(frozen=True, slots=True)
class Position:
    """What became of the offsets ``[first_offset, next_offset)``.

    ``rows + dead_letters + duplicates + skipped + lost`` is their number. ``lost`` are offsets
    that retention deleted before they were read.
    """

    first_offset: int
    next_offset: int
    rows: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    skipped: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A record to publish; ``id`` orders entries and is set by the store."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, str], ...] = ()
    id: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """Everything one micro-batch writes, in one transaction.

    Attributes:
        first_offset: Where the segment begins; the position before it.
        position: The position after it.
        segment: Arrow IPC message of its rows, see ``segments``.
        duplicates: Arrow IPC message of its duplicates' values, if any.
        alerts: (offset of the event that raised it, ordinal at that offset, snake_case JSON).
        outbox: What is to be published.
        snapshot: Detection state after it, when one is due.
    """

    first_offset: int
    position: Position
    segment: bytes
    duplicates: bytes | None = None
    alerts: Sequence[tuple[int, int, bytes]] = ()
    outbox: Sequence[OutboxEntry] = ()
    snapshot: bytes | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Detection state before ``next_offset`` was processed."""

    next_offset: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """A committed micro-batch: its range, its segment, and its alerts as in ``Commit``."""

    first_offset: int
    next_offset: int
    segment: bytes
    alerts: Sequence[tuple[int, int, bytes]]


def store_path(store_dir: Path, topic: str, partition: int) -> Path:
    """Return where a partition's store lies."""
    return store_dir / topic / f"{partition}.sqlite"


class Store:
    """Writer of one partition's store; holds the file's exclusive lock while open."""

    def __init__(self, path: Path, *, max_bytes: int = 0) -> None:
        """Open or make the store.

        Raises:
            StoreBusyError: Another process has it open.
            StoreUnavailableError: The disk refuses.
        """
        self.path = path
        self.position: Position | None = None
        self.segments_from = 0
        self.snapshot_offset = -1
        self.recent: deque[Stored] = deque(maxlen=_RECENT)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(path.with_suffix(".lock"))
        self._max_bytes = max_bytes
        try:
            self._connection = self._open()
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self) -> "sqlite3.Connection":
        check = self.path.exists() and os.pread(self._lock, 5, 0) != b"clean"
        _mark(self._lock, b"dirty")
        try:
            return self._load(check=check)
        except StoreDamagedError as error:
            self._set_aside(str(error))
            return self._load(check=False)

    def _load(self, *, check: bool) -> "sqlite3.Connection":
        connection = connect_writer(self.path, check=check, max_bytes=self._max_bytes)
        try:
            with translated_errors(self.path):
                self._read_position(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _read_position(self, connection: "sqlite3.Connection") -> None:
        layout = connection.execute("SELECT value FROM meta WHERE name = 'layout'").fetchone()
        if layout is not None and layout[0] != LAYOUT:
            raise StoreDamagedError(f"{self.path}: layout {layout[0]}, this version needs {LAYOUT}")
        row = connection.execute(
            "SELECT first_offset, next_offset, rows, dead_letters, duplicates, skipped, lost"
            " FROM position"
        ).fetchone()
        self.position = Position(*row) if row else None
        if self.position is None:
            return
        first = connection.execute("SELECT min(first_offset) FROM segments").fetchone()[0]
        self.segments_from = self.position.next_offset if first is None else first
        snapshot = connection.execute("SELECT next_offset FROM snapshot").fetchone()
        self.snapshot_offset = -1 if snapshot is None else snapshot[0]

    def _set_aside(self, reason: str) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        logger.error("store %s set aside as *.damaged-%s, rebuilding: %s", self.path, stamp, reason)
        for name in (self.path.name, f"{self.path.name}-wal", f"{self.path.name}-shm"):
            file = self.path.with_name(name)
            if file.exists():
                file.rename(file.with_name(f"{name}.damaged-{stamp}"))
        self.position = None
        self.recent.clear()

    def set_aside(self, reason: str) -> None:
        """Move the file away and begin an empty one in its place."""
        self._connection.close()
        self._set_aside(reason)
        self._connection = self._load(check=False)

    @contextmanager
    def _transaction(self) -> "Iterator[sqlite3.Connection]":
        with translated_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # some errors roll back by themselves
                    self._connection.execute("ROLLBACK")
                raise

    def begin(self, position: Position, version: str, state: bytes | None) -> None:
        """Start anew at ``position`` with detection state ``state``; keeps the outbox.

        Args:
            position: Counts before the first record that will be stored.
            version: Detection version and scorer; see ``version``.
            state: Snapshot at ``position``; None when detection starts empty.
        """
        with self._transaction() as connection:
            for table in ("segments", "alerts", "snapshot", "snapshot_parts", "position", "meta"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608  # names from the line above
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?)", [("layout", LAYOUT), ("version", version)]
            )
            _write_position(connection, position)
            if state is not None:
                _write_snapshot(connection, position.next_offset, state)
        self.position = position
        self.recent.clear()
        self.segments_from = position.next_offset
        self.snapshot_offset = position.next_offset if state is not None else -1

    @property
    def version(self) -> str | None:
        """Detection version and scorer that wrote the store, None for a new one."""
        with translated_errors(self.path):
            row = self._connection.execute(
                "SELECT value FROM meta WHERE name = 'version'"
            ).fetchone()
        return None if row is None else str(row[0])

    def write(self, commit: Commit) -> list[OutboxEntry]:
        """Store a micro-batch, all of it or nothing.

        Returns:
            The outbox entries with their ids.

        Raises:
            StoreUnavailableError: Nothing was stored; the same commit may be tried again.
            StoreDamagedError: The file is broken.
        """
        entries: list[OutboxEntry] = []
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO segments VALUES (?, ?, ?, ?, ?)",
                (
                    commit.first_offset,
                    commit.position.next_offset,
                    zlib.crc32(commit.segment, zlib.crc32(commit.duplicates or b"")),
                    commit.segment,
                    commit.duplicates,
                ),
            )
            connection.executemany("INSERT INTO alerts VALUES (?, ?, ?)", commit.alerts)
            entries = [_write_entry(connection, entry) for entry in commit.outbox]
            _write_position(connection, commit.position)
            if commit.snapshot is not None:
                _write_snapshot(connection, commit.position.next_offset, commit.snapshot)
        self.position = commit.position
        self.recent.append(
            Stored(
                commit.first_offset,
                commit.position.next_offset,
                commit.segment,
                commit.alerts,
            )
        )
        if commit.snapshot is not None:
            self.snapshot_offset = commit.position.next_offset
        return entries

    def write_snapshot(self, state: bytes) -> None:
        """Store detection state as of the current position."""
        if self.position is None:
            raise ValueError("a store without a position has no state to snapshot")
        with self._transaction() as connection:
            _write_snapshot(connection, self.position.next_offset, state)
        self.snapshot_offset = self.position.next_offset

    def add_to_outbox(self, entries: Sequence[OutboxEntry]) -> None:
        """Add what no micro-batch of ours raised: alerts of a range that batch took over."""
        with self._transaction() as connection:
            for entry in entries:
                _write_entry(connection, entry)

    def remove_from_outbox(self, ids: Sequence[int]) -> None:
        """Forget acknowledged entries."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM outbox WHERE id = ?", [(entry,) for entry in ids])

    def outbox(self) -> list[OutboxEntry]:
        """Return what was not acknowledged yet, oldest first."""
        with translated_errors(self.path):
            rows = self._connection.execute(
                "SELECT topic, key, value, headers, id FROM outbox ORDER BY id"
            ).fetchall()
        return [
            OutboxEntry(topic, key, value, tuple((n, v) for n, v in json.loads(headers)), entry)
            for topic, key, value, headers, entry in rows
        ]

    def alerts(self) -> list[tuple[int, int, bytes]]:
        """Return all stored alerts, as in ``Commit``, by offset."""
        with translated_errors(self.path):
            return self._connection.execute(
                "SELECT event_offset, ordinal, body FROM alerts ORDER BY event_offset, ordinal"
            ).fetchall()

    def snapshot(self) -> Snapshot | None:
        """Return the newest state snapshot.

        Raises:
            StoreDamagedError: Its bytes are not those written.
        """
        with translated_errors(self.path):
            row = self._connection.execute(
                "SELECT next_offset, crc, parts FROM snapshot"
            ).fetchone()
            parts = self._connection.execute(
                "SELECT state FROM snapshot_parts ORDER BY number"
            ).fetchall()
        if row is None:
            return None
        state = b"".join(part for (part,) in parts)
        if len(parts) != row[2] or zlib.crc32(state) != row[1]:
            raise StoreDamagedError(f"{self.path}: checksum of the state snapshot differs")
        return Snapshot(row[0], state)

    def segments(self, from_offset: int) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield segment and duplicates of every micro-batch from ``from_offset`` on, in order.

        Raises:
            StoreDamagedError: A segment is missing, or its bytes are not those written.
        """
        with translated_errors(self.path):
            cursor = self._connection.execute(
                "SELECT first_offset, next_offset, crc, data, duplicates FROM segments"
                " WHERE first_offset >= ? ORDER BY first_offset",
                (from_offset,),
            )
            expected = from_offset
            for first, following, crc, data, duplicates in cursor:
                if first != expected:
                    raise StoreDamagedError(f"{self.path}: offsets {expected}-{first} are missing")
                if zlib.crc32(data, zlib.crc32(duplicates or b"")) != crc:
                    raise StoreDamagedError(f"{self.path}: checksum of segment {first} differs")
                expected = following
                yield data, duplicates
        if self.position is not None and expected != self.position.next_offset:
            raise StoreDamagedError(f"{self.path}: segments end at {expected}")

    def prune(self, seam: int) -> bool:
        """Delete segments and alerts below ``seam`` that a snapshot covers, a bounded number.

        Returns:
            True when there is more to delete.
        """
        bound = min(seam, self.snapshot_offset)
        if self.position is None or self.segments_from >= bound:
            return False
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT first_offset, next_offset FROM segments WHERE next_offset <= ?"
                " ORDER BY first_offset LIMIT ?",
                (bound, _PRUNED_AT_ONCE),
            ).fetchall()
            if rows:
                below = rows[-1][1]
                connection.execute("DELETE FROM segments WHERE first_offset < ?", (below,))
                connection.execute("DELETE FROM alerts WHERE event_offset < ?", (below,))
        if rows:
            self.segments_from = rows[-1][1]
            with translated_errors(self.path):
                self._connection.execute(f"PRAGMA incremental_vacuum({_VACUUMED_PAGES})").fetchall()
        return len(rows) == _PRUNED_AT_ONCE

    def close(self) -> None:
        """Close cleanly and give up the lock."""
        try:
            self._connection.close()
            _mark(self._lock, b"clean")
        finally:
            os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def advanced(position: Position, next_offset: int, **counts: int) -> Position:
    """Return ``position`` moved to ``next_offset``, with counts added; the rest was skipped.

    Examples:
        >>> advanced(Position(0, 0), 10, rows=7, dead_letters=1)
        Position(first_offset=0, next_offset=10, rows=7, dead_letters=1, duplicates=0, skipped=2, lost=0)
    """
    skipped = next_offset - position.next_offset - sum(counts.values())
    added = {name: getattr(position, name) + count for name, count in counts.items()}
    return replace(position, next_offset=next_offset, skipped=position.skipped + skipped, **added)


def _lock(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(file)
        raise StoreBusyError(f"{path} is held by another process") from error
    return file


def _mark(lock: int, state: bytes) -> None:
    os.pwrite(lock, state, 0)


def _write_position(connection: "sqlite3.Connection", position: Position) -> None:
    connection.execute(
        "REPLACE INTO position VALUES (0, ?, ?, ?, ?, ?, ?, ?)",
        (
            position.first_offset,
            position.next_offset,
            position.rows,
            position.dead_letters,
            position.duplicates,
            position.skipped,
            position.lost,
        ),
    )


def _write_snapshot(connection: "sqlite3.Connection", next_offset: int, state: bytes) -> None:
    parts = [
        memoryview(state)[start : start + SNAPSHOT_PART_BYTES]
        for start in range(0, len(state), SNAPSHOT_PART_BYTES)
    ]
    connection.execute("DELETE FROM snapshot_parts")
    connection.executemany("INSERT INTO snapshot_parts VALUES (?, ?)", enumerate(parts))
    connection.execute(
        "REPLACE INTO snapshot VALUES (0, ?, ?, ?)", (next_offset, zlib.crc32(state), len(parts))
    )


def _write_entry(connection: "sqlite3.Connection", entry: OutboxEntry) -> OutboxEntry:
    cursor = connection.execute(
        "INSERT INTO outbox (topic, key, value, headers) VALUES (?, ?, ?, ?)",
        (entry.topic, entry.key, entry.value, json.dumps(entry.headers)),
    )
    return replace(entry, id=cursor.lastrowid or 0)
