"""Backtests: a threshold over our own columns, a rule that the batch layer runs."""

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from serving_layer.testing import (
    START_MS,
    RunPartition,
    Server,
    alert_record,
    event_record,
    publish_run,
)

TOPIC = "security-events"
SCORES = [None, 0.2, 0.55, 0.65, 0.85, 0.95]


class BatchLayer:
    """Speaks the batch layer's calls for backtests; the rule ``broken`` is refused."""

    def __init__(self):
        self.asked = []
        self.answer = {}
        self.cancelled = []
        routes = [
            Route("/security/backtests", self.start, methods=["POST"]),
            Route("/security/backtests/b1", self.read),
            Route("/security/backtests/b1", self.cancel, methods=["DELETE"]),
        ]
        self.server = Server(Starlette(routes=routes))

    async def start(self, request):
        self.asked.append(await request.json())
        if self.asked[-1]["rule"] == "broken":
            body = {"error": "INVALID_REQUEST", "message": "rule: rule.yml: no such field"}
            return JSONResponse(body, status_code=400)
        return JSONResponse({"backtestId": "b1"}, status_code=202)

    async def read(self, _):
        return JSONResponse({"runId": "r1", "errorMessage": None} | self.answer)

    async def cancel(self, _):
        self.cancelled.append("b1")
        return JSONResponse({})


@pytest.fixture(scope="module")
def api(shared):
    records = [
        event_record(n, is_anomaly=(score or 0) >= 0.6, anomaly_score=score)
        for n, score in enumerate(SCORES)
    ]
    alerts = [alert_record(TOPIC, 0, offset, user_id="alice") for offset in (1, 3, 4)]
    run = RunPartition(TOPIC, 0, records[:5], 5, alerts=alerts)
    publish_run(shared.lake, "r1", [run])
    shared.speed.partition(TOPIC, 0).append(records)
    shared.batch = BatchLayer()
    shared.start(batch_url=shared.batch.server.url)
    for offset, action in ((1, "true_positive"), (3, "false_positive"), (4, "true_positive")):
        path = f"/api/alerts/{TOPIC}-0-{offset}/actions"
        assert shared.http.post(path, json={"action": action, "by": "dana"}).status_code == 200
    yield shared
    shared.batch.server.stop()


def finished(api, **request):
    accepted = api.http.post("/api/backtests", json=request)
    assert accepted.status_code == 202, accepted.text
    path = f"/api/backtests/{accepted.json()['id']}"
    return api.wait(path, lambda body: body["status"] != "running")


def test_a_threshold_is_judged_by_verdicts_and_labels(api):
    labels = {"evt_000000000005": True, "evt_000000000001": True, "evt_000000000004": False}

    body = finished(api, threshold=0.8, labels=labels)

    result = body["result"]
    assert (body["status"], body["progress"], body["kind"]) == ("completed", 1.0, "threshold")
    assert (result["would_have_fired"], result["fires_today"]) == (2, 3)
    assert [each["id"] for each in result["examples"]] == ["evt_000000000005", "evt_000000000004"]
    assert result["verdicts"] == {
        "like_true_positives": 1, "like_false_positives": 0, "like_alerts_not_judged": 0,
        "like_no_alert": 1, "true_positives_missed": 1, "false_positives_avoided": 1,
    }  # fmt: skip
    assert result["labels"]["attacks_found"] == 1
    assert (result["labels"]["precision"], result["labels"]["recall"]) == (0.5, 0.5)


def test_a_threshold_looks_at_its_range_only(api):
    body = finished(api, threshold=0.5, start_time=START_MS + 2, end_time=START_MS + 4)

    assert body["result"]["would_have_fired"] == 2


def test_a_rule_is_run_by_the_batch_layer(api):
    alert = alert_record(TOPIC, 0, 3)
    api.batch.answer = {
        "status": "COMPLETED", "eventsDone": 5, "eventsTotal": 5, "alertsTotal": 1, "alerts": [alert],
    }  # fmt: skip

    body = finished(api, rule="title: x", end_time=START_MS + 10)

    assert api.batch.asked[-1] == {"rule": "title: x", "startTime": 0, "endTime": START_MS + 10}
    result = body["result"]
    assert (result["would_have_fired"], result["fires_today"], result["run_id"]) == (1, 3, "r1")
    assert result["verdicts"]["like_false_positives"] == 1
    assert result["verdicts"]["true_positives_missed"] == 2


def test_a_rule_that_fires_no_more_misses_what_its_name_raised(api):
    api.batch.answer = {
        "status": "COMPLETED", "eventsDone": 5, "eventsTotal": 5, "alertsTotal": 0, "alerts": [],
    }  # fmt: skip

    body = finished(api, rule="title: x\nname: failed-login-burst\n")

    assert body["result"]["verdicts"]["true_positives_missed"] == 2
    assert body["result"]["verdicts"]["false_positives_avoided"] == 1


def test_progress_and_an_end_before_time(api):
    api.batch.answer = {"status": "RUNNING", "eventsDone": 2, "eventsTotal": 8}
    accepted = api.http.post("/api/backtests", json={"rule": "title: x"}).json()
    path = f"/api/backtests/{accepted['id']}"
    api.wait(path, lambda body: body["progress"] == 0.25)

    api.http.delete(path)

    assert api.wait(path, lambda body: body["status"] != "running")["status"] == "cancelled"
    assert api.batch.cancelled == ["b1"]
    assert accepted["id"] in [job["id"] for job in api.json("/api/backtests")["data"]]


def test_a_rule_that_fails_says_why(api):
    api.batch.answer = {
        "status": "FAILED", "eventsDone": 2, "eventsTotal": 8, "errorMessage": "a file is damaged",
    }  # fmt: skip

    body = finished(api, rule="title: x")

    assert (body["status"], body["error"]) == ("failed", "a file is damaged")


@pytest.mark.parametrize(
    "request_body",
    [
        {},
        {"rule": "x", "threshold": 0.5},
        {"threshold": 1.5},
        {"threshold": 0.5, "start_time": 5, "end_time": 5},
        {"rule": "broken"},
        {"rule": ""},
    ],
)
def test_a_bad_request_is_422(api, request_body):
    assert api.http.post("/api/backtests", json=request_body).status_code == 422
    assert api.get("/api/backtests/none").status_code == 404


def test_without_a_batch_layer_a_rule_is_503(stack):
    stack.start()

    response = stack.http.post("/api/backtests", json={"rule": "title: x"})

    assert response.status_code == 503
    assert "the batch layer does not answer" in response.json()["detail"]
