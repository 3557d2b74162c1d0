"""What attackers and broken clients send, beside what test_api and test_front_door refuse."""

import socket

import pytest

from serving_layer.routes import alerts as alert_routes
from serving_layer.testing import (
    RunPartition,
    alert_record,
    event_record,
    publish_run,
    user_record,
    wait_until,
)

TOPIC = "security-events"
INJECTIONS = [
    "' OR '1'='1",
    "'; DROP TABLE steps; --",
    '" UNION SELECT * FROM keys --',
    "%27%20OR%201%3D1",
    "../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "${jndi:ldap://x}",
    "<script>alert(1)</script>",
    "a\x00b",
    "\u202ealice",
    "a" * 250,
]


@pytest.fixture(scope="module")
def api(shared):
    records = [event_record(n, is_anomaly=n == 1) for n in range(4)]
    run = RunPartition(TOPIC, 0, records[:2], 2, alerts=[alert_record(TOPIC, 0, 1)])
    publish_run(shared.lake, "r1", [run], [user_record("alice")])
    shared.speed.partition(TOPIC, 0).append(records)
    return shared.start()


@pytest.mark.parametrize("text", INJECTIONS)
def test_an_injected_text_is_a_value_that_nothing_has(api, text):
    for path, name in (
        ("/api/events", "user"),
        ("/api/events", "source_ip"),
        ("/api/events/count", "event_type"),
        ("/api/anomalies", "user"),
        ("/api/alerts", "rule"),
        ("/api/alerts", "assignee"),
    ):
        response = api.get(path, **{name: text})
        if response.status_code == 422:  # too long for this one
            assert response.json()["errors"][0]["parameter"] == name
        else:
            body = response.json()
            assert body.get("data", []) == []
            assert body.get("count", 0) == 0
    for path in ("events", "anomalies", "alerts", "analyses", "users", "runs", "backtests"):
        assert api.http.get(f"/api/{path}/{quoted(text)}").status_code in {404, 422}
    assert api.get("/api/events", as_of_run=text).status_code in {404, 422}
    step = {"action": "comment", "by": text, "comment": text, "assignee": None}
    done = api.http.post(f"/api/alerts/{TOPIC}-0-1/actions", json=step)
    assert done.status_code in {200, 422}
    assert api.json("/api/events/count")["count"] == 4
    assert api.json(f"/api/alerts/{TOPIC}-0-1")["alert_id"] == f"{TOPIC}-0-1"


def quoted(text):
    return "".join(f"%{byte:02x}" for byte in text.encode())


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/api/events", {"limit": 10**30}),
        ("/api/events", {"limit": "1e3"}),
        ("/api/events", {"limit": "-1"}),
        ("/api/events", {"as_of": "never"}),
        ("/api/events", {"as_of": 1, "as_of_run": "r1"}),
        ("/api/users", {"sort": "name"}),
        ("/api/runs", {"limit": 0}),
        ("/api/audit", {"before": 0}),
        ("/api/anomalies/x", {"explain": "perhaps"}),
        ("/api/webhooks/dead-letters", {"limit": 10_001}),
    ],
)
def test_a_value_out_of_range_is_named(api, path, params):
    response = api.get(path, **params)

    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] in params


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"action": 5}', b"\xff", b"[" * 5_000]
)
def test_a_body_that_is_not_what_it_should_be_is_422(api, body):
    response = api.http.post(
        f"/api/alerts/{TOPIC}-0-1/actions",
        content=body,
        headers={"Content-Type": "application/json"},
    )

    assert response.status_code in {400, 422}
    assert response.headers["content-type"] == "application/problem+json"


def test_a_cursor_of_another_list_or_run_is_refused(api):
    cursor = api.json("/api/events", limit=1)["next_cursor"]

    for path, more in (
        ("/api/anomalies", {}),
        ("/api/alerts", {}),
        ("/api/events", {"as_of_run": "r1"}),
        ("/api/users", {}),
    ):
        response = api.get(path, cursor=cursor, **more)
        assert response.status_code == 422
        assert response.json()["errors"][0]["parameter"] == "cursor"


def test_a_client_that_takes_nothing_of_its_stream_is_cut_off(stack, monkeypatch):
    monkeypatch.setattr(alert_routes, "_SEND_TIMEOUT_SECONDS", 0.3)
    part = stack.speed.partition(TOPIC, 0)
    stack.start(max_streams=1)
    host, port = stack.server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as half_open:
        half_open.sendall(b"GET /api/alerts/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        half_open.recv(1)
        assert stack.get("/api/alerts/stream").status_code == 503
        long = "x" * 200_000
        part.alerts.extend(alert_record(TOPIC, 0, n, description=long) for n in range(80))
        part.append([event_record(n) for n in range(80)])

        wait_until(lambda: stream_status(stack) == 200, "the slot of the half-open stream is free")
    assert stack.json("/api/events/count")["count"] == 80


def stream_status(stack):
    with stack.http.stream("GET", "/api/alerts/stream") as response:
        return response.status_code


def test_what_changes_rarely_is_not_sent_twice(api):
    for path, params in (
        ("/api/runs/r1", {}),
        ("/openapi.json", {}),
        ("/api/training-data/report", {}),
        ("/api/events", {"as_of_run": "r1"}),
    ):
        first = api.get(path, **params)
        tag = first.headers["etag"]
        again = api.http.get(path, params=params, headers={"If-None-Match": f'"other", W/{tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        changed = api.http.get(path, params=params, headers={"If-None-Match": '"other"'})
        assert changed.content == first.content
    assert "etag" not in api.get("/api/events").headers
