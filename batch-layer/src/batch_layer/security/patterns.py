"""User-behaviour patterns: what kind of activity a run sees in each user, for `analytics-insights`.

A user's pattern is published when it is new or has changed since the last run whose patterns were
published; the users files of the run hold everybody. Records wait in the run's folder until the
broker has acknowledged them, so a broker that is away delays them and loses none. A record that is
sent twice has the same ``patternId``.

::

    insights/patterns.parquet  the pattern of every user
    insights/pending.jsonl     records to send; renamed to sent.jsonl when they were
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from batch_layer.security.files import sync
from batch_layer.security.models import NORMALIZED_THRESHOLD, Verdicts
from batch_layer.security.scaling import MODEL_FEATURES, model_input
from contracts import lake as lay_out
from contracts.views import FEATURES, PatternType, UserPattern

PATTERN_SCHEMA = pa.schema(
    [
        ("user", pa.string()),
        ("pattern_type", pa.string()),
        ("segment", pa.string()),
        ("risk_score", pa.float64()),
    ]
)

_UNUSUAL = 3.0
"""Robust standard deviations from which activity counts as high, or as off hours."""

_LARGEST = 10.0
_HALF_EVIDENCE = 20
_RISK_STEP = 0.05

Floats = NDArray[np.float64]


def patterns_of(
    features: pa.Table, verdicts: Verdicts, run_id: str, timestamp: int
) -> list[UserPattern]:
    """Return the pattern of each user, in the order of ``features``.

    Args:
        features: ``FEATURE_SCHEMA``, one row per user.
        verdicts: What the run says of them.
        run_id: The run.
        timestamp: When it judged, Unix ms.
    """
    if verdicts.model is None:
        return []
    standard = verdicts.model.scaling.standardise(model_input(features))
    names = {segment.id: segment.name for segment in verdicts.model.segments}
    kinds, clarity = _kinds(verdicts, standard)
    events = features["total_events"].to_numpy()
    confidence = clarity * events / (events + _HALF_EVIDENCE)
    rows = features.select(["user", *FEATURES]).to_pylist()
    return [
        UserPattern(
            user_id=(user := row.pop("user")),
            pattern_id=sha256(f"{run_id}\0{user}".encode()).hexdigest()[:32],
            pattern_type=kinds[i],
            confidence=round(float(confidence[i]), 4),
            timestamp=timestamp,
            features=row,
            user_segment=names[int(verdicts.clusters[i])],
            risk_score=round(float(verdicts.normalized[i]), 4),
            run_id=run_id,
        )
        for i, row in enumerate(rows)
    ]


def _kinds(verdicts: Verdicts, standard: Floats) -> tuple[list[PatternType], Floats]:
    """Return each user's type, and how clear it is, .5 to 1."""
    limit = NORMALIZED_THRESHOLD[verdicts.parameters["algorithm"]]
    risk = verdicts.normalized
    above = (risk - limit) / (1 - limit)
    below = (limit - risk) / limit
    busy = standard[:, MODEL_FEATURES.index("events_per_day")]
    night = standard[:, MODEL_FEATURES.index("unusual_hour_rate")]
    kinds: list[PatternType] = []
    margins = []
    for i in range(len(risk)):
        kind: PatternType = "NORMAL"
        margin = below[i]
        if verdicts.is_anomaly[i]:
            kind, margin = "SUSPICIOUS", above[i]
        elif busy[i] >= _UNUSUAL:
            kind, margin = "HIGH_ACTIVITY", (busy[i] - _UNUSUAL) / (_LARGEST - _UNUSUAL)
        elif night[i] >= _UNUSUAL:
            kind, margin = "OFF_HOURS", (night[i] - _UNUSUAL) / (_LARGEST - _UNUSUAL)
        kinds.append(kind)
        margins.append(margin)
    return kinds, 0.5 + 0.5 * np.clip(margins, 0, 1)


def write_patterns(lake: Path, run_id: str, patterns: list[UserPattern], before: str | None) -> int:
    """Write a run's patterns, and the records to send: those that differ from ``before``'s.

    Args:
        lake: The lake's root.
        run_id: The run.
        patterns: One per user.
        before: The run served so far.

    Returns:
        The number of records to send.
    """
    folder = _folder(lake, run_id)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "user": pattern.user_id,
            "pattern_type": pattern.pattern_type,
            "segment": pattern.user_segment,
            "risk_score": pattern.risk_score,
        }
        for pattern in patterns
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=PATTERN_SCHEMA), folder / "patterns.parquet")
    known = _sent_patterns(lake, before)
    changed = [pattern for pattern in patterns if _differs(pattern, known.get(pattern.user_id))]
    path = folder / "pending.jsonl"
    with path.open("wb") as file:
        file.writelines(pattern.to_wire() + b"\n" for pattern in changed)
    sync(path)
    return len(changed)


def _sent_patterns(lake: Path, run_id: str | None) -> dict[str, tuple[str, str, float]]:
    """Return what was said last of each user; nothing when that run's records were not sent."""
    if run_id is None or not (_folder(lake, run_id) / "sent.jsonl").exists():
        return {}
    table = pq.ParquetFile(_folder(lake, run_id) / "patterns.parquet").read()
    return {row["user"]: tuple(list(row.values())[1:]) for row in table.to_pylist()}


def _differs(pattern: UserPattern, known: tuple[str, str, float] | None) -> bool:
    if known is None:
        return True
    kind, segment, risk = known
    moved = abs(pattern.risk_score - risk) >= _RISK_STEP
    return moved or (kind, segment) != (pattern.pattern_type, pattern.user_segment)


def is_pending(lake: Path, run_id: str) -> bool:
    """Say whether a run's records are still to be sent, be they none."""
    return (_folder(lake, run_id) / "pending.jsonl").exists()


def pending(lake: Path, run_id: str) -> Iterator[tuple[bytes, bytes]]:
    """Return key and value of each record that a run has still to send."""
    path = _folder(lake, run_id) / "pending.jsonl"
    if not is_pending(lake, run_id):
        return
    with path.open("rb") as file:
        for line in file:
            value = line.rstrip(b"\n")
            yield UserPattern.model_validate_json(value).user_id.encode(), value


def mark_sent(lake: Path, run_id: str) -> None:
    """Note that the broker has all records of a run."""
    path = _folder(lake, run_id) / "pending.jsonl"
    path.replace(path.with_name("sent.jsonl"))


def _folder(lake: Path, run_id: str) -> Path:
    return lake / lay_out.run_directory(run_id) / "insights"
