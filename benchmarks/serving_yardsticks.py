"""The questions of ``bench_serving`` put to plain DuckDB and to SQLite, in this process.

They answer without HTTP, without JSON, without anything arriving meanwhile, one question at a time.
DuckDB reads the run's Parquet files and one more with the realtime rows. SQLite holds the columns that
the questions need, not the stored JSON, with an index for each question.
"""

import itertools
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

Question = tuple[str, Sequence[object]]
"""SQL and its values. ``ORDER`` stands for the merged order."""

COLUMNS = (
    "event_id", "timestamp", "topic", "partition", "offset", "user", "event_type", "status",
    "source_ip", "threat_score", "anomaly_score", "is_anomaly",
)  # fmt: skip
_ORDER = 'ORDER BY "timestamp" DESC, topic, "partition", "offset" DESC LIMIT'
_NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
_INDEXES = (
    "CREATE UNIQUE INDEX by_id ON events (event_id)",
    'CREATE INDEX in_order ON events ("timestamp" DESC, topic, "partition", "offset" DESC)',
    'CREATE INDEX of_user ON events (user, is_anomaly, "timestamp" DESC)',
    'CREATE INDEX by_threat ON events ("timestamp" DESC, threat_score)',
)


def questions(users: Sequence[str], ids: Sequence[str], times: Sequence[int]) -> dict[str, list]:
    """Return what each question asks in turn: lists of statements with their values."""
    page = f"SELECT {_NAMES} FROM events WHERE {{}} {_ORDER} {{}}"
    of_user = page.format("user = ?", 300)
    anomalies = page.format("user = ? AND is_anomaly", 100)
    counted = "SELECT count(*) FROM events WHERE user = ?"
    totals = (
        "SELECT count(*), sum(is_anomaly::INT), avg(threat_score), "
        "sum((threat_score >= 0.7)::INT) FROM events"
    )
    return {
        "events": [[(page.format("true", 100), ())]],
        "event_by_id": [
            [(f"SELECT {_NAMES} FROM events WHERE event_id = ?", (each,))] for each in ids
        ],
        "user": [[(anomalies, (each,))] for each in users],
        "count": [[(counted, (each,))] for each in users],
        "summary": [[(totals, ())]],
        "threats": [[(page.format("threat_score >= 0.9", 100), ())]],
        "time_range": [
            [(page.format('"timestamp" >= ? AND "timestamp" < ?', 100), (each, each + 60_000))]
            for each in times
        ],
        "user_page": [
            [(of_user, (each,)), (anomalies, (each,)), (counted, (each,))] for each in users
        ],
    }


def measured(
    run: Callable[[Question], object], asked: dict[str, list], seconds: float
) -> dict[str, list[float]]:
    """Return answer times in milliseconds, by question; each is asked at least three times."""
    found: dict[str, list[float]] = {}
    for name, turns in asked.items():
        times: list[float] = []
        deadline = time.perf_counter() + seconds
        for statements in itertools.cycle(turns):
            began = time.perf_counter()
            for statement in statements:
                run(statement)
            times.append((time.perf_counter() - began) * 1000)
            if time.perf_counter() > deadline and len(times) >= 3:
                break
        found[name] = times
    return found


def duckdb_times(files: Iterable[Path], asked: dict[str, list], seconds: float) -> dict:
    """Ask DuckDB over Parquet files."""
    listed = ", ".join(f"'{file}'" for file in files)
    with duckdb.connect() as connection:
        connection.execute(f"CREATE VIEW events AS SELECT * FROM read_parquet([{listed}])")
        return measured(lambda q: connection.execute(q[0], list(q[1])).fetchall(), asked, seconds)


def sqlite_times(
    files: Iterable[Path], database: Path, asked: dict[str, list], seconds: float
) -> dict:
    """Ask SQLite over a table that is filled from Parquet files first."""
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -1000000")
        connection.execute(f"CREATE TABLE events ({_NAMES})")
        marks = ", ".join("?" * len(COLUMNS))
        for file in files:
            for batch in pq.ParquetFile(file).iter_batches(100_000, columns=list(COLUMNS)):
                columns = [batch.column(name).to_pylist() for name in COLUMNS]
                rows = zip(*columns, strict=True)
                connection.executemany(f"INSERT INTO events VALUES ({marks})", rows)
        for index in _INDEXES:
            connection.execute(index)
        connection.commit()

        def run(question: Question) -> object:
            statement = question[0].replace("::INT", "")
            return connection.execute(statement, tuple(question[1])).fetchall()

        found = measured(run, asked, seconds)
    connection.close()
    return found
