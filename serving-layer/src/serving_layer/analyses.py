"""Written analyses: the serving layer's own durable store."""

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.api import Analysis

_SCHEMA = """
CREATE TABLE IF NOT EXISTS analyses (
    id TEXT PRIMARY KEY,
    event_id TEXT NOT NULL,
    severity TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS analyses_by_time ON analyses (created_at DESC, id);
CREATE INDEX IF NOT EXISTS analyses_by_event ON analyses (event_id);
CREATE INDEX IF NOT EXISTS analyses_by_severity ON analyses (severity, created_at DESC, id);
"""

_PAGE = """
SELECT body FROM analyses
WHERE (:event_id IS NULL OR event_id = :event_id)
  AND (:severity IS NULL OR severity = :severity)
  AND (:created_at IS NULL OR (-created_at, id) > (-:created_at, :id))
ORDER BY created_at DESC, id
LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class AnalysisFilter:
    """Conditions on analyses that all must hold."""

    event_id: str | None = None
    severity: str | None = None


class AnalysisStore:
    """Analyses in one SQLite file; an id that is written again replaces the earlier text."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            directory / "analyses.sqlite", check_same_thread=False, isolation_level=None
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(_SCHEMA)
        self._count = self._connection.execute("SELECT count(*) FROM analyses").fetchone()[0]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, analysis: Analysis) -> bool:
        """Store an analysis and return whether its id is new."""
        row = (
            analysis.id,
            analysis.event_id,
            analysis.severity,
            analysis.created_at,
            analysis.model_dump_json(),
        )
        with self._lock:
            self._connection.execute("INSERT OR REPLACE INTO analyses VALUES (?, ?, ?, ?, ?)", row)
            before = self._count
            self._count = self._connection.execute("SELECT count(*) FROM analyses").fetchone()[0]
            return bool(self._count > before)

    def get(self, analysis_id: str) -> Analysis | None:
        """Return the analysis with this id."""
        with self._lock:
            row = self._connection.execute(
                "SELECT body FROM analyses WHERE id = ?", (analysis_id,)
            ).fetchone()
        return Analysis.model_validate_json(row[0]) if row else None

    def page(
        self, wanted: AnalysisFilter, after: Sequence[int | str] | None, limit: int
    ) -> list[Analysis]:
        """Return the newest ``limit`` analyses behind ``after`` (created_at, id)."""
        created_at, analysis_id = after if after is not None else (None, None)
        values = {
            "event_id": wanted.event_id,
            "severity": wanted.severity,
            "created_at": created_at,
            "id": analysis_id,
            "limit": limit,
        }
        with self._lock:
            rows = self._connection.execute(_PAGE, values).fetchall()
        return [Analysis.model_validate_json(body) for (body,) in rows]

    def count(self) -> int:
        """Return how many analyses there are."""
        return int(self._count)
