"""Users with features and verdicts: rows, Parquet by ``is_anomaly``, the report."""

import json
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from batch_layer.security.files import sync, write_parquet
from batch_layer.security.models import Verdicts
from contracts.views import USER_SCHEMA

TOP_ANOMALIES = 20

_REPORTED = ("total_events", "avg_threat_score", "unique_ips", "failed_auth_rate")


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of ``anomaly_report.json``."""

    total_users: int
    anomalous_users: int
    top_anomalies: list[dict[str, Any]]
    notes: list[str]
    segments: list[dict[str, Any]] = field(default_factory=list)
    model: dict[str, Any] = field(default_factory=dict)
    drift: dict[str, Any] = field(default_factory=dict)

    @property
    def anomaly_rate(self) -> float:
        """Anomalous users of all users; 0 when there are none."""
        return self.anomalous_users / self.total_users if self.total_users else 0.0

    def to_json(self) -> str:
        """Return the file's text."""
        body = {
            "total_users": self.total_users,
            "anomalous_users": self.anomalous_users,
            "anomaly_rate": self.anomaly_rate,
            "top_anomalies": self.top_anomalies,
            "notes": self.notes,
            "segments": self.segments,
            "model": self.model,
            "drift": self.drift,
        }
        return json.dumps(body, indent=1) + "\n"


def user_rows(features: pa.Table, verdicts: Verdicts) -> pa.Table:
    """Join features and verdicts: ``USER_SCHEMA``, in the order of ``features``."""
    columns = {name: features[name] for name in features.column_names}
    columns |= {
        "anomaly_score": pa.array(verdicts.scores, pa.float64()),
        "anomaly_score_normalized": pa.array(verdicts.normalized, pa.float64()),
        "cluster": pa.array(verdicts.clusters, pa.int32()),
        "reasons": pa.array([json.dumps(reasons) for reasons in verdicts.reasons], pa.string()),
    }
    return pa.table([columns[name] for name in USER_SCHEMA.names], schema=USER_SCHEMA)


def write_users(folder: Path, users: pa.Table, verdicts: Verdicts) -> None:
    """Write users to ``is_anomaly=0|1`` and, last, ``_SUCCESS``; what was there is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "_SUCCESS").unlink(missing_ok=True)
    attempt = uuid.uuid4().hex
    for value in (0, 1):
        part = folder / f"is_anomaly={value}"
        shutil.rmtree(part, ignore_errors=True)
        rows = users.filter(pa.array(verdicts.is_anomaly == bool(value)))
        if rows.num_rows == 0:
            continue
        part.mkdir()
        path = part / f"part-00000-{attempt}.parquet"
        write_parquet(path, rows, USER_SCHEMA)
        sync(path)
    (folder / "_SUCCESS").touch()


def make_report(users: pa.Table, verdicts: Verdicts, notes: Iterable[str]) -> Report:
    """Sum up: how many users, how many anomalous, which ones most."""
    anomalous = np.flatnonzero(verdicts.is_anomaly)
    ranked = anomalous[np.argsort(-verdicts.normalized[anomalous], kind="stable")]
    top = []
    for row in ranked[:TOP_ANOMALIES].tolist():
        entry: dict[str, Any] = {
            "user": users["user"][row].as_py(),
            "anomaly_score_normalized": float(verdicts.normalized[row]),
        }
        entry |= {name: users[name][row].as_py() for name in _REPORTED}
        top.append(entry | {"is_anomaly": True})
    return Report(
        total_users=users.num_rows,
        anomalous_users=len(anomalous),
        top_anomalies=top,
        notes=list(notes),
        segments=_segments(verdicts),
        model=_model(verdicts),
        drift={
            "against": verdicts.drift_against,
            "features": {name: round(index, 4) for name, index in verdicts.drift.items()},
            "drifted": verdicts.drifted,
        },
    )


def _segments(verdicts: Verdicts) -> list[dict[str, Any]]:
    """Return number, name, users now and profile of each segment, largest first."""
    if verdicts.model is None:
        return []
    found = [
        {
            "cluster": segment.id,
            "name": segment.name,
            "users": int((verdicts.clusters == segment.id).sum()),
            "profile": segment.profile,
        }
        for segment in verdicts.model.segments
    ]
    return sorted(found, key=lambda segment: (-segment["users"], segment["cluster"]))


def _model(verdicts: Verdicts) -> dict[str, Any]:
    model = verdicts.model
    if model is None:
        return dict(verdicts.parameters)
    return verdicts.parameters | {
        "trained_in": model.run_id,
        "trained_on_users": model.users,
        "fingerprint": model.fingerprint,
        "metrics": model.metrics,
    }


def write_report(path: Path, report: Report) -> None:
    """Write ``anomaly_report.json`` in one step."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    draft.write_text(report.to_json(), encoding="utf-8")
    sync(draft)
    draft.replace(path)
