import json
import os
import socket
import subprocess
import sys
import time

import pytest
from fastapi.testclient import TestClient

from batch_layer.app import create_app
from batch_layer.errors import SettingsError
from batch_layer.spark import jar_paths
from contracts import service_key


def wait_until_healthy(client: TestClient) -> dict:
    deadline = time.monotonic() + 60
    while (answer := client.get("/health")).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)  # polled with a deadline
    return answer.json()


def test_missing_jars_say_what_to_do(tmp_path):
    with pytest.raises(SettingsError, match="make setup"):
        jar_paths(tmp_path)


@pytest.mark.integration
def test_health_says_spark_is_up(settings, lend):
    with TestClient(create_app(settings, lend)) as client:
        body = wait_until_healthy(client)

    assert body["status"] == "healthy"
    assert body["spark"] is True
    assert body["uptime"] > 0


def test_with_a_service_key_the_control_api_asks_for_it(settings, tmp_path, monkeypatch):
    key = "k-0123456789abcdef"
    monkeypatch.setenv("SERVICE_KEY", key)
    service_key.service_key.cache_clear()
    settings = settings.model_copy(update={"jars_dir": tmp_path / "none"})
    try:
        client = TestClient(create_app(settings))  # never started: no Spark for this
        refused = client.post("/stop")
        unasked = client.get("/openapi.json")
        answered = client.get("/openapi.json", headers=service_key.headers())
    finally:
        service_key.service_key.cache_clear()

    assert (refused.status_code, refused.json()["error"]) == (401, "UNAUTHORIZED")
    assert refused.json()["timestamp"].endswith("Z")
    assert "SERVICE_KEY" in refused.json()["message"]
    assert (unasked.status_code, answered.status_code) == (401, 200)


def test_health_says_why_spark_cannot_start(settings, tmp_path):
    broken = settings.model_copy(update={"jars_dir": tmp_path / "none"})
    with TestClient(create_app(broken)) as client:
        deadline = time.monotonic() + 60
        given = {"X-Request-ID": "ticket-17"}
        while "jars" not in (answer := client.get("/health", headers=given)).text:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.05)  # polled with a deadline

    assert answer.status_code == 503
    assert answer.json()["error"] == "SERVICE_UNAVAILABLE"
    assert answer.json()["timestamp"].endswith("Z")
    assert answer.headers["x-request-id"] == "ticket-17"


@pytest.mark.integration
def test_log_lines_are_alike_and_the_reason_of_a_start_that_fails_is_read(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    settings = {"LOG_FORMAT": "json", "BATCH_PORT": port, "BATCH_JARS_DIR": str(tmp_path / "none")}
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "batch_layer", "serve"],
            env=os.environ | settings,
            cwd=tmp_path,
            stderr=log,
        )
        try:
            deadline = time.monotonic() + 180
            while "ERROR" not in (written := (tmp_path / "log").read_text()):
                assert time.monotonic() < deadline, written
                time.sleep(0.05)  # polled with a deadline
        finally:
            process.terminate()
            process.wait(60)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]

    for line in lines:
        assert {"time", "level", "service", "logger", "message"} <= line.keys()
        assert line["service"] == "batch-layer"
    [failure] = [line for line in lines if line["level"] == "ERROR"]
    assert "make setup" in failure["message"]
    assert "SettingsError" in failure["exception"]


@pytest.mark.integration
def test_delta_tables_keep_the_protocol_every_reader_knows(spark, tmp_path):
    path = str(tmp_path / "table")
    spark.range(3).write.format("delta").save(path)

    detail = spark.sql(f"DESCRIBE DETAIL delta.`{path}`").first()
    assert (detail.minReaderVersion, detail.minWriterVersion) == (1, 2)
