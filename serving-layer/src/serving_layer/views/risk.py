"""How much a user deserves attention: 0..1, from what both layers hold.

``risk = 1 - (1 - batch) (1 - realtime) (1 - alert_1) (1 - alert_2) ...``, the chance that at least one
signal is right if each part were a probability of its own (noisy-or):

* batch: the run's normalised score of the user, times ``ANOMALOUS_WEIGHT`` where the run calls the
  user anomalous, else times ``ORDINARY_WEIGHT``;
* realtime: the highest score among the user's anomalous events since the seam, times
  ``ANOMALOUS_WEIGHT``;
* each alert that is neither resolved nor suppressed: the weight of its severity.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from serving_layer.cases.states import Cases
from serving_layer.views.query import EventFilter
from serving_layer.views.reads import AlertFilter
from serving_layer.views.snapshot import Snapshot

ANOMALOUS_WEIGHT = 0.6
ORDINARY_WEIGHT = 0.2
SEVERITY_WEIGHT = {"LOW": 0.05, "MEDIUM": 0.15, "HIGH": 0.35, "CRITICAL": 0.6}

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


def risk_of(snapshot: Snapshot, cases: Cases, user: str) -> Risk:
    """Return one user's risk; 0 for an unknown one."""
    wanted = EventFilter(user=user, anomalies_only=True)
    realtime = 0.0
    for index in snapshot.realtime.indexes:
        found = index.select(wanted, None, len(index))
        if len(found):
            realtime = max(realtime, float(np.nanmax(index.columns.anomaly_score[found])))
    return _risk(snapshot, user, realtime, _open_alerts(snapshot, cases, user).get(user, {}))


def ranked(snapshot: Snapshot, cases: Cases) -> list[Risk]:
    """Return every user that either layer has reason to name, highest risk first, then by name.

    These are the run's users, those with anomalous events since the seam, and those with open
    alerts.
    """
    realtime = _realtime_scores(snapshot)
    alerts = _open_alerts(snapshot, cases)
    users = {*snapshot.batch.users.names(), *realtime, *alerts}
    risks = [_risk(snapshot, user, realtime.get(user, 0.0), alerts.get(user, {})) for user in users]
    risks.sort(key=lambda each: (-each.risk, each.user))
    return risks


def _risk(snapshot: Snapshot, user: str, realtime: float, open_alerts: Mapping[str, int]) -> Risk:
    score, is_anomaly = snapshot.batch.users.score(user)
    calm = 1 - score * (ANOMALOUS_WEIGHT if is_anomaly else ORDINARY_WEIGHT)
    calm *= 1 - realtime * ANOMALOUS_WEIGHT
    for severity, number in open_alerts.items():
        calm *= (1 - SEVERITY_WEIGHT[severity]) ** number
    return Risk(user, round(1 - calm, 6), score, is_anomaly, realtime, open_alerts)


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


def _open_alerts(
    snapshot: Snapshot, cases: Cases, user: str | None = None
) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for alerts in (snapshot.batch.alerts, snapshot.realtime.alerts):
        for entry in alerts.merged:
            record = entry.record
            if user in (None, record["user_id"]) and _OPEN.matches(record, cases):
                counts = found.setdefault(record["user_id"], {})
                counts[record["severity"]] = counts.get(record["severity"], 0) + 1
    return found
