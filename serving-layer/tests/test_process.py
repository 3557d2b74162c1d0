"""The real process: the dashboard renders, both ports answer, SIGTERM ends it, keys by command."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing, contextmanager

import httpx
import pytest

from serving_layer.front_door.keys import KeyStore
from serving_layer.testing import event_record, wait_until


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def process(stack, **settings):
    ports = {"SERVING_PORT": free_port(), "SERVING_DASHBOARD_PORT": free_port()}
    values = {
        "SERVING_SPEED_URLS": stack.speed.url,
        "SERVING_LAKE_DIR": stack.lake,
        "SERVING_DATA_DIR": stack.data,
        **ports,
        **settings,
    }
    # NiceGUI behaves differently where it finds itself inside pytest.
    inherited = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    started = subprocess.Popen(
        [sys.executable, "-m", "serving_layer"],
        env=inherited | {name: str(value) for name, value in values.items()},
        cwd=stack.lake,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield started, [f"http://127.0.0.1:{port}" for port in ports.values()]
    finally:
        started.kill()
        started.communicate()


def key_command(stack, *arguments):
    """Run `python -m serving_layer keys` on the stack's data folder."""
    return subprocess.run(
        [sys.executable, "-m", "serving_layer", "keys", *arguments],
        env=os.environ | {"SERVING_DATA_DIR": str(stack.data)},
        cwd=stack.lake,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def answers(url):
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.integration
def test_dashboard_renders_on_both_ports_and_sigterm_ends_the_process(stack):
    part = stack.speed.partition("security-events", 0)
    part.append([event_record(0)])
    with process(stack) as (started, urls):
        wait_until(lambda: answers(f"{urls[0]}/api/health/ready"), "ready", 60)
        for url in urls:
            page = httpx.get(url, trust_env=False)
            assert page.headers["content-type"].startswith("text/html")
            assert "<title>StreamGuard</title>" in page.text
            assert "https://" not in page.text.replace("https://nicegui.io", "")
        assert httpx.get(f"{urls[0]}/api/nothing", trust_env=False).json()["status"] == 404

        started.send_signal(signal.SIGTERM)
        assert started.wait(20) in (0, -signal.SIGTERM)


@pytest.mark.integration
def test_on_an_open_bind_a_key_is_needed(stack):
    everywhere = "0.0.0.0"  # noqa: S104 - the point of the test
    with process(stack, SERVING_HOST=everywhere) as (_, urls):
        wait_until(lambda: answers(f"{urls[0]}/api/health"), "the process answers", 60)
        refused = httpx.get(f"{urls[0]}/api/events", trust_env=False)
        page = httpx.get(urls[1], headers={"Accept": "text/html"}, trust_env=False)
        assert (refused.status_code, page.status_code) == (401, 401)
        assert 'action="/sign-in"' in page.text

        made = key_command(stack, "create", "dana", "--scope", "read")
        bearer = {"Authorization": f"Bearer {made.stdout.strip()}"}
        assert httpx.get(f"{urls[0]}/api/runs", headers=bearer, trust_env=False).status_code == 200

        [line] = key_command(stack, "list", "--json").stdout.splitlines()
        key_command(stack, "revoke", json.loads(line)["id"])
        wait_until(
            lambda: (
                httpx.get(f"{urls[0]}/api/runs", headers=bearer, trust_env=False).status_code == 401
            ),
            "the server notices that the key was revoked",
        )
        secret = made.stdout.strip().split("_", 2)[2]
        assert secret.encode() not in (stack.data / "keys.sqlite").read_bytes()


@pytest.mark.integration
def test_log_lines_are_alike_and_hold_no_personal_data(stack):
    marks = ("ada.lovelace", "198.51.100.77", "xyzzy-laptop")
    part = stack.speed.partition("security-events", 0)
    part.append([event_record(0, user=marks[0], source_ip=marks[1])])
    sql = {"query": f"SELECT * FROM events WHERE source_ip = '{marks[1]}'"}
    with closing(KeyStore(stack.data)) as store:
        key = store.create("dana", "operate")[1]
    secret, wrong = key.split("_", 2)[2], f"{key[:-4]}zzzz"
    settings = {"LOG_FORMAT": "json", "SERVING_SQL_ENABLED": "true", "SERVING_REQUIRE_KEYS": "true"}
    with process(stack, **settings) as (started, urls):
        wait_until(lambda: answers(f"{urls[0]}/api/health/ready"), "ready", 60)
        bearer = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=urls[0], headers=bearer, trust_env=False, timeout=30) as http:
            refused = {"Authorization": f"Bearer {wrong}"}
            statuses = [
                http.get("/api/runs", headers=refused).status_code,
                http.get("/api/runs", params={"key": key}).status_code,
                http.get(f"/api/users/{marks[0]}").status_code,
                http.get("/api/events", params={"user": marks[0], "limit": marks[2]}).status_code,
                http.post("/api/sql", json=sql).status_code,
            ]
            stack.speed.stop()
            http.get(f"/api/users/{marks[0]}")
            page = "/api/events?limit=1"
            wait_until(lambda: not http.get(page).json()["complete"], "the loss is seen")
        started.terminate()
        lines = started.communicate(timeout=20)[1].splitlines()
    written = [json.loads(line) for line in lines]

    assert statuses == [401, 422, 200, 422, 200]
    for each in written:
        assert {"time", "level", "service", "logger", "message"} <= each.keys()
        assert each["service"] == "serving-layer"
    [lost] = [each for each in written if "does not answer" in each["message"]]
    assert (lost["level"], lost["logger"]) == ("WARNING", "serving_layer.tail")
    hidden = (*marks, secret, wrong.split("_", 2)[2])
    assert [mark for mark in hidden if mark in "\n".join(lines)] == []
