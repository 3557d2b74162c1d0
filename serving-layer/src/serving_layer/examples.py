"""Example bodies of the OpenAPI document."""

from typing import Any

from pydantic import BaseModel

from serving_layer.exports import ARROW, CSV, PARQUET
from serving_layer.problems import MEDIA_TYPE, Problem

_EXPORTS = (CSV, PARQUET, ARROW)
"""What every list is also answered as, by ``Accept``."""

EVENT: dict[str, Any] = {
    "event_id": "evt_0f8fad5bd9cb469f",
    "timestamp": 1767225600000,
    "event_type": "auth_attempt",
    "user": "alice",
    "source_ip": "203.0.113.7",
    "status": "failed",
    "threat_score": 0.82,
    "metadata": {"geo_location": "RU-MOW-Moscow", "hostname": "alice-laptop"},
    "auth_details": {"auth_type": "password", "failure_reason": "invalid_password"},
    "anomaly_score": 0.97,
    "is_anomaly": True,
    "topic": "security-events",
    "partition": 2,
    "offset": 18231,
    "ingested_at": 1767225600041,
    "source": "realtime",
}
ANOMALY: dict[str, Any] = {
    "event_id": "evt_0f8fad5bd9cb469f",
    "user": "alice",
    "timestamp": 1767225600000,
    "event_type": "auth_attempt",
    "source_ip": "203.0.113.7",
    "anomaly_score": 0.97,
    "time_anomaly": 0.31,
    "ip_anomaly": 0.98,
    "location_anomaly": 0.99,
    "type_anomaly": 0.1,
    "failure_anomaly": 1.0,
    "device_anomaly": 0.0,
    "process_anomaly": 0.0,
    "port_anomaly": 0.0,
    "path_anomaly": 0.0,
    "volume_anomaly": 0.0,
    "reasons": ["first sight of 203.0.113.7", "never seen in RU-MOW-Moscow before"],
    "source": "realtime",
}
ALERT: dict[str, Any] = {
    "topic": "security-events",
    "partition": 2,
    "offset": 18231,
    "alert_id": "3f1c9a5be7d04c1b",
    "user_id": "alice",
    "alert_type": "SUSPICIOUS_LOGIN_PATTERN",
    "description": "3 failed logins of alice within 5 minutes",
    "timestamp": 1767225600000,
    "severity": "HIGH",
    "event_count": 3,
    "resolved": False,
    "rule_id": "failed-login-burst",
    "rule_version": "1",
    "first_seen": 1767225480000,
    "last_seen": 1767225600000,
    "event_ids": ["evt_0f8fad5bd9cb469f"],
    "source_ips": ["203.0.113.7"],
    "techniques": ["T1110"],
    "source": "realtime",
    "status": "acknowledged",
    "verdict": None,
    "assignee": "dana",
    "updated_at": 1767225660000,
    "updated_by": "dana",
    "suppressed_by": None,
}
ANALYSIS: dict[str, Any] = {
    "id": "ana_5c1e",
    "event_id": "evt_0f8fad5bd9cb469f",
    "alert_id": None,
    "user": "alice",
    "severity": "HIGH",
    "summary": "alice failed to log in from an address and a country never seen before.",
    "recommended_actions": ["Reset the password", "Ask alice whether she travels"],
    "techniques": ["T1110"],
    "confidence": 0.9,
    "mode": "evidence",
    "created_at": 1767225603000,
}
USER: dict[str, Any] = {
    "user": "manager",
    "is_anomaly": True,
    "anomaly_score": 0.71,
    "anomaly_score_normalized": 0.94,
    "total_events": 4211,
    "avg_threat_score": 0.42,
    "unique_ips": 57,
    "failed_auth_rate": 0.31,
    "cluster": 2,
    "first_seen": 1767139200000,
    "last_seen": 1767225600000,
    "features": {"unique_ips": 57.0, "failed_auth_rate": 0.31},
    "reasons": [{"feature": "unique_ips", "value": 57.0, "typical": [1.0, 3.0, 8.0]}],
    "run_id": "20260101-000500-1a2b",
}
REPORT: dict[str, Any] = {
    "total_users": 14,
    "anomalous_users": 1,
    "anomaly_rate": 0.0714,
    "top_anomalies": [
        {
            "user": "manager",
            "anomaly_score_normalized": 0.94,
            "total_events": 4211,
            "avg_threat_score": 0.42,
            "unique_ips": 57,
            "failed_auth_rate": 0.31,
            "is_anomaly": True,
        }
    ],
}
COUNT: dict[str, Any] = {"count": 1000000, "batch": 950000, "realtime": 50000, "complete": True}
SUMMARY: dict[str, Any] = {
    "totalEvents": 1000000,
    "highThreatEvents": 20411,
    "averageThreatScore": 0.213,
    "totalAnalyses": 40,
    "totalAnomalies": 20004,
    "batchEvents": 950000,
    "realtimeEvents": 50000,
    "complete": True,
}
CONSISTENCY: dict[str, Any] = {
    "missing": 0,
    "double": 0,
    "run_id": "20260101-000500-1a2b",
    "complete": True,
    "partitions": [
        {
            "topic": "security-events",
            "partition": 0,
            "first_offset": 0,
            "seam": 950000,
            "next_offset": 1000010,
            "batch_rows": 949990,
            "realtime_rows": 50005,
            "dead_letters": 12,
            "duplicates": 3,
            "skipped": 0,
            "missing": 0,
            "double": 0,
        }
    ],
}


def page(row: dict[str, Any]) -> dict[str, Any]:
    """Return a page that holds one row."""
    return {
        "data": [row],
        "next_cursor": "q83vASNFZ4mrze8BI0VniavN7w",
        "complete": True,
        "incomplete_reason": None,
        "sources": {"batch": 0, "realtime": 1},
    }


def answers(
    example: Any,  # noqa: ANN401 - any JSON
    model: type[BaseModel] | None = None,
    *,
    status: int = 200,
    problems: dict[int, str] | None = None,
    is_list: bool = False,
) -> dict[int | str, dict[str, Any]]:
    """Return what a route may answer, for ``responses=``.

    Args:
        example: Body of a good answer.
        model: Its type.
        status: Its status.
        problems: Status and description of what may go wrong, besides 422 and 503.
        is_list: Whether it is also answered as CSV, Parquet and Arrow; a body with ``data`` always is.
    """
    good: dict[str, Any] = {
        "description": "The answer.",
        "content": {"application/json": {"example": example}},
    }
    if is_list or (isinstance(example, dict) and "data" in example):
        good["content"] |= {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in _EXPORTS
        }
    if model is not None:
        good["model"] = model
    responses: dict[int | str, dict[str, Any]] = {status: good}
    known = {422: "A parameter is wrong; it is named.", 503: "No view is loaded yet."}
    for code, text in (known | (problems or {})).items():
        responses[code] = {
            "description": text,
            "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
        }
    return responses
