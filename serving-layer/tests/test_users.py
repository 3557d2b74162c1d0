"""A user's page and users by risk: both layers side by side, each with its source."""

import json
import time

import pytest

from contracts.lake import SECURITY
from serving_layer.testing import (
    START_MS,
    RunPartition,
    alert_record,
    event_record,
    publish_run,
    user_record,
)

TOPIC = "security-events"
ABOUT_THE_PAGE = {"user", "complete", "incomplete_reason", "provenance"}


@pytest.fixture(scope="module")
def api(shared):
    events = [event_record(o, user="bob" if o % 2 else "alice") for o in range(8)]
    events[6] = event_record(6, user="alice", is_anomaly=True, anomaly_score=0.9)
    part = shared.speed.partition(TOPIC, 0)
    part.alerts += [
        alert_record(TOPIC, 0, 1, user_id="bob", severity="CRITICAL"),
        alert_record(TOPIC, 0, 6, user_id="alice", severity="LOW"),
    ]
    users = [
        user_record("alice", score=0.1),
        user_record("eve", is_anomaly=True, score=0.9),
        user_record("quiet", score=0.0),
    ]
    run = RunPartition(TOPIC, 0, events[:4], 4, alerts=part.alerts[:1])
    manifest = publish_run(shared.lake, "r1", [run], users)
    report = shared.lake / SECURITY / manifest.report
    segments = [{"cluster": 1, "name": "many addresses", "users": 3, "profile": []}]
    report.write_text(json.dumps({**json.loads(report.read_text()), "segments": segments}))
    part.append(events)
    shared.speed.features["alice"] = {"user": "alice", "total_events": 4, "last_seen": START_MS + 6}
    return shared.start()


def test_a_page_shows_both_layers_with_source_and_freshness(api):
    body = api.json("/api/users/alice")

    assert body["events"] == {"count": 4, "batch": 2, "realtime": 2}
    assert (body["batch"]["run_id"], body["batch"]["as_of"]) == ("r1", START_MS)
    assert body["batch"]["verdict"]["anomaly_score_normalized"] == 0.1
    assert body["batch"]["segment"] == "many addresses"
    parts = body["provenance"]
    assert parts.keys() == body.keys() - ABOUT_THE_PAGE
    assert parts["batch"] == {"source": "batch", "as_of": START_MS}
    assert parts["live"] == {"source": "speed", "as_of": START_MS + 6}
    merged = [parts[name] for name in ("risk", "events", "profile", "anomalies", "alerts")]
    assert {each["source"] for each in merged} == {"merged"}
    assert 0 <= time.time() * 1000 - merged[0]["as_of"] < 60_000
    assert body["live"]["features"] == {"total_events": 4}
    assert (body["live"]["as_of"], body["live"]["reason"]) == (START_MS + 6, None)
    assert body["profile"]["source_ips"] == [{"value": "10.0.0.1", "events": 3}]
    assert body["profile"]["hours"][22] == 3
    assert [each["anomaly_score"] for each in body["anomalies"]] == [0.9]
    assert [(e["kind"], e["source"]) for e in body["timeline"]] == [
        ("alert", "realtime"), ("anomaly", "realtime"), ("event", "realtime"),
        ("event", "batch"), ("event", "batch"),
    ]  # fmt: skip


def test_a_user_of_one_layer_alone_has_a_page_that_says_what_is_missing(api):
    body = api.json("/api/users/bob")
    assert (body["batch"]["verdict"], body["batch"]["segment"]) == (None, None)
    assert body["live"]["features"] is None
    assert body["live"]["reason"] == "no speed instance knows this user"
    assert api.json("/api/users/eve")["events"]["count"] == 0

    assert api.get("/api/users/nobody").status_code == 404


def test_users_by_risk_page_by_cursor_and_name_what_it_is_made_of(api):
    first = api.json("/api/users", sort="risk", limit=2)
    second = api.json("/api/users", limit=2, cursor=first["next_cursor"], sort="risk")
    rows = first["data"] + second["data"]

    assert [each["user"] for each in rows] == ["bob", "alice", "eve", "quiet"]
    assert rows[0]["open_alerts"] == {"CRITICAL": 1}
    # A CRITICAL alert; an anomaly of 0.9 since the seam, a LOW alert, an ordinary batch score.
    assert rows[0]["risk"] == pytest.approx(1 - 1 / (1 + 3.0) ** 0.5, abs=1e-6)
    assert rows[1]["risk"] == pytest.approx(1 - 1 / (1 + 0.9 * 2 + 0.1 + 0.1 / 2) ** 0.5, abs=1e-6)
    assert [each["alert_evidence"] for each in rows] == [3.0, 0.1, 0.0, 0.0]
    assert api.json("/api/users/alice")["risk"] == rows[1]
    assert second["next_cursor"] is None
    assert [each["user"] for each in api.json("/api/users", sort="user")["data"]] == sorted(
        each["user"] for each in rows
    )


def test_a_resolved_alert_is_no_risk(api):
    alert = api.json("/api/alerts", user="bob")["data"][0]["alert_id"]
    steps = f"/api/alerts/{alert}/actions"
    api.http.post(steps, json={"action": "resolve", "by": "dana"})

    assert api.json("/api/users/bob")["risk"]["risk"] == 0.0
    api.http.post(steps, json={"action": "reopen", "by": "dana"})


def test_a_burst_of_anomalies_does_not_become_what_is_usual(api):
    part = api.speed.partition("user-events", 0)
    ordinary = [event_record(n, user="trudy") for n in range(120)]
    burst = [
        event_record(n, user="trudy", is_anomaly=True, source_ip="203.0.113.9")
        for n in range(120, 520)
    ]
    part.append(ordinary + burst)
    page = api.wait("/api/users/trudy", lambda body: body.get("events", {}).get("count") == 520)

    assert page["profile"]["source_ips"] == [{"value": "10.0.0.1", "events": 120}]
    assert {each["kind"] for each in page["timeline"]} == {"anomaly"}
