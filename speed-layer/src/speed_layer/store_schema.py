"""Tables of a partition's store, and how its file is opened."""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.views import SEGMENT_SCHEMA
from speed_layer.errors import StoreDamagedError, StoreUnavailableError

LAYOUT = f"2-{zlib.crc32(SEGMENT_SCHEMA.to_string().encode()):08x}"
"""A store of another layout is rebuilt, never migrated: the log has everything."""

PAGE_BYTES = 8192
_WRITE_TIMEOUT_SECONDS = 1.0

TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS position (
    id INTEGER PRIMARY KEY CHECK (id = 0), first_offset INTEGER NOT NULL,
    next_offset INTEGER NOT NULL, rows INTEGER NOT NULL, dead_letters INTEGER NOT NULL,
    duplicates INTEGER NOT NULL, skipped INTEGER NOT NULL, lost INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS segments (
    first_offset INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL, crc INTEGER NOT NULL,
    data BLOB NOT NULL, duplicates BLOB);
CREATE TABLE IF NOT EXISTS alerts (
    event_offset INTEGER NOT NULL, ordinal INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (event_offset, ordinal)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, key BLOB, value BLOB,
    headers TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS snapshot (
    id INTEGER PRIMARY KEY CHECK (id = 0), next_offset INTEGER NOT NULL, crc INTEGER NOT NULL,
    parts INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS snapshot_parts (number INTEGER PRIMARY KEY, state BLOB NOT NULL);
"""


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as ours: what a retry may cure, and what only a rebuild cures."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailableError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise StoreDamagedError(f"{path}: {error}") from error


def connect_writer(path: Path, *, check: bool, max_bytes: int = 0) -> sqlite3.Connection:
    """Open the store for its one writer, making it if new.

    With synchronous=NORMAL a power cut may undo the newest commits, never break the file;
    position and segments go back together, and the log is read again from there.

    Args:
        path: The SQLite file.
        check: Read the whole file for damage first (after an unclean stop).
        max_bytes: The file does not grow beyond this; 0 for no bound.

    Raises:
        StoreDamagedError: The file is not a sound store.
        StoreUnavailableError: It cannot be opened now.
    """
    with translated_errors(path):
        connection = sqlite3.connect(
            path, timeout=_WRITE_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection, path, check=check, max_bytes=max_bytes)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, *, check: bool, max_bytes: int) -> None:
    connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    if max_bytes:
        connection.execute(f"PRAGMA max_page_count={max(16, max_bytes // PAGE_BYTES)}")
    if check:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StoreDamagedError(f"{path}: {verdict}")
    connection.executescript(TABLES)


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open the store for reading beside its writer; sees committed transactions only."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
