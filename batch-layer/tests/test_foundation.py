import time

import pytest
from fastapi.testclient import TestClient

from batch_layer.app import create_app
from batch_layer.errors import SettingsError
from batch_layer.spark import jar_paths


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


def test_health_says_why_spark_cannot_start(settings, tmp_path):
    broken = settings.model_copy(update={"jars_dir": tmp_path / "none"})
    with TestClient(create_app(broken)) as client:
        deadline = time.monotonic() + 60
        while "jars" not in (answer := client.get("/health")).text:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.05)  # polled with a deadline

    assert answer.status_code == 503
    assert answer.json()["error"] == "SERVICE_UNAVAILABLE"
    assert answer.json()["timestamp"].endswith("Z")


@pytest.mark.integration
def test_delta_tables_keep_the_protocol_every_reader_knows(spark, tmp_path):
    path = str(tmp_path / "table")
    spark.range(3).write.format("delta").save(path)

    detail = spark.sql(f"DESCRIBE DETAIL delta.`{path}`").first()
    assert (detail.minReaderVersion, detail.minWriterVersion) == (1, 2)
