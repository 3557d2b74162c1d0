"""How much a user deserves attention: 0..1, from what both layers hold.

``risk = 1 - 1 / sqrt(1 + evidence)``: none without evidence, always below 1, and every further piece
of evidence raises it, so users with dozens of alerts still rank. ``evidence`` is the sum of

* batch: the run's normalised score of the user, times ``ANOMALOUS_WEIGHT`` where the run calls the
  user anomalous, else times ``ORDINARY_WEIGHT``;
* realtime: the highest score among the user's anomalous events since the seam, times
  ``ANOMALOUS_WEIGHT``;
* each alert that is neither resolved nor suppressed: the weight of its severity, halved for every
  ``HALF_LIFE_MS`` between it and the newest event.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from serving_layer.cases.states import Cases
from serving_layer.views.query import EventFilter
from serving_layer.views.reads import AlertFilter
from serving_layer.views.snapshot import Snapshot

ANOMALOUS_WEIGHT = 2.0
ORDINARY_WEIGHT = 0.5
SEVERITY_WEIGHT = {"LOW": 0.1, "MEDIUM": 0.3, "HIGH": 1.0, "CRITICAL": 3.0}
"""About three alerts of a severity weigh as much as one of the next."""
HALF_LIFE_MS = 24 * 3_600_000

_OPEN = AlertFilter(resolved=False, suppressed=False)


@dataclass(frozen=True, slots=True)
class Risk:
    """A user's risk and what it is made of."""

    user: str
    risk: float
    batch_score: float
    is_anomaly: bool
    realtime_score: float
    open_alerts: Mapping[str, int]
    """Number by severity."""
    alert_evidence: float
    """What the open alerts weigh together, by severity and age."""


@dataclass(slots=True)
class _Waiting:
    """Open alerts of a user."""

    numbers: dict[str, int] = field(default_factory=dict)
    evidence: float = 0.0


def alert_weight(severity: str, age_ms: int) -> float:
    """Return what one open alert weighs; one from the future is as new as can be.

    Examples:
        >>> alert_weight("HIGH", 0), alert_weight("HIGH", HALF_LIFE_MS), alert_weight("LOW", 0)
        (1.0, 0.5, 0.1)
    """
    return float(SEVERITY_WEIGHT[severity] * 0.5 ** (max(age_ms, 0) / HALF_LIFE_MS))


def risk_from(batch: float, is_anomaly: bool, realtime: float, alert_evidence: float) -> float:
    """Return the risk that the parts make, see above.

    Examples:
        >>> risk_from(0.0, False, 0.0, 0.0), risk_from(0.0, False, 0.0, 3.0)
        (0.0, 0.5)
    """
    evidence = batch * (ANOMALOUS_WEIGHT if is_anomaly else ORDINARY_WEIGHT)
    evidence += realtime * ANOMALOUS_WEIGHT + alert_evidence
    return 1 - 1 / math.sqrt(1 + evidence)


def risk_of(snapshot: Snapshot, cases: Cases, user: str) -> Risk:
    """Return one user's risk; 0 for an unknown one."""
    wanted = EventFilter(user=user, anomalies_only=True)
    realtime = 0.0
    for index in snapshot.realtime.indexes:
        found = index.select(wanted, None, len(index))
        if len(found):
            realtime = max(realtime, float(np.nanmax(index.columns.anomaly_score[found])))
    waiting = _open_alerts(snapshot, cases, user).get(user, _Waiting())
    return _risk(snapshot, user, realtime, waiting)


def ranked(snapshot: Snapshot, cases: Cases) -> list[Risk]:
    """Return every user that either layer has reason to name, highest risk first, then by name.

    These are the run's users, those with anomalous events since the seam, and those with open
    alerts.
    """
    realtime = _realtime_scores(snapshot)
    alerts = _open_alerts(snapshot, cases)
    users = {*snapshot.batch.users.names(), *realtime, *alerts}
    risks = [
        _risk(snapshot, user, realtime.get(user, 0.0), alerts.get(user, _Waiting()))
        for user in users
    ]
    risks.sort(key=lambda each: (-each.risk, each.user))
    return risks


def _risk(snapshot: Snapshot, user: str, realtime: float, waiting: _Waiting) -> Risk:
    score, is_anomaly = snapshot.batch.users.score(user)
    return Risk(
        user=user,
        risk=round(risk_from(score, is_anomaly, realtime, waiting.evidence), 6),
        batch_score=score,
        is_anomaly=is_anomaly,
        realtime_score=realtime,
        open_alerts=waiting.numbers,
        alert_evidence=round(waiting.evidence, 6),
    )


def _realtime_scores(snapshot: Snapshot) -> dict[str, float]:
    """Return the highest score among each user's anomalous realtime events."""
    scores: dict[str, float] = {}
    for index in snapshot.realtime.indexes:
        codes = index.columns.user[index.anomalies].tolist()
        found = index.columns.anomaly_score[index.anomalies].tolist()
        for code, score in zip(codes, found, strict=True):
            user = index.interners.user.text(code)
            if user is not None and score > scores.get(user, 0.0):
                scores[user] = score
    return scores


def _open_alerts(snapshot: Snapshot, cases: Cases, user: str | None = None) -> dict[str, _Waiting]:
    found: dict[str, _Waiting] = {}
    newest_ms = _newest_ms(snapshot)
    for alerts in (snapshot.batch.alerts, snapshot.realtime.alerts):
        for entry in alerts.of(user):
            record = entry.record
            if _OPEN.matches(record, cases):
                waiting = found.setdefault(record["user_id"], _Waiting())
                severity = record["severity"]
                waiting.numbers[severity] = waiting.numbers.get(severity, 0) + 1
                waiting.evidence += alert_weight(severity, newest_ms - record["timestamp"])
    return found


def _newest_ms(snapshot: Snapshot) -> int:
    """Return the time of the newest event, so that a replayed log ranks as it did when new.

    Never later than now: one event from the future would make every alert old.
    """
    indexes = [*snapshot.batch.indexes, *snapshot.realtime.indexes]
    # Columns are in the merged order, newest first.
    firsts = [-int(index.columns.negative_timestamp[0]) for index in indexes if len(index)]
    return min(max(firsts, default=0), time.time_ns() // 1_000_000)
