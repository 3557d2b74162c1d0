"""``explain=true``: what each layer says, and when and why one overruled the other."""

from dataclasses import asdict
from typing import Any

from contracts.api import UserAnomaly
from contracts.lake import SECURITY
from contracts.views import Manifest
from serving_layer.changed_minds import Exchange
from serving_layer.errors import RunError
from serving_layer.services import Services
from serving_layer.views.alert_list import AlertEntry
from serving_layer.views.changes import Change
from serving_layer.views.loading import run_users
from serving_layer.views.query import EventFilter
from serving_layer.views.reads import Row, count, event_by_id, event_page
from serving_layer.views.rendering import Body, anomaly_bodies
from serving_layer.views.snapshot import Snapshot
from serving_layer.views.streams import stream_name

_NEWEST = 5
_TOLD_FEATURES = 5
_MOVED_SHARE = 0.1


def explained_event(services: Services, snapshot: Snapshot, row: Row) -> Body:
    """Return both layers' words on an event."""
    [body] = anomaly_bodies([row])
    changed = services.changed_minds.of_event(body["event_id"])
    word = {
        "says": _verdict(row.is_anomaly),
        "anomaly_score": body["anomaly_score"],
        "reasons": body["reasons"],
    }
    other = None if changed is None else _before(changed[1])
    name, seam = stream_name(row.stream), snapshot.batch.seam.get(row.stream, 0)
    batch: Body
    realtime: Body
    if row.source == "batch":
        batch = word | _run(snapshot)
        realtime = other or _silent(
            f"offset {row.offset} of {name} lies below the seam {seam}: the run's word counts, and "
            "the realtime layer is not known to have said otherwise"
        )
    else:
        batch = other or _silent(
            f"offset {row.offset} of {name} lies at or above the seam {seam}: no served run has "
            "judged it yet"
        )
        realtime = word
    user = snapshot.batch.users.get(body["user"])
    return {
        "batch": batch,
        "realtime": realtime,
        "user": None if user is None else _user_word(user),
        "change": None if changed is None else _change(*changed),
        "changes_known_since": services.changed_minds.since,
    }


def explained_alert(snapshot: Snapshot, entry: AlertEntry) -> Body:
    """Return both layers' words on an alert, and on the events that are its evidence."""
    record, alert_id = entry.record, entry.alert_id
    seam = snapshot.batch.seam.get(entry.stream, 0)
    in_batch = snapshot.batch.alerts.by_id.get(alert_id)
    in_realtime = snapshot.realtime.alerts.by_id.get(alert_id)
    raised = f"rule {record['rule_id']} (version {record['rule_version']}): {record['description']}"
    where = f"offset {entry.offset} of {stream_name(entry.stream)}, seam {seam}"
    missing_run = f"raised at {where}: no served run owns it yet"
    missing_live = f"raised at {where}: the run owns it"
    evidence = []
    for event_id in record["event_ids"]:
        row = event_by_id(snapshot, event_id)
        if row is None:
            evidence.append({"event_id": event_id, "source": None})
        else:
            [body] = anomaly_bodies([row])
            names = ("event_id", "source", "timestamp", "source_ip", "anomaly_score", "reasons")
            said = {name: body[name] for name in names}
            evidence.append(said | {"says": _verdict(row.is_anomaly)})
    user = snapshot.batch.users.get(record["user_id"])
    return {
        "batch": {"says": raised, **_run(snapshot)} if in_batch else _silent(missing_run),
        "realtime": {"says": raised} if in_realtime else _silent(missing_live),
        "evidence": evidence,
        "user": None if user is None else _user_word(user),
        "change": None,
    }


def explained_user(services: Services, snapshot: Snapshot, user: str, live: Body) -> Body:
    """Return both layers' words on a user; blocks, because it reads the run before.

    Args:
        services: The application's parts.
        snapshot: What is served.
        user: The name.
        live: The speed layer's features, ``{"features": {...} or None}``.
    """
    verdict = snapshot.batch.users.get(user)
    batch = _silent("no run is served, or it does not know the user")
    if verdict is not None:
        batch = {**_user_word(verdict), **_run(snapshot)}
    since = live.get("features") if verdict is not None else None
    return {
        "batch": batch,
        "realtime": _realtime_word(snapshot, user),
        "since_run": _moved(verdict.features, since or {}) if verdict is not None else {},
        "change": _user_change(services, snapshot, user, verdict),
    }


def _realtime_word(snapshot: Snapshot, user: str) -> Body:
    realtime = EventFilter(user=user)
    events = count(snapshot, realtime).realtime
    if not events:
        return _silent("no event of the user since the seam")
    wanted = EventFilter(user=user, anomalies_only=True)
    anomalies = count(snapshot, wanted).realtime
    newest = event_page(snapshot, wanted, None, _NEWEST).items
    bodies = anomaly_bodies([row for row in newest if row.source == "realtime"])
    return {
        "says": _verdict(anomalies > 0),
        "events": events,
        "anomalous_events": anomalies,
        "newest": [
            {name: body[name] for name in ("event_id", "timestamp", "anomaly_score", "reasons")}
            for body in bodies
        ],
    }


def _user_change(
    services: Services, snapshot: Snapshot, user: str, now: UserAnomaly | None
) -> Body | None:
    """Return what the run before said of the user where that was something else."""
    before = _previous(services, snapshot)
    if before is None:
        return None
    try:
        was = run_users(services.settings.lake_dir / SECURITY, before).get(user)
    except RunError:
        return None  # retention took the run meanwhile, or it is damaged: nothing to compare with
    if (was and was.is_anomaly) == (now and now.is_anomaly):
        return None
    features = _moved(was.features, now.features) if was and now else {}
    told = [
        f"{name} {'rose' if (new or 0) > (old or 0) else 'fell'} from {_short(old)} to {_short(new)}"
        for name, (old, new) in list(features.items())[:_TOLD_FEATURES]
    ]
    return {
        "from": _silent(f"run {before.run_id} does not know the user")
        if was is None
        else {**_user_word(was), "run_id": before.run_id, "as_of": before.created_at},
        "to": _silent("the served run does not know the user")
        if now is None
        else {**_user_word(now), **_run(snapshot)},
        "reason": "; ".join(told) or "the user's features did not move: the model or others did",
        "features": features,
    }


def _previous(services: Services, snapshot: Snapshot) -> Manifest | None:
    served = snapshot.batch.manifest
    if served is None:
        return None
    place = (served.created_at, served.run_id)
    earlier = [each for each in services.earlier.manifests() if _place(each) < place]
    return max(earlier, key=_place, default=None)


def _place(manifest: Manifest) -> tuple[int, str]:
    return manifest.created_at, manifest.run_id


def _moved(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return features that moved by a tenth or more of the larger value, the most moved first."""
    shares: dict[str, float] = {}
    for name, old in before.items():
        new = after.get(name)
        if isinstance(old, int | float) and isinstance(new, int | float):
            share = abs(new - old) / (max(abs(old), abs(new)) or 1.0)
            if share >= _MOVED_SHARE:
                shares[name] = share
    order = sorted(shares, key=lambda name: (-shares[name], name))
    return {name: (before[name], after[name]) for name in order}


def _before(change: Change) -> Body:
    word = change.before
    return {
        "says": _verdict(word.is_anomaly),
        "anomaly_score": word.anomaly_score,
        "reasons": list(word.reasons),
        "run_id": word.run_id,
    }


def _change(exchange: Exchange, change: Change) -> Body:
    return {
        "at": exchange.at,
        "run_id": exchange.run_id,
        "kind": change.kind,
        "reason": change.reason(),
        "from": asdict(change.before),
        "to": None if change.after is None else asdict(change.after),
        "components": change.moved,
    }


def _user_word(user: UserAnomaly) -> Body:
    return {
        "says": _verdict(user.is_anomaly),
        "anomaly_score": user.anomaly_score_normalized,
        "reasons": [reason.model_dump() for reason in user.reasons],
        "run_id": user.run_id,
    }


def _run(snapshot: Snapshot) -> Body:
    manifest = snapshot.batch.manifest
    if manifest is None:
        return {}
    return {
        "run_id": manifest.run_id,
        "as_of": manifest.created_at,
        "scorer": manifest.scorer,
        "detection_version": manifest.detection_version,
    }


def _silent(why: str) -> Body:
    return {"says": None, "why": why}


def _verdict(is_anomaly: bool) -> str:
    return "anomalous" if is_anomaly else "ordinary"


def _short(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4g}"
