"""Evidence records: the fields of fetched rows that sentences need, under stable names."""

from typing import Any

from contracts.alerts import Alert
from contracts.api import AnomalyRecord, EventRecord, UserAnomaly
from contracts.events import AUTH_EVENT_TYPES, USER_LOGIN_FAILED
from genai_assistant.evidence import Record

DETAIL_FIELDS = ("hostname", "geo_location", "file_path", "process_name", "domain", "user_agent")
MAX_REASONS = 5
MAX_IDS = 10


def event_record(event: EventRecord) -> Record:
    """Return an event with the context an analyst looks at first."""
    extra: dict[str, Any] = event.model_extra or {}
    metadata = extra.get("metadata")
    details = metadata if isinstance(metadata, dict) else {}
    return {
        "event_id": event.event_id,
        "user": event.user,
        "timestamp": event.timestamp,
        "event_type": event.event_type,
        "status": event_status(event),
        "source_ip": source_address(event),
        "destination_ip": extra.get("destination_ip"),
        "anomaly_score": event.anomaly_score,
        "is_anomaly": event.is_anomaly,
        "layer": event.source,
        **{name: details[name] for name in DETAIL_FIELDS if details.get(name) is not None},
    }


def event_status(event: EventRecord) -> str | None:
    """Return ``success``, ``failed``...; a user-activity event tells it by its type."""
    status = (event.model_extra or {}).get("status")
    if isinstance(status, str):
        return status
    return "failed" if event.event_type == USER_LOGIN_FAILED else None


def source_address(event: EventRecord) -> str | None:
    """Return where an event came from, in either topic's spelling."""
    extra = event.model_extra or {}
    address = extra.get("source_ip") or extra.get("ipAddress")
    return address if isinstance(address, str) else None


def is_failed_login(event: EventRecord) -> bool:
    """Say whether an event is an authentication that did not succeed."""
    return event.event_type in AUTH_EVENT_TYPES and event_status(event) == "failed"


def anomaly_record(anomaly: AnomalyRecord) -> Record:
    """Return an anomalous event with its reasons."""
    return {
        "event_id": anomaly.event_id,
        "user": anomaly.user,
        "timestamp": anomaly.timestamp,
        "event_type": anomaly.event_type,
        "source_ip": anomaly.source_ip,
        "anomaly_score": anomaly.anomaly_score,
        "reasons": anomaly.reasons[:MAX_REASONS],
        "layer": anomaly.source,
    }


def alert_record(alert: Alert) -> Record:
    """Return an alert with the first of its evidence."""
    return {
        "alert_id": alert.alert_id,
        "user": alert.user_id,
        "alert_type": alert.alert_type,
        "severity": alert.severity,
        "description": alert.description,
        "event_count": alert.event_count,
        "timestamp": alert.timestamp,
        "first_seen": alert.first_seen,
        "last_seen": alert.last_seen,
        "resolved": alert.resolved,
        "rule_id": alert.rule_id,
        "techniques": alert.techniques,
        "source_ips": alert.source_ips[:MAX_IDS],
        "event_ids": alert.event_ids[:MAX_IDS],
    }


def verdict_record(verdict: UserAnomaly) -> Record:
    """Return a user's batch verdict with what set the user apart."""
    return {
        "user": verdict.user,
        "is_anomaly": verdict.is_anomaly,
        "anomaly_score_normalized": verdict.anomaly_score_normalized,
        "total_events": verdict.total_events,
        "unique_ips": verdict.unique_ips,
        "failed_auth_rate": verdict.failed_auth_rate,
        "first_seen": verdict.first_seen,
        "last_seen": verdict.last_seen,
        "run_id": verdict.run_id,
        "reasons": [reason.model_dump() for reason in verdict.reasons[:MAX_REASONS]],
    }
