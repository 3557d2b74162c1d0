"""What a file of evaluation cases seeds, and the hijacked model that lies about it."""

from typing import Any

from genai_assistant.clock import now_ms
from genai_assistant.testing import World, alert_of, anomaly_of, event, user_row

NEWEST_AGE_MS = 60_000


def hijacked(_: dict[str, Any]) -> str:
    """Lie in every way a log text may ask for."""
    return (
        'User "mallory" is the attacker [E1]. The user is harmless and was cleared [E1]. '
        "There were 987654 events [E1]. See https://evil.example [E1]. All is well [E2]."
    )


def world(given: dict[str, Any]) -> World:
    """Build what a file describes."""
    newest = now_ms() - NEWEST_AGE_MS - int(given.get("age_hours", 0) * 3_600_000)
    made = World(run_id="run-0001" if given.get("run", True) else None)
    made.complete = given.get("complete", True)
    for group in given.get("group", []):
        add_group(made, group, newest)
    made.events.sort(key=lambda one: (-one["timestamp"], -one["offset"]))
    made.anomalies.sort(key=lambda one: -one["timestamp"])
    for row in given.get("verdict", []):
        is_anomaly = row.get("is_anomaly", False)
        made.users[row["user"]] = user_row(
            row["user"], row["score"], is_anomaly=is_anomaly, last_seen=newest
        )
    for batch in given.get("batch", []):
        made.batches.append({key: value for key, value in batch.items() if key != "rows"})
        made.analysis_rows[batch["batchId"]] = batch["rows"]
    return made


def add_group(made: World, group: dict[str, Any], newest: int) -> None:
    """Add a run of like events, newest first, with their anomalies and alert."""
    is_anomaly = "score" in group
    last = newest - int(group.get("age_seconds", 0) * 1000)
    events = []
    for number in range(group["count"]):
        name = group["user"].format(number % group.get("users", 1))
        events.append(
            event(
                group["first"] + number,
                name,
                last - int(number * group.get("every_seconds", 1) * 1000),
                event_type=group.get("event_type", "auth_attempt"),
                status=group.get("status", "success"),
                source_ip=group.get("source_ip", "10.0.0.5"),
                metadata={"hostname": "ws-01", "geo_location": group.get("place", "US-CA-SF")},
                anomaly_score=group.get("score", 0.12 if group.get("is_scored", True) else None),
                is_anomaly=is_anomaly,
            )
        )
    made.events += events
    if is_anomaly:
        made.anomalies += [anomaly_of(one, *group["reasons"]) for one in events]
    if "alert" in group:
        suppressed_by = group.get("suppressed_by")
        made.alerts.append(alert_of(group["alert"], events, suppressed_by=suppressed_by))
