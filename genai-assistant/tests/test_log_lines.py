"""The real process: its log lines name requests, and nobody."""

import json
import os
import socket
import subprocess
import sys
import time

import httpx
import pytest

from genai_assistant.testing import Fault, ModelServer

BEARER = "sgk_0123456789ab_hush-hush-bearer"
OWN_KEY = "sgk_ba9876543210_hush-hush-own"
MODEL_KEY = "sk-hush-hush-model"
MARKS = ("ada.lovelace", "198.51.100.77", "xyzzy-word", BEARER, OWN_KEY, MODEL_KEY, "hush-hush")
QUESTION = f"Is user {MARKS[0]} from {MARKS[1]} anomalous, {MARKS[2]}?"


@pytest.fixture
def model():
    refusal = json.dumps({"error": {"message": f"Incorrect API key provided: {MODEL_KEY}"}})
    with ModelServer(lambda _: Fault(status=401, body=refusal.encode())) as server:
        yield server


@pytest.fixture
def lines(serving, model, tmp_path, seeded_dir):
    """Ask a process of its own things that go well and wrong; return what it wrote.

    Questions carry a caller's key; the model's server refuses the model's key, and repeats it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "LOG_FORMAT": "json",
        "ASSISTANT_PORT": str(port),
        "ASSISTANT_SERVING_URL": serving.url,
        "ASSISTANT_BATCH_URL": serving.url,
        "ASSISTANT_DATA_DIR": str(seeded_dir),
        "ASSISTANT_ANALYST_INTERVAL_SECONDS": "0.2",
        "ASSISTANT_PAST_ANALYSES_SECONDS": "0.2",
        "ASSISTANT_SERVING_KEY": OWN_KEY,
        "OPENAI_API_KEY": MODEL_KEY,
        "OPENAI_BASE_URL": model.base_url,
    }
    serving.world.users[MARKS[0]] = serving.world.users["manager"]
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "genai_assistant"],
            env=os.environ | settings,
            cwd=tmp_path,
            stdout=log,
            stderr=log,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
                wait_for_health(http, process)
                for status in (200, 503):
                    serving.status = status
                    body = {"question": QUESTION, "asked_by": MARKS[0]}
                    headers = {"X-Request-ID": "ask-1", "Authorization": f"Bearer {BEARER}"}
                    answer = http.post("/query", json=body, headers=headers)
                    assert answer.headers["x-request-id"] == "ask-1"
                http.post("/query", json={"question": {"not": MARKS[0]}})
                time.sleep(0.5)  # the analyst's rounds, which fail now
        finally:
            process.terminate()
            process.wait(30)
        log.seek(0)
        return log.read().splitlines()


def wait_for_health(http, process):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if http.get("/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("the assistant did not answer")


@pytest.mark.integration
def test_lines_are_alike_name_the_request_and_hold_no_personal_data_or_key(lines, serving, model):
    written = [json.loads(line) for line in lines]

    for each in written:
        assert {"time", "level", "service", "logger", "message"} <= each.keys()
        assert each["service"] == "genai-assistant"
    assert "ask-1" in {each.get("request_id") for each in written}
    assert "ask-1" in serving.request_ids
    assert any(each["message"].startswith("analyst waits") for each in written)
    sent = str(serving.headers) + str(model.recorded)
    assert all(key in sent for key in (BEARER, OWN_KEY, MODEL_KEY))
    assert [mark for mark in MARKS if mark in "\n".join(lines)] == []
