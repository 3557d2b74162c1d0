"""What each layer says, and the change of mind when a run is published."""

import pytest

from serving_layer.testing import (
    RunPartition,
    alert_record,
    event_record,
    publish_run,
    user_record,
)

TOPIC = "security-events"


def anomalous(offset, **values):
    return event_record(offset, is_anomaly=True, anomaly_score=0.9, **values)


@pytest.fixture(scope="module")
def api(shared):
    """Run r1 owns 0..1; live came 2..6; then r2 takes over 2..4 and sees three of them otherwise."""
    live = [event_record(0), anomalous(1), anomalous(2), event_record(3), anomalous(4),
            anomalous(5), event_record(6)]  # fmt: skip
    alerts = [alert_record(TOPIC, 0, offset) for offset in (2, 4, 5)]
    first = RunPartition(TOPIC, 0, live[:2], 2)
    users = [user_record("alice", score=0.2), user_record("bob", score=0.1)]
    publish_run(shared.lake, "r1", [first], users)
    part = shared.speed.partition(TOPIC, 0)
    part.append(live)
    part.alerts.extend(alerts)
    stack = shared.start()
    stack.wait("/api/events/count", lambda body: body["count"] == 7)
    judged = [*live[:2], event_record(2, time_anomaly=0.0), anomalous(3)]  # 4 was a duplicate
    second = RunPartition(TOPIC, 0, judged, 5, alerts=alerts[:1])
    users = [user_record("alice", is_anomaly=True, score=0.9) | {"unique_ips": 57}]
    publish_run(stack.lake, "r2", [second], users, created_at=1_700_000_900_000)
    stack.wait("/api/runs", lambda body: body["current"] == "r2")
    stack.wait("/api/metrics", lambda body: body["changed_minds"] == 3)
    return stack


def explained(api, path):
    return api.json(path, explain=True)["explain"]


def test_an_event_of_the_realtime_view_has_no_word_of_the_batch_layer(api):
    told = explained(api, "/api/anomalies/evt_000000000005")

    assert (told["realtime"]["says"], told["batch"]["says"]) == ("anomalous", None)
    assert "at or above the seam 5" in told["batch"]["why"]
    assert told["change"] is None
    assert told["user"]["says"] == "anomalous"


def test_an_event_that_a_run_cleared_is_explained(api):
    assert api.get("/api/anomalies/evt_000000000002").status_code == 404
    told = explained(api, "/api/anomalies/evt_000000000002")

    assert (told["realtime"]["says"], told["batch"]["says"]) == ("anomalous", "ordinary")
    assert told["batch"]["run_id"] == "r2"
    change = told["change"]
    assert (change["kind"], change["run_id"]) == ("cleared", "r2")
    assert (change["from"]["source"], change["to"]["source"]) == ("realtime", "batch")
    assert "ip_anomaly fell from 0.50 to 0.00" in change["reason"]


def test_an_event_that_only_the_run_calls_anomalous_is_explained(api):
    change = explained(api, "/api/anomalies/evt_000000000003")["change"]

    assert (change["kind"], change["from"]["is_anomaly"]) == ("raised", False)


def test_an_event_that_both_call_anomalous_has_no_change(api):
    told = explained(api, "/api/anomalies/evt_000000000001")

    assert told["batch"]["says"] == "anomalous"
    assert told["change"] is None


def test_an_alert_is_explained_with_its_evidence(api):
    of_batch = explained(api, f"/api/alerts/{TOPIC}-0-2")
    of_realtime = explained(api, f"/api/alerts/{TOPIC}-0-5")

    assert of_batch["batch"]["says"].startswith("rule failed-login-burst (version 1)")
    assert of_batch["realtime"]["says"] is None
    assert [each["says"] for each in of_batch["evidence"]] == ["ordinary"]
    assert of_realtime["batch"]["says"] is None
    assert [each["source"] for each in of_realtime["evidence"]] == ["realtime"]


def test_an_alert_that_a_run_withdrew_says_which_run(api):
    response = api.get(f"/api/alerts/{TOPIC}-0-4")

    assert response.status_code == 404
    assert "run r2, which owns its events, did not raise it" in response.json()["detail"]


def test_a_user_whose_verdict_changed_is_explained(api):
    told = explained(api, "/api/users/alice")

    assert told["batch"]["says"] == "anomalous"
    assert told["realtime"]["anomalous_events"] == 1
    change = told["change"]
    assert (change["from"]["run_id"], change["from"]["says"]) == ("r1", "ordinary")
    assert (change["to"]["run_id"], change["to"]["says"]) == ("r2", "anomalous")
    assert "unique_ips rose from 3 to 57" in change["reason"]


def test_without_explain_nothing_is_added(api):
    assert "explain" not in api.json("/api/anomalies/evt_000000000005")
    assert "explain" not in api.json("/api/users/alice")
