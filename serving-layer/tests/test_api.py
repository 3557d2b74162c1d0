"""Every endpoint over one small merged data set: 6 events in batch, 6 in realtime."""

from functools import partial

import orjson
import pytest

from contracts.api import AnomalyRecord, EventRecord, UserAnomaly
from serving_layer.generated import produce_test_events
from serving_layer.testing import (
    START_MS,
    RunPartition,
    alert_record,
    event_record,
    publish_run,
    user_record,
)

TOPIC = "security-events"
SEAM = 6


def records():
    made = [
        event_record(
            offset,
            user="alice" if offset % 3 else "bob",
            status="failed" if offset % 4 == 0 else "success",
            threat_score=offset / 11,
            is_anomaly=offset in (2, 5, 7, 10),
            anomaly_score={2: 0.6, 5: 0.8, 7: 0.95, 10: 0.65}.get(offset),
        )
        for offset in range(12)
    ]
    raw = orjson.loads(made[11]["raw"]) | {"colour": "red", "source": "forged", "offset": -1}
    made[11]["raw"] = orjson.dumps(raw)
    made[10]["raw"] = b'{"event_id": "evt_00000000000a", "note": "\xff\xfe", "odd": "\\ud800"}'
    return made


@pytest.fixture(scope="module")
def api(shared):
    alerts = [
        alert_record(TOPIC, 0, 3, severity="LOW", user_id="bob", rule_id="rapid"),
        alert_record(TOPIC, 0, 8, severity="HIGH"),
    ]
    users = [
        user_record("manager", is_anomaly=True, score=0.9),
        user_record("admin", is_anomaly=True, score=0.95),
        user_record("alice", score=0.1),
        user_record("corp/eve", score=0.2),
    ]
    run = RunPartition(TOPIC, 0, records()[:SEAM], SEAM, alerts=alerts[:1])
    publish_run(shared.lake, "r1", [run], users)
    part = shared.speed.partition(TOPIC, 0)
    part.alerts.extend(alerts)
    part.append(records())
    return shared.start()


def offsets(body):
    return [event["offset"] for event in body["data"]]


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        pytest.param("/api/events", {"user": "bob"}, [9, 6, 3, 0], id="user"),
        pytest.param("/api/events", {"user": "nobody"}, [], id="unknown-user"),
        pytest.param("/api/events", {"user": "bob", "status": "failed"}, [0], id="two-filters"),
        pytest.param("/api/events", {"source_ip": "10.0.0.2"}, [], id="address"),
        pytest.param("/api/events", {"event_type": "dns_query"}, [], id="type"),
        pytest.param("/api/events", {"start_time": START_MS + 9}, [11, 10, 9], id="start"),
        pytest.param("/api/events", {"end_time": START_MS + 2}, [1, 0], id="end-is-exclusive"),
        pytest.param("/api/events/recent", {"limit": 2}, [11, 10], id="recent"),
        pytest.param("/api/events/threats", {"min_score": 0.9}, [11, 10], id="threats"),
        pytest.param("/api/events/threats", {}, [11, 10, 9, 8], id="threats-default"),
        pytest.param("/api/events/threat-score", {"min": 0.4, "max": 0.6}, [6, 5], id="between"),
        pytest.param(
            "/api/events/time-range",
            {"start_time": "2023-11-14T22:13:20.004Z", "end_time": "2023-11-14T22:13:20.006"},
            [5, 4],
            id="iso-time-range",
        ),
    ],
)  # fmt: skip
def test_event_lists(api, path, params, expected):
    assert offsets(api.json(path, **params)) == expected


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        pytest.param("/api/anomalies", {}, [10, 7, 5, 2], id="all"),
        pytest.param("/api/anomalies/recent", {"limit": 1}, [10], id="recent"),
        pytest.param("/api/anomalies/high-score", {}, [7, 5], id="high-score-default"),
        pytest.param("/api/anomalies/high-score", {"threshold": 0.9}, [7], id="high-score"),
        pytest.param("/api/anomalies/user/alice", {}, [10, 7, 5, 2], id="user"),
        pytest.param("/api/anomalies/user/corp%2Feve", {}, [], id="user-with-slash"),
        pytest.param("/api/anomalies/user/nobody", {}, [], id="unknown-user"),
        pytest.param(
            "/api/anomalies/time-range",
            {"start_time": START_MS + 5, "end_time": START_MS + 8},
            [7, 5],
            id="time-range",
        ),
    ],
)
def test_anomaly_lists(api, path, params, expected):
    body = api.json(path, **params)

    assert [int(each["event_id"][4:], 16) for each in body["data"]] == expected
    for each in body["data"]:
        AnomalyRecord.model_validate(each)


def test_counts_name_each_layer(api):
    assert api.json("/api/events/count")["batch"] == SEAM
    assert api.json("/api/events/count", user="bob", status="failed")["count"] == 1
    assert api.json("/api/events/count", status="failed") == {
        "count": 3, "batch": 2, "realtime": 1, "complete": True,
    }  # fmt: skip
    assert api.json("/api/anomalies/count") == {
        "count": 4, "batch": 2, "realtime": 2, "complete": True,
    }  # fmt: skip


def test_an_event_keeps_unknown_keys_and_our_keys_win(api):
    body = api.json("/api/events/evt_00000000000b")

    EventRecord.model_validate(body)
    assert body["colour"] == "red"
    assert (body["source"], body["offset"], body["topic"]) == ("realtime", 11, TOPIC)


def test_an_event_with_invalid_unicode_is_still_answered(api):
    body = api.json("/api/events/evt_00000000000a")

    assert body["odd"] == "\ud800"
    assert body["note"] == "\ufffd\ufffd"


def test_cursors_walk_the_whole_list(api):
    found, cursor = [], None
    while True:
        params = {"limit": 5} | ({"cursor": cursor} if cursor else {})
        body = api.json("/api/events", **params)
        found += offsets(body)
        cursor = body["next_cursor"]
        if cursor is None:
            break

    assert found == list(range(11, -1, -1))


def test_a_cursor_of_another_query_is_refused(api):
    cursor = api.json("/api/events", limit=1)["next_cursor"]

    response = api.get("/api/events", limit=1, cursor=cursor, user="bob")

    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "cursor"


def test_a_changed_cursor_is_refused(api):
    cursor = api.json("/api/events", limit=1)["next_cursor"]
    changed = cursor[:-2] + ("A" if cursor[-2] != "A" else "B") + cursor[-1]

    assert api.get("/api/events", limit=1, cursor=changed).status_code == 422


@pytest.mark.parametrize(
    ("path", "params", "parameter"),
    [
        pytest.param("/api/events", {"limit": 0}, "limit", id="limit-0"),
        pytest.param("/api/events", {"limit": 10_001}, "limit", id="limit-10001"),
        pytest.param("/api/events", {"limit": "many"}, "limit", id="limit-word"),
        pytest.param("/api/events", {"cursor": "forged"}, "cursor", id="cursor"),
        pytest.param("/api/events", {"cursor": "ä"}, "cursor", id="cursor-not-ascii"),
        pytest.param("/api/events", {"usr": "alice"}, "usr", id="misspelt"),
        pytest.param("/api/events", {"user": ["a", "b"]}, "user", id="twice"),
        pytest.param("/api/events", {"user": ""}, "user", id="empty"),
        pytest.param("/api/events", {"status": "lost"}, "status", id="status"),
        pytest.param("/api/events", {"start_time": "noon"}, "start_time", id="time"),
        pytest.param("/api/events", {"start_time": "9" * 30}, "start_time", id="huge-time"),
        pytest.param("/api/events", {"start_time": 5, "end_time": 4}, "start_time", id="order"),
        pytest.param("/api/events/time-range", {"start_time": 5}, "end_time", id="no-end"),
        pytest.param("/api/events/threats", {"min_score": 1.1}, "min_score", id="score"),
        pytest.param("/api/events/threats", {"min_score": "nan"}, "min_score", id="score-nan"),
        pytest.param("/api/events/threat-score", {"min": 0.9, "max": 0.1}, "min", id="min-max"),
        pytest.param("/api/anomalies/high-score", {"threshold": -1}, "threshold", id="threshold"),
        pytest.param("/api/anomalies/count", {"limit": 5}, "limit", id="count-has-no-limit"),
        pytest.param("/api/alerts", {"severity": "SEVERE"}, "severity", id="severity"),
        pytest.param("/api/alerts", {"resolved": "perhaps"}, "resolved", id="resolved"),
        pytest.param("/api/analyses/severity/SEVERE", {}, "severity", id="analysis-severity"),
        pytest.param("/api/training-data/anomalies", {"limit": 0}, "limit", id="training-limit"),
    ],
)
def test_a_bad_parameter_is_named(api, path, params, parameter):
    response = api.get(path, **params)

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"][0]["parameter"] == parameter


@pytest.mark.parametrize(
    "path",
    [
        "/api/events/evt_none",
        "/api/anomalies/evt_none",
        "/api/anomalies/evt_000000000000",
        "/api/alerts/none",
        "/api/analyses/none",
        "/api/training-data/anomalies/nobody",
        "/api/nothing",
    ],
)
def test_what_is_not_there_is_a_problem(api, path):
    response = api.get(path)

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "/problems/not-found"


def test_alerts_of_both_layers(api):
    body = api.json("/api/alerts")

    assert [(a["offset"], a["source"]) for a in body["data"]] == [(8, "realtime"), (3, "batch")]
    assert len(api.json("/api/alerts", severity="LOW", user="bob", rule="rapid")["data"]) == 1
    assert api.json("/api/alerts", resolved=True)["data"] == []
    first = api.json("/api/alerts", limit=1)
    second = api.json("/api/alerts", limit=1, cursor=first["next_cursor"])
    assert [a["offset"] for a in second["data"]] == [3]


def test_summary(api):
    body = api.json("/api/stats/summary")

    assert body["totalEvents"] == 12
    assert body["highThreatEvents"] == 4
    assert body["averageThreatScore"] == pytest.approx(0.5)
    assert body["totalAnomalies"] == 4
    assert (body["batchEvents"], body["realtimeEvents"]) == (6, 6)


def test_training_data(api):
    page = api.json("/api/training-data/anomalies", limit=1)
    assert [user["user"] for user in page["data"]] == ["admin"]
    page = api.json("/api/training-data/anomalies", limit=1, cursor=page["next_cursor"])
    assert [user["user"] for user in page["data"]] == ["manager"]
    assert page["next_cursor"] is None
    assert api.json("/api/training-data/report")["anomalous_users"] == 2
    assert api.json("/api/training-data/health")["message"] == "Training data available"
    assert api.json("/api/training-data/stats")["total_users"] == 4


@pytest.mark.parametrize(("user", "anomalous"), [("manager", True), ("alice", False)])
def test_training_data_of_a_known_user(api, user, anomalous):
    body = UserAnomaly.model_validate(api.json(f"/api/training-data/anomalies/{user}"))

    assert (body.is_anomaly, body.run_id) == (anomalous, "r1")
    assert [reason.feature for reason in body.reasons] == ["unique_ips"] * anomalous
    assert len(body.features) == 28


def test_figures_and_metrics(api):
    assert api.json("/api/metrics")["events"] == {"total": 12, "batch": 6, "realtime": 6}
    api.get("/api/events", user="alice")
    text = api.get("/metrics").text
    for line in (
        "streamguard_events_total 12.0",
        "streamguard_anomalies_total 4.0",
        "training_data_users_total 4.0",
        "training_data_available 1.0",
        'serving_consistency_missing{partition="0",topic="security-events"} 0.0',
        'serving_seam_offset{partition="0",topic="security-events"} 6.0',
        'route="/api/events",status="200"',
    ):
        assert line in text
    assert "alice" not in text


def test_runs_status_and_liveness(api):
    assert api.json("/api/runs")["current"] == "r1"
    assert [run["run_id"] for run in api.json("/api/runs")["runs"]] == ["r1"]
    assert api.json("/api/health/status")["status"] == "healthy"
    assert api.json("/api/health") == {"status": "alive"}


def test_upstreams_that_are_down_are_named(api):
    response = api.get("/api/spark-metrics")

    assert response.status_code == 503
    assert "batch layer" in response.json()["detail"]


def test_analyses_are_kept_and_replaced_by_id(api):
    analysis = {
        "id": "a1", "event_id": "evt_1", "user": "alice", "severity": "HIGH", "summary": "s",
        "confidence": 0.9, "mode": "evidence", "created_at": 5,
    }  # fmt: skip
    assert api.http.post("/api/analyses", json=analysis).status_code == 201
    assert api.http.post("/api/analyses", json=analysis | {"summary": "t"}).status_code == 200
    other = analysis | {"id": "a2", "created_at": 6, "severity": "LOW"}
    assert api.http.post("/api/analyses", json=other).status_code == 201

    page = api.json("/api/analyses", limit=1)
    assert [each["id"] for each in page["data"]] == ["a2"]
    page = api.json("/api/analyses", limit=1, cursor=page["next_cursor"])
    assert [each["summary"] for each in page["data"]] == ["t"]
    assert api.json("/api/analyses/count") == {"count": 2}
    assert len(api.json("/api/analyses/event/evt_1")["data"]) == 2
    assert [each["id"] for each in api.json("/api/analyses/severity/LOW")["data"]] == ["a2"]
    assert api.json("/api/analyses/a1")["summary"] == "t"
    assert api.json("/api/stats/summary")["totalAnalyses"] == 2


def test_an_analysis_that_breaks_the_contract_is_refused(api):
    response = api.http.post("/api/analyses", json={"id": "a1"})

    assert response.status_code == 422
    assert "event_id" in [error["parameter"] for error in response.json()["errors"]]


@pytest.mark.parametrize("count", [0, 10_001, "x"])
def test_generate_test_data_checks_its_count(api, count):
    response = api.http.post("/api/generate-test-data", json={"count": count})

    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "count"


def test_test_data_without_a_broker_is_a_problem_that_names_it(api, monkeypatch):
    quick = partial(produce_test_events, timeout_seconds=0.3)
    monkeypatch.setattr("serving_layer.routes.operations.produce_test_events", quick)

    response = api.http.post("/api/generate-test-data", json={"count": 2})

    assert (response.status_code, response.json()["type"]) == (
        503, "/problems/upstream-unavailable"
    )  # fmt: skip
    assert "127.0.0.1:9 acknowledged 0 of 2" in response.json()["detail"]
    assert api.get("/api/health/ready").status_code == 200


def test_every_operation_is_described_and_has_an_example(api):
    document = api.json("/openapi.json")

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], f"{method} {path}"
            good = next(
                answer for code, answer in operation["responses"].items() if code.startswith("2")
            )
            assert any("example" in body for body in good["content"].values()), f"{method} {path}"
