"""The reference formula and the table that both peers fill, one row per event.

``.25(1-P(hour)) + .30(1-P(ip)) + .20(1-P(place)) + .15(1-P(type)) + .10 if failed``, where P is the
value's share of the user's events so far; scored from the 101st event on, anomalous from .5 on.
"""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

READY = 100
THRESHOLD = 0.5
HOUR_MS = 3_600_000

Row = tuple[int, int, str, str, int, str, float | None, bool, bytes]

_TABLE = """
CREATE TABLE IF NOT EXISTS events (
    partition INTEGER, "offset" INTEGER, event_id TEXT, user TEXT, timestamp INTEGER,
    event_type TEXT, score REAL, is_anomaly INTEGER, raw BLOB,
    PRIMARY KEY (partition, "offset")) WITHOUT ROWID
"""


def values_of(event: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    """Return the event's values, each as the key of its counter, with their weights."""
    metadata = event.get("metadata") or {}
    hour = event["timestamp"] // HOUR_MS % 24
    found = [(f"h{hour}", 0.25), (f"t{event['event_type']}", 0.15)]
    if ip := event.get("source_ip"):
        found.append((f"i{ip}", 0.30))
    if place := metadata.get("geo_location"):
        found.append((f"g{place}", 0.20))
    return tuple(found)


def score(event: dict[str, Any], counted: Iterable[tuple[float, int]], total: int) -> float | None:
    """Return the score from (weight, count so far) of each value; None while not ready."""
    if total < READY:
        return None
    rarity = sum(weight * (1 - count / total) for weight, count in counted)
    return rarity + (0.10 if event.get("status") == "failed" else 0.0)


def open_table(path: Path) -> sqlite3.Connection:
    """Open the sink: WAL, synchronous=NORMAL, as the speed layer's own store."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(_TABLE)
    return connection


def insert(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Write a batch in one transaction."""
    connection.execute("BEGIN")
    connection.executemany("INSERT OR REPLACE INTO events VALUES (?,?,?,?,?,?,?,?,?)", rows)
    connection.execute("COMMIT")


def totals(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many events were stored, and how many are anomalous."""
    query = "SELECT count(*), coalesce(sum(is_anomaly), 0) FROM events"
    stored, anomalies = connection.execute(query).fetchone()
    return {"stored": stored, "anomalies": anomalies}
