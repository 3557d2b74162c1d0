"""Keys, limits, headers, the audit log: what every request meets before its route."""

import socket
from datetime import timedelta

import httpx
import pytest

from serving_layer.errors import NotFoundError
from serving_layer.front_door import connections
from serving_layer.front_door.credentials import COOKIE
from serving_layer.front_door.keys import KeyStore
from serving_layer.front_door.limits import RateLimit
from serving_layer.front_door.scopes import scope_of
from serving_layer.testing import Server, event_record, wait_until


@pytest.fixture(scope="module")
def keyed(shared):
    """A server that asks for keys, and one key per scope."""
    shared.speed.partition("security-events", 0).append([event_record(0)])
    store = KeyStore(shared.data)
    texts = {scope: store.create(scope, scope)[1] for scope in ("read", "write", "operate")}
    store.close()
    shared.start(require_keys=True, key_rate=10_000)
    return shared, texts


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


def test_without_a_key_only_health_is_answered(keyed):
    stack, _ = keyed

    assert stack.get("/api/health/ready").status_code == 200
    for path in ("/api/events", "/metrics", "/api/sql", "/openapi.json", "/", "/nowhere"):
        response = stack.get(path)
        assert (response.status_code, response.json()["type"]) == (401, "/problems/unauthorized")
        assert response.headers["www-authenticate"]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(lambda key: bearer(key), id="bearer"),
        pytest.param(lambda key: {"X-API-Key": key}, id="header"),
        pytest.param(lambda key: httpx.BasicAuth("dana", key), id="basic"),
    ],
)
def test_a_key_is_taken_in_each_form(keyed, headers):
    stack, texts = keyed
    made = headers(texts["read"])
    given = {"auth": made} if isinstance(made, httpx.BasicAuth) else {"headers": made}

    assert stack.http.get("/api/events", **given).status_code == 200


@pytest.mark.parametrize(
    "text", ["sgk_", "sgk_000000000000_" + "a" * 43, "' OR 1=1 --", "x" * 5000]
)
def test_what_is_no_key_is_refused(keyed, text):
    stack, _ = keyed

    assert stack.http.get("/api/events", headers=bearer(text)).status_code == 401


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        ("read", "GET", "/api/events", 200),
        ("read", "POST", "/api/alerts/none/actions", 403),
        ("read", "DELETE", "/api/suppressions/none?by=dana", 403),
        ("write", "POST", "/api/alerts/none/actions", 404),
        ("write", "POST", "/api/generate-test-data", 403),
        ("write", "GET", "/api/audit", 403),
        ("operate", "GET", "/api/audit", 200),
        ("operate", "DELETE", "/api/suppressions/none?by=dana", 404),
    ],
)
def test_a_scope_allows_what_it_names(keyed, scope, method, path, status):
    stack, texts = keyed
    body = {"action": "acknowledge", "by": "dana"} if method == "POST" else None

    response = stack.http.request(method, path, headers=bearer(texts[scope]), json=body)

    assert response.status_code == status


def test_every_call_of_the_document_names_its_scope(keyed):
    stack, texts = keyed
    document = stack.http.get("/openapi.json", headers=bearer(texts["read"])).json()

    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            needed = scope_of(method.upper(), path)
            assert operation.get("x-scope") == needed
            assert ("401" in operation["responses"]) == (needed is not None)
    assert document["paths"]["/api/webhooks/dead-letters/{number}/retry"]["post"]["x-scope"] == (
        "operate"
    )


def test_writes_are_in_the_audit_log_refused_ones_too(keyed):
    stack, texts = keyed
    path = "/api/alerts/of-the-audit-test/actions"
    body = {"action": "acknowledge", "by": "dana"}
    given = bearer(texts["write"]) | {"X-Request-ID": "audit-1"}
    stack.http.post(path, json=body, headers=given)
    stack.http.post(path, json=body)

    found = []

    def both():
        answer = stack.http.get("/api/audit", headers=bearer(texts["operate"]))
        found[:] = [each for each in answer.json()["data"] if each["path"] == path]
        return len(found) == 2

    wait_until(both, "both writes are in the audit log")
    refused, taken = found
    assert (refused["status"], refused["key_name"]) == (401, None)
    assert (taken["status"], taken["key_name"], taken["request_id"]) == (404, "write", "audit-1")


def test_a_key_ends_when_it_expires_is_rotated_or_revoked(tmp_path):
    store = KeyStore(tmp_path)
    _, expired = store.create("a", "read", expires_at=1)
    first, text = store.create("b", "write")
    second, new_text = store.rotate(first.id, overlap_ms=60_000)

    assert store.of(expired) is None
    assert store.of(text).id == first.id
    assert (store.of(new_text).name, store.of(new_text).scope) == ("b", "write")
    store.rotate(second.id, overlap_ms=0)
    assert store.of(new_text) is None
    store.revoke(first.id)
    assert store.of(text) is None
    with pytest.raises(NotFoundError):
        store.revoke(first.id)
    with pytest.raises(NotFoundError):
        store.rotate(first.id, overlap_ms=0)
    store.close()


def test_a_key_that_another_process_made_works_at_once(tmp_path):
    server, command = KeyStore(tmp_path), KeyStore(tmp_path)
    _, known = command.create("a", "read")
    assert server.of(known) is not None  # has just looked

    _, text = command.create("b", "read")

    assert server.of(text) is not None
    server.close()
    command.close()


def test_the_file_of_keys_is_private_and_holds_no_secret(tmp_path):
    store = KeyStore(tmp_path)
    _, text = store.create("a", "read")
    store.close()

    file = tmp_path / "keys.sqlite"
    assert file.stat().st_mode & 0o077 == 0
    assert text.split("_", 2)[2].encode() not in file.read_bytes()


def test_a_rate_refills(tmp_path):
    now = [0.0]
    rate = RateLimit(2.0, clock=lambda: now[0])

    assert [rate.wait_seconds("k") for _ in range(5)] == [0, 0, 0, 0, 0.5]
    assert rate.wait_seconds("other") == 0
    now[0] = 0.5
    assert rate.wait_seconds("k") == 0


def test_a_key_that_asks_too_much_is_told_when_to_come_again(stack):
    store = KeyStore(stack.data)
    _, text = store.create("a", "read")
    store.close()
    stack.start(key_rate=1)

    answers = [stack.http.get("/api/health/status", headers=bearer(text)) for _ in range(3)]

    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[2].headers["retry-after"] == "1"
    assert stack.get("/api/health/status").status_code == 200  # loopback needs no key


def test_headers_of_every_answer(keyed):
    stack, texts = keyed
    good = stack.http.get("/api/events", headers=bearer(texts["read"]) | {"X-Request-ID": "a.b-1"})
    refused = stack.http.get("/api/events", headers={"X-Request-ID": "line\tbreak"})

    for response in (good, refused):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
        assert "access-control-allow-origin" not in response.headers
    assert good.headers["x-request-id"] == "a.b-1"
    assert len(refused.headers["x-request-id"]) == 16


def test_a_person_in_a_browser_signs_in_and_out(keyed):
    stack, texts = keyed
    browser = {"Accept": "text/html,*/*"}
    with httpx.Client(base_url=stack.server.url, headers=browser, trust_env=False) as http:
        asked = http.get("/alerts", params={"alert": '"><script>'})
        assert (asked.status_code, asked.headers["www-authenticate"]) == (401, "Bearer")
        assert 'value="/alerts?alert=%22%3E%3Cscript%3E"' in asked.text
        assert http.get("/api/events").json()["type"] == "/problems/unauthorized"

        wrong = http.post("/sign-in", data={"key": "sgk_wrong", "next": "/alerts"})
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
        assert "unknown, expired or revoked" in wrong.text

        right = http.post("/sign-in", data={"key": texts["read"], "next": "/alerts?alert=a1"})
        assert (right.status_code, right.headers["location"]) == (303, "/alerts?alert=a1")
        kept = right.headers["set-cookie"].lower()
        assert ("httponly" in kept, "samesite=lax" in kept, "secure" in kept) == (True, True, False)
        assert http.get("/api/events").status_code == 200

        assert http.post("/sign-out").headers["location"] == "/sign-in"
        assert http.get("/api/events").status_code == 401
        http.cookies.set(COOKIE, "sgk_revoked")
        again = http.get("/")
        assert "unknown, expired or revoked" in again.text
        assert f'{COOKIE}=""; ' in again.headers["set-cookie"]


@pytest.mark.parametrize(
    "following", ["https://evil.example", "//evil.example", "/\\evil.example", "/a\nb", ""]
)
def test_after_signing_in_nobody_is_sent_elsewhere(keyed, following):
    stack, texts = keyed
    given = {"key": texts["read"], "next": following}

    assert stack.http.post("/sign-in", data=given).headers["location"] == "/"


def test_another_host_or_origin_is_refused_on_loopback(stack):
    stack.start(allowed_hosts="proxy.example", cors_origins="https://desk.example")
    host = stack.server.url.removeprefix("http://")
    body = {"action": "acknowledge", "by": "dana"}

    assert stack.http.get("/api/runs", headers={"Host": "rebound.example"}).status_code == 421
    assert stack.http.get("/api/runs", headers={"Host": "proxy.example"}).status_code == 200
    for origin, status in (
        ("https://evil.example", 403),
        ("null", 403),
        (f"http://{host}", 404),
        ("https://desk.example", 404),
    ):
        response = stack.http.post("/api/alerts/x/actions", json=body, headers={"Origin": origin})
        assert response.status_code == status, origin
    allowed = stack.http.get("/api/runs", headers={"Origin": "https://desk.example"})
    other = stack.http.get("/api/runs", headers={"Origin": "https://evil.example"})
    assert allowed.headers["access-control-allow-origin"] == "https://desk.example"
    assert "access-control-allow-origin" not in other.headers
    preflight = {"Origin": "https://desk.example", "Access-Control-Request-Method": "POST"}
    assert stack.http.options("/api/runs", headers=preflight).status_code == 200


def test_a_body_that_is_too_large_is_refused_declared_or_not(stack):
    stack.start(max_body_bytes=2_000)
    declared = stack.http.post("/api/analyses", content=b"x" * 3_000)
    chunked = stack.http.post("/api/analyses", content=iter([b"x" * 1_500, b"x" * 1_500]))

    assert (declared.status_code, chunked.status_code) == (413, 413)
    assert declared.json()["status"] == 413
    assert stack.get("/api/health").status_code == 200


def test_a_body_that_never_ends_is_cut_off(stack):
    stack.start(request_timeout=timedelta(milliseconds=300))
    with raw(stack) as connection:
        connection.sendall(
            b"POST /api/analyses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{"
        )
        answer = connection.recv(65_536)

    assert answer.startswith(b"HTTP/1.1 504")
    assert b"/problems/timeout" in answer


def test_more_than_the_allowed_number_at_once_are_told_to_come_again(stack):
    stack.start(max_streams=1)
    with stack.http.stream("GET", "/api/alerts/stream") as first:
        assert first.status_code == 200
        refused = stack.get("/api/alerts/stream")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    wait_until(lambda: status_of_stream(stack) == 200, "the slot is free again")


def status_of_stream(stack):
    with stack.http.stream("GET", "/api/alerts/stream") as response:
        return response.status_code


def test_a_client_that_dawdles_or_never_ends_its_head_is_cut_off(stack, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    stack.start()
    server = Server(stack.server.app, http=connections.ImpatientProtocol, lifespan="off")
    try:
        with raw(server) as silent, raw(server) as slow, raw(server) as endless:
            slow.sendall(b"GET /api/health HTTP/1.1\r\nHost: 127")
            endless.sendall(b"GET /api/health HTTP/1.1\r\nX: " + b"a" * 40_000 + b"\r\n")
            assert endless.recv(65_536).startswith(b"HTTP/1.1 400")
            assert slow.recv(65_536) == b""
            assert silent.recv(65_536) == b""
        with raw(server) as quick:
            quick.sendall(b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert quick.recv(65_536).startswith(b"HTTP/1.1 200")
    finally:
        server.stop()


def raw(server):
    host, port = (getattr(server, "server", None) or server).url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)
