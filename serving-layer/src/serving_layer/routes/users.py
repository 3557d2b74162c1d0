"""``/api/users``: everything both layers know of a user, and users by risk."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from contracts.api import UserAnomaly
from serving_layer import examples
from serving_layer.answers import alert_body, as_of, json_response, page_bytes
from serving_layer.errors import NotFoundError
from serving_layer.explanations import explained_user
from serving_layer.parameters import Cursor, Explain, Limit, ServicesDep, SnapshotDep
from serving_layer.services import Services
from serving_layer.speed_client import NotOwnedError, SpeedError
from serving_layer.views.profiles import profile
from serving_layer.views.query import EventFilter
from serving_layer.views.reads import AlertFilter, Row, alert_page, count, event_page, gathered
from serving_layer.views.rendering import anomaly_bodies
from serving_layer.views.risk import Risk, ranked, risk_of
from serving_layer.views.snapshot import Snapshot

router = APIRouter(prefix="/api/users", tags=["users"])

_PROFILE_EVENTS = 300
_MOST_LEFT_OUT = 3_000
"""Newest events that are passed over, in a burst of anomalies, to find what was usual before."""
_NEWEST = 10
_TIMELINE = 50
_MERGED = ("risk", "events", "profile", "anomalies", "alerts", "timeline")

_RISK = {
    "user": "manager",
    "risk": 0.492518,
    "batch_score": 0.94,
    "is_anomaly": True,
    "realtime_score": 0.0,
    "open_alerts": {"HIGH": 1},
    "alert_evidence": 1.0,
}
_USER = {
    "user": "manager",
    "complete": True,
    "incomplete_reason": None,
    "risk": _RISK,
    "events": {"count": 4211, "batch": 4200, "realtime": 11},
    "batch": {
        "source": "batch",
        "as_of": 1767225900000,
        "run_id": "r2",
        "verdict": examples.USER,
        "segment": "many addresses",
    },
    "live": {"source": "speed", "as_of": 1767225961000, "features": {"unique_ips": 57}},
    "profile": {
        "source": "merged",
        "as_of": 1767225961000,
        "freshness_seconds": 0.4,
        "events": 300,
        "hours": [0] * 24,
        "source_ips": [{"value": "10.0.0.7", "events": 281}],
    },
    "anomalies": [examples.ANOMALY],
    "alerts": [examples.ALERT],
    "timeline": [
        {
            "timestamp": 1767225600000,
            "kind": "alert",
            "id": "3f1c9a5be7d04c1b",
            "text": "HIGH: 3 failed logins of alice within 5 minutes",
            "source": "realtime",
        }
    ],
    "provenance": {
        **{part: {"source": "merged", "as_of": 1767225961000} for part in _MERGED},
        "batch": {"source": "batch", "as_of": 1767225900000},
        "live": {"source": "speed", "as_of": 1767225961000},
    },
}


@router.get("", responses=examples.answers(examples.page(_RISK)))
async def list_users(
    services: ServicesDep,
    snapshot: SnapshotDep,
    sort: Annotated[Literal["risk", "user"], Query(examples=["risk"])] = "risk",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List users by falling risk, or by name.

    These are the served run's users, and users with anomalous events since the seam or with open
    alerts. The parts of `risk` are in each row: `1 - 1 / sqrt(1 + evidence)`, where the evidence
    is `batch_score` times 2 (0.5 where the run calls the user ordinary), plus `realtime_score`
    times 2, plus `alert_evidence`: the open alerts, CRITICAL 3, HIGH 1, MEDIUM 0.3, LOW 0.1 each,
    halved for every day between the alert and the newest event. As of an earlier run it is that
    run's users and alerts, with what people have done about the alerts until now.
    """
    query = ("users", sort, *as_of(snapshot))
    after = services.cursors.decode(query, cursor) if cursor is not None else None
    users = await asyncio.to_thread(ranked, snapshot, services.cases)
    if sort == "user":
        users.sort(key=lambda each: each.user)
    if after is not None:
        users = [each for each in users if _position(each, sort) > tuple(after)]
    page = users[:limit]
    following = None
    if len(users) > limit:
        following = services.cursors.encode(query, _position(page[-1], sort))
    content = page_bytes([asdict(each) for each in page], following, snapshot, {})
    return Response(content, media_type="application/json")


def _position(each: Risk, sort: str) -> tuple[int | str, ...]:
    return (each.user,) if sort == "user" else (round(-each.risk * 1_000_000), each.user)


@router.get(
    "/{user_name:path}",
    responses=examples.answers(_USER, problems={404: "Neither layer knows this user."}),
)
async def read_user_page(
    services: ServicesDep,
    snapshot: SnapshotDep,
    user_name: Annotated[str, Path(min_length=1, max_length=256, examples=["manager"])],
    explain: Explain = False,
) -> Response:
    """Return what both layers know of a user; `provenance` says of each part whence and as of when.

    `live` is asked of the speed layer now, also as of an earlier run; where it does not answer,
    `reason` says why. What people did about alerts is as of now too.
    """
    live = await _live(services, user_name)
    body = await asyncio.to_thread(user_page, services, snapshot, user_name)
    if not body["events"]["count"] and not body["alerts"] and body["batch"]["verdict"] is None:
        raise NotFoundError(f"neither layer knows a user {user_name!r}")
    if explain:
        body["explain"] = await asyncio.to_thread(
            explained_user, services, snapshot, user_name, live
        )
    body["provenance"] |= {
        name: {"source": part["source"], "as_of": part["as_of"]}
        for name, part in (("batch", body["batch"]), ("live", live))
    }
    return json_response(body | {"live": live})


def user_page(services: Services, snapshot: Snapshot, user: str) -> dict[str, Any]:
    """Return the parts of a user's page that the snapshot holds."""
    wanted = EventFilter(user=user)
    anomalous = EventFilter(user=user, anomalies_only=True)
    anomalies = event_page(snapshot, anomalous, None, _NEWEST).items
    events = _newest_events(snapshot, wanted)
    alerts = alert_page(snapshot, AlertFilter(user=user), None, _NEWEST, services.cases).items
    counted = count(snapshot, wanted)
    manifest, verdict = snapshot.batch.manifest, snapshot.batch.users.get(user)
    stored = gathered(events, ("event_id", "raw"))
    bodies = [alert_body(entry.record, source, services.cases) for entry, source in alerts]
    held = _held(services, snapshot)
    return {
        "user": user,
        "complete": snapshot.complete,
        "incomplete_reason": snapshot.incomplete_reason,
        "risk": asdict(risk_of(snapshot, services.cases, user)),
        "events": counted.model_dump(include={"count", "batch", "realtime"}),
        "batch": {
            "source": "batch",
            "as_of": manifest.created_at if manifest else None,
            "run_id": snapshot.batch.run_id,
            "verdict": verdict.model_dump() if verdict else None,
            "segment": _segment(snapshot, verdict),
        },
        "profile": {
            **held,
            "freshness_seconds": services.tail.freshness_seconds() if snapshot.is_live else None,
            **profile(stored),
        },
        "anomalies": anomaly_bodies(anomalies),
        "alerts": bodies,
        "timeline": timeline(events[:_TIMELINE], stored, bodies),
        "provenance": dict.fromkeys(_MERGED, held),
    }


def _newest_events(snapshot: Snapshot, wanted: EventFilter) -> list[Row]:
    """Return the newest events of the timeline, and behind them ordinary ones for the profile."""
    newest = event_page(snapshot, wanted, None, _PROFILE_EVENTS).items
    if sum(row.is_anomaly for row in newest) > _PROFILE_EVENTS // 2:
        newest = event_page(snapshot, wanted, None, _PROFILE_EVENTS + _MOST_LEFT_OUT).items
    usual = [row for row in newest[_TIMELINE:] if not row.is_anomaly]
    return [*newest[:_TIMELINE], *usual][:_PROFILE_EVENTS]


def _held(services: Services, snapshot: Snapshot) -> dict[str, Any]:
    """Return where merged parts come from, and the time up to which they hold every event.

    Both views, in sync with the speed layer at ``as_of``; or one earlier run, made then.
    """
    manifest = snapshot.batch.manifest
    if not snapshot.is_live and manifest is not None:
        return {"source": "batch", "as_of": manifest.created_at}
    return {
        "source": "merged",
        "as_of": int((time.time() - services.tail.freshness_seconds()) * 1000),
    }


def _segment(snapshot: Snapshot, verdict: UserAnomaly | None) -> str | None:
    """Return the name of the run's segment that a user is in."""
    if verdict is None or verdict.cluster is None:
        return None
    return snapshot.batch.segments.get(verdict.cluster)


def timeline(
    events: Sequence[Row], stored: Sequence[Mapping[str, Any]], alerts: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return events and alerts as one list, newest first, each with its layer.

    Args:
        events: Where the events lie.
        stored: What is known of them, in the same order; more than these are left out.
        alerts: Alerts as clients see them.
    """
    entries = [
        {
            "timestamp": alert["timestamp"],
            "kind": "alert",
            "id": alert["alert_id"],
            "text": f"{alert['severity']}: {alert['description']}",
            "source": alert["source"],
        }
        for alert in alerts
    ]
    for row, values in zip(events, stored, strict=False):
        words = (values["event_type"], values["status"], values["source_ip"])
        entries.append(
            {
                "timestamp": values["timestamp"],
                "kind": "anomaly" if values["is_anomaly"] else "event",
                "id": values["event_id"],
                "text": " ".join(word for word in words if word is not None),
                "source": row.source,
            }
        )
    entries.sort(key=lambda each: -each["timestamp"])
    return entries[:_TIMELINE]


async def _live(services: Services, user: str) -> dict[str, Any]:
    """Return the features that the speed layer holds now, from the instance that saw most."""
    answers = await asyncio.gather(
        *(client.features(user) for client in services.tail.clients), return_exceptions=True
    )
    known = [answer for answer in answers if isinstance(answer, dict)]
    body: dict[str, Any] = {"source": "speed", "asked_at": int(time.time() * 1000)}
    if not known:
        failures = [
            error.detail
            for error in answers
            if isinstance(error, SpeedError) and not isinstance(error, NotOwnedError)
        ]
        reason = "; ".join(failures) or "no speed instance knows this user"
        return body | {"as_of": None, "features": None, "reason": reason}
    most = max(known, key=lambda features: features.get("total_events") or 0)
    features = {name: value for name, value in most.items() if name != "user"}
    return body | {
        "as_of": features.pop("last_seen", None),
        "first_seen": features.pop("first_seen", None),
        "features": features,
        "reason": None,
    }
