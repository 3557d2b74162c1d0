"""Any run that the lake keeps can still be asked, whatever is served now."""

import pytest

from serving_layer.testing import (
    START_MS,
    RunPartition,
    alert_record,
    event_record,
    publish_run,
    user_record,
)

TOPIC = "security-events"


@pytest.fixture(scope="module")
def api(shared):
    events = [event_record(offset, is_anomaly=offset == 3) for offset in range(9)]
    alerts = [alert_record(TOPIC, 0, offset) for offset in (1, 4)]
    part = shared.speed.partition(TOPIC, 0)
    part.alerts += alerts
    part.append(events)
    for run_id, seam in (("r1", 3), ("r2", 6)):
        run = RunPartition(TOPIC, 0, events[:seam], seam, alerts=alerts[: seam // 3])
        verdict = user_record("alice", is_anomaly=run_id == "r1")
        publish_run(shared.lake, run_id, [run], [verdict])
    return shared.start()


def offsets(body):
    return [each["offset"] for each in body["data"]]


def test_an_earlier_run_answers_for_what_it_holds_alone(api):
    assert offsets(api.json("/api/events", as_of_run="r1")) == [2, 1, 0]
    assert api.json("/api/events/count", as_of_run="r1") == {
        "count": 3, "batch": 3, "realtime": 0, "complete": True,
    }  # fmt: skip
    assert api.json("/api/anomalies/count", as_of_run="r1")["count"] == 0
    assert api.json("/api/anomalies/count", as_of_run="r2")["count"] == 1
    assert offsets(api.json("/api/alerts", as_of_run="r1")) == [1]
    assert api.json("/api/stats/summary", as_of_run="r2")["totalEvents"] == 6
    assert api.get("/api/events/evt_000000000004", as_of_run="r1").status_code == 404
    assert api.json("/api/events/count")["count"] == 9


def test_users_and_their_verdicts_can_be_asked_as_of_a_run(api):
    page = api.json("/api/users/alice", as_of_run="r1")
    assert page["events"] == {"count": 3, "batch": 3, "realtime": 0}
    assert (page["batch"]["run_id"], page["batch"]["verdict"]["is_anomaly"]) == ("r1", True)
    assert page["provenance"]["events"] == {"source": "batch", "as_of": START_MS}
    assert page["provenance"]["live"]["source"] == "speed"
    assert [e["is_anomaly"] for e in api.json("/api/users", as_of_run="r1")["data"]] == [True]
    assert [e["is_anomaly"] for e in api.json("/api/users")["data"]] == [False]

    verdicts = "/api/training-data/anomalies"
    assert len(api.json(verdicts, as_of_run="r1")["data"]) == 1
    assert api.json(verdicts)["data"] == []
    assert api.json(f"{verdicts}/alice", as_of_run="r1")["run_id"] == "r1"
    assert api.json("/api/training-data/stats", as_of_run="r1")["anomalous_users"] == 1
    assert api.json("/api/training-data/report", as_of_run="r1")["anomalous_users"] == 1


def test_a_time_names_the_newest_run_made_by_then(api):
    assert offsets(api.json("/api/events", as_of=START_MS)) == [5, 4, 3, 2, 1, 0]
    response = api.get("/api/events", as_of=START_MS - 1)

    assert (response.status_code, response.json()["type"]) == (404, "/problems/not-found")


def test_a_cursor_belongs_to_the_run_it_was_made_of(api):
    first = api.json("/api/events", as_of_run="r1", limit=2)
    cursor = first["next_cursor"]

    assert offsets(api.json("/api/events", as_of_run="r1", limit=2, cursor=cursor)) == [0]
    assert api.get("/api/events", limit=2, cursor=cursor).status_code == 422


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"as_of_run": "none"}, 404),
        ({"as_of_run": "../../etc"}, 422),
        ({"as_of_run": "r1", "as_of": 5}, 422),
        ({"as_of": "soon"}, 422),
    ],
)
def test_what_cannot_be_asked_is_a_problem(api, params, status):
    assert api.get("/api/events", **params).status_code == status


def test_a_run_shows_its_manifest_and_report(api):
    body = api.json("/api/runs/r1")

    assert body["served"] is False
    assert body["manifest"]["seam"][0]["next_offset"] == 3
    assert body["report"]["total_users"] == 1
    assert api.json("/api/runs/r2")["served"] is True
    assert api.get("/api/runs/r3").status_code == 404


def test_a_damaged_earlier_run_is_a_problem_that_names_its_file(api):
    file = next((api.lake / "security/runs/r1/alerts").glob("*.parquet"))
    whole = file.read_bytes()
    publish = api.lake / "security/runs/r0"
    publish.mkdir()
    manifest = (api.lake / "security/runs/r1/manifest.json").read_text().replace('"r1"', '"r0"')
    (publish / "manifest.json").write_text(manifest)
    file.write_bytes(whole[:10])

    response = api.get("/api/events", as_of_run="r0")

    file.write_bytes(whole)
    assert response.status_code == 503
    assert file.name in response.json()["detail"]


def test_consistency_names_the_seams_that_were_served(api):
    first = api.json("/consistency")["history"]
    assert (first[0]["run_id"], first[0]["seam"]) == ("r2", {f"{TOPIC}/0": 6})
    assert (first[0]["missing"], first[0]["double"]) == (0, 0)

    events = [event_record(offset) for offset in range(8)]
    publish_run(api.lake, "r9", [RunPartition(TOPIC, 0, events, 8)])
    body = api.wait("/consistency", lambda body: body["run_id"] == "r9")

    assert body["history"][0]["moved"] == {f"{TOPIC}/0": 2}
    assert "serving_seams_inconsistent 0.0" in api.get("/metrics").text
