"""Alerts have a life: who did what, durable; suppressions made from false positives."""

import time

import pytest

from serving_layer.testing import RunPartition, alert_record, event_record, publish_run

TOPIC = "security-events"
NOW = int(time.time() * 1000)


@pytest.fixture
def alerts(stack):
    """A stack with alerts at offsets 1 to 5 raised now: 1 and 2 in batch, 5 of another user."""
    part = stack.speed.partition(TOPIC, 0)
    part.append([event_record(offset) for offset in range(7)])
    for offset in range(1, 6):
        user = "bob" if offset == 5 else "alice"
        part.alerts.append(
            alert_record(TOPIC, 0, offset, alert_id=f"a{offset}", user_id=user, timestamp=NOW)
        )
    run = RunPartition(TOPIC, 0, part.records[:3], 3, alerts=part.alerts[:2])
    publish_run(stack.lake, "r1", [run])
    return stack.start()


@pytest.fixture(scope="module")
def one_alert(shared):
    part = shared.speed.partition(TOPIC, 0)
    part.append([event_record(0)])
    part.alerts.append(alert_record(TOPIC, 0, 0, alert_id="a1"))
    return shared.start()


def act(stack, alert_id, action, **values):
    response = stack.http.post(
        f"/api/alerts/{alert_id}/actions", json={"action": action, "by": "dana", **values}
    )
    assert response.status_code == 200, response.text
    return response.json()


def ids(stack, **params):
    """The alerts that a filter finds; the count must find as many."""
    found = sorted(each["alert_id"] for each in stack.json("/api/alerts", **params)["data"])
    assert stack.json("/api/alerts/count", **params)["count"] == len(found)
    return found


def test_steps_change_the_alert_in_either_layer_and_survive_a_restart(alerts):
    assert act(alerts, "a1", "acknowledge")["assignee"] == "dana"
    assert act(alerts, "a4", "assign", assignee="eve")["status"] == "open"
    assert act(alerts, "a4", "resolve")["resolved"] is True
    act(alerts, "a1", "comment", comment="looks like a scanner")
    alerts.stop()
    alerts.start()

    assert ids(alerts, status="acknowledged", assignee="dana") == ["a1"]
    assert ids(alerts, resolved=True) == ["a4"]
    assert ids(alerts, status="open") == ["a2", "a3", "a5"]
    steps = alerts.json("/api/alerts/a1/history")["steps"]
    assert [(each["action"], each["by"]) for each in steps] == [
        ("acknowledge", "dana"), ("comment", "dana"),
    ]  # fmt: skip
    assert steps[0]["at"] >= NOW
    assert alerts.json("/api/alerts/a2/history")["steps"] == []


def test_reopening_takes_back_verdict_and_resolution(alerts):
    assert act(alerts, "a1", "false_positive")["verdict"] == "false_positive"
    body = act(alerts, "a1", "reopen")

    assert (body["status"], body["verdict"], body["resolved"]) == ("open", None, False)


def test_bulk_steps_name_unknown_alerts(alerts):
    request = {"action": "resolve", "by": "dana", "alert_ids": ["a1", "none", "a5", "a1"]}
    body = alerts.http.post("/api/alerts/actions", json=request).json()

    assert body == {"changed": ["a1", "a5"], "unknown": ["none"]}
    assert ids(alerts, status="resolved") == ["a1", "a5"]
    assert len(alerts.json("/api/alerts/a1/history")["steps"]) == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        pytest.param("a1/actions", {"action": "delete", "by": "d"}, 422, id="unknown-action"),
        pytest.param("a1/actions", {"action": "resolve"}, 422, id="nobody"),
        pytest.param("a1/actions", {"action": "resolve", "by": " "}, 422, id="blank-name"),
        pytest.param("a1/actions", {"action": "comment", "by": "d"}, 422, id="empty-comment"),
        pytest.param(
            "a1/actions", {"action": "resolve", "by": "d", "assignee": "e"}, 422, id="assignee"
        ),
        pytest.param("none/actions", {"action": "resolve", "by": "d"}, 404, id="unknown-alert"),
        pytest.param("actions", {"action": "resolve", "by": "d", "alert_ids": []}, 422, id="none"),
    ],
)
def test_a_wrong_step_is_refused(one_alert, path, body, status):
    response = one_alert.http.post(f"/api/alerts/{path}", json=body)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_a_suppression_silences_what_its_preview_said(alerts):
    like = {"alert_id": "a1", "match": ["user"]}
    act(alerts, "a3", "true_positive")
    preview = alerts.http.post("/api/suppressions/preview", json=like).json()
    assert (preview["would_have_silenced"], preview["kept_true_positives"]) == (3, 1)
    assert sorted(preview["alert_ids"]) == ["a1", "a2", "a4"]
    request = like | {"by": "dana", "reason": "scanner"}
    assert alerts.http.post("/api/suppressions", json=request).status_code == 409

    act(alerts, "a1", "false_positive")
    made = alerts.http.post("/api/suppressions", json=request)
    assert made.status_code == 201
    alerts.stop()
    alerts.start()

    assert ids(alerts, suppressed=True) == ["a1", "a2", "a4"]
    assert ids(alerts, suppressed=False) == ["a3", "a5"]
    assert len(ids(alerts)) == 5
    suppression_id = made.json()["id"]
    assert alerts.json("/api/alerts/a2")["suppressed_by"] == suppression_id
    revoked = alerts.http.delete(f"/api/suppressions/{suppression_id}", params={"by": "eve"})
    assert revoked.json()["revoked_by"] == "eve"
    assert ids(alerts, suppressed=True) == []
    assert len(alerts.json("/api/suppressions")["data"]) == 1
    assert alerts.http.delete("/api/suppressions/none", params={"by": "e"}).status_code == 404


def test_a_preview_counts_only_its_days(alerts):
    old = alert_record(TOPIC, 0, 7, alert_id="old", timestamp=NOW - 8 * 86_400_000)
    part = alerts.speed.partition(TOPIC, 0)
    part.alerts.append(old)
    part.append([event_record(7)])
    alerts.wait("/api/alerts", lambda body: len(body["data"]) == 6)

    def silenced(days):
        return alerts.http.post(
            "/api/suppressions/preview",
            json={"alert_id": "a1", "match": ["source_ip"]},
            params={"days": days},
        ).json()["would_have_silenced"]

    assert (silenced(7), silenced(9)) == (5, 6)
