"""The users of the published run: features, scores, reasons."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from contracts.api import UserAnomaly
from contracts.views import FEATURES

_COPIED = (
    "user",
    "is_anomaly",
    "anomaly_score",
    "anomaly_score_normalized",
    "total_events",
    "avg_threat_score",
    "unique_ips",
    "failed_auth_rate",
    "cluster",
    "first_seen",
    "last_seen",
)


class UserTable:
    """One row per user, with ``USER_SCHEMA`` and ``is_anomaly``."""

    def __init__(self, table: pa.Table | None = None, run_id: str | None = None) -> None:
        self._table = table
        self._run_id = run_id
        self._rows: dict[str, int] = {}
        self._ranked: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._scores: npt.NDArray[np.float64] = np.empty(0)
        self._flags: npt.NDArray[np.bool_] = np.empty(0, np.bool_)
        if table is None:
            return
        scores = table["anomaly_score_normalized"].to_numpy()
        self._scores = np.clip(np.nan_to_num(np.asarray(scores, dtype=np.float64)), 0.0, 1.0)
        self._flags = np.asarray(table["is_anomaly"].to_numpy(), dtype=np.bool_)
        self._rows = {user: row for row, user in enumerate(table["user"].to_pylist())}
        order = pc.sort_indices(
            table, sort_keys=[("anomaly_score_normalized", "descending"), ("user", "ascending")]
        ).to_numpy()
        self._ranked = order[table["is_anomaly"].take(order).to_numpy()]

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def anomalous_count(self) -> int:
        return len(self._ranked)

    @property
    def table(self) -> pa.Table | None:
        """The rows as the run published them, None without a run."""
        return self._table

    def names(self) -> Iterable[str]:
        """Return every user that the run knows."""
        return self._rows.keys()

    def score(self, user: str) -> tuple[float, bool]:
        """Return a user's normalised score and verdict; 0 and False for an unknown one."""
        row = self._rows.get(user)
        return (0.0, False) if row is None else (float(self._scores[row]), bool(self._flags[row]))

    def get(self, user: str) -> UserAnomaly | None:
        """Return a user's verdict, or None for a user that the run does not know."""
        row = self._rows.get(user)
        return None if row is None else self._record(row)

    def anomalous(self, start: int, limit: int) -> list[UserAnomaly]:
        """Return anomalous users by falling score, ``limit`` of them from rank ``start``."""
        return [self._record(int(row)) for row in self._ranked[start : start + limit]]

    def _record(self, row: int) -> UserAnomaly:
        values: dict[str, Any] = self._table.slice(row, 1).to_pylist()[0]  # type: ignore[union-attr]
        return UserAnomaly(
            **{name: _plain(values.get(name)) for name in _COPIED},
            features={name: _plain(values.get(name)) for name in FEATURES},
            reasons=orjson.loads(values.get("reasons") or b"[]"),
            run_id=self._run_id,
        )


def _plain(value: float | str | None) -> float | str | None:
    """Return a value that JSON can hold: not-a-number becomes null."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
