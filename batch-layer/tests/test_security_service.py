"""Runs through the control API: real broker, real Spark."""

import json
import time
from datetime import timedelta

import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer, TopicPartition
from fastapi.testclient import TestClient

from batch_layer.app import create_app
from batch_layer.errors import BatchLayerError, BrokerError
from batch_layer.security import service as service_module
from batch_layer.security.bounded import held_ranges
from batch_layer.security.registry import RunRecord, RunRegistry
from batch_layer.security.service import SecurityRuns
from contracts.lake import CURRENT, read_current
from contracts.topics import ANALYTICS_INSIGHTS, SECURITY_EVENTS

pytestmark = pytest.mark.integration


def ended(client: TestClient, run_id: str) -> dict:
    deadline = time.monotonic() + 240
    while (body := client.get(f"/security/runs/{run_id}").json())["status"] in (
        "PENDING",
        "RUNNING",
    ):
        assert time.monotonic() < deadline, body
        time.sleep(0.1)  # polled with a deadline
    return body


def healthy(client: TestClient) -> TestClient:
    deadline = time.monotonic() + 60
    while client.get("/health").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)  # polled with a deadline
    return client


def insights(servers: str, count: int) -> list[dict]:
    """Return the first records of ``analytics-insights``, by user."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "insights"})
    consumer.assign([TopicPartition(ANALYTICS_INSIGHTS, partition, 0) for partition in (0, 1)])
    messages = [consumer.poll(60) for _ in range(count)]
    consumer.close()
    patterns = [json.loads(message.value()) for message in messages]
    assert all(m.key() == p["userId"].encode() for m, p in zip(messages, patterns, strict=True))
    return sorted(patterns, key=lambda pattern: pattern["userId"])


def test_runs_by_api(settings, lend, topics, event):
    settings = settings.model_copy(update={"kafka_bootstrap_servers": topics.bootstrap_servers})
    topics.create(SECURITY_EVENTS, 2)
    for partition in (0, 1):
        values = [event(n, f"user{n % 7}") for n in range(partition, 400, 2)]
        topics.produce(SECURITY_EVENTS, values, partition)
    with TestClient(create_app(settings, lend)) as client:
        healthy(client)
        accepted = client.post("/security/run")
        assert accepted.status_code == 202
        assert accepted.json()["status"] == "PENDING"
        second = client.post("/security/run")
        assert second.status_code == 409
        assert second.json()["error"] == "RUN_ALREADY_RUNNING"
        published = ended(client, accepted.json()["runId"])
        assert published["status"] == "COMPLETED", published
        assert published["published"] is True
        assert read_current(settings.lake_dir) == published["runId"]

        patterns = insights(topics.bootstrap_servers, 7)
        assert [pattern["userId"] for pattern in patterns] == [f"user{n}" for n in range(7)]
        assert {pattern["runId"] for pattern in patterns} == {published["runId"]}
        assert patterns[0]["features"]["total_events"] == 58

        nothing_new = ended(client, client.post("/security/run").json()["runId"])
        assert nothing_new["published"] is False
        assert "no new records" in nothing_new["message"]

        same_model = {"model": published["runId"]}
        again = ended(client, client.post("/security/run", json=same_model).json()["runId"])
        assert again["published"] is True, again
        runs = {"a": published["runId"], "b": again["runId"]}
        compared = client.get("/runs/compare", params=runs).json()
        assert compared["b"]["modelRunId"] == published["runId"]
        assert compared["totals"] == {"added": 0, "dropped": 0, "changed": 0}
        assert compared["settingsChanged"] == []
        assert client.get("/security/runs/compare", params=runs).json() == compared
        unknown = client.get("/runs/compare", params=runs | {"b": "run-0"})
        assert (unknown.status_code, unknown.json()["error"]) == (404, "RUN_NOT_FOUND")
        refused = ended(client, client.post("/security/run", json={"model": "x"}).json()["runId"])
        assert refused["errorMessage"] == "model: the lake keeps no run 'x'"

        request = {"maxEvents": 100, "contamination": 0.2, "algorithm": "kmeans"}
        bounded = ended(client, client.post("/security/run", json=request).json()["runId"])
        assert bounded["status"] == "COMPLETED", bounded
        listed = client.get("/security/runs", params={"limit": 2}).json()
        assert listed["total"] == 5
        assert [run["runId"] for run in listed["runs"]] == [bounded["runId"], refused["runId"]]
        metrics = client.get("/metrics").text
        assert 'batch_seam_offset{partition="1",topic="security-events"} 200.0' in metrics

    folder = settings.data_dir / "reports" / bounded["runId"]
    report = json.loads((folder / "anomaly_report.json").read_text())
    assert bounded["output"] == str(folder.resolve())
    assert (folder / "_SUCCESS").exists()
    assert report["total_users"] == 7
    assert report["anomalous_users"] >= 1
    assert report["anomaly_rate"] == report["anomalous_users"] / 7
    parts = {path.parent.name: path for path in folder.glob("is_anomaly=*/*.parquet")}
    assert pq.ParquetFile(parts["is_anomaly=1"]).metadata.num_rows == report["anomalous_users"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"algorithm": "dbscan"}, "algorithm"),
        ({"contamination": 0.9}, "contamination"),
        ({"maxEvents": 0}, "maxEvents"),
        ({"maxEvent": 5}, "maxEvent"),
    ],
)
def test_a_bad_request_names_the_field(settings, lend, body, field):
    with TestClient(create_app(settings, lend)) as client:
        answer = healthy(client).post("/security/run", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"] == "INVALID_REQUEST"
    assert answer.json()["message"].startswith(field)


def test_an_unknown_run_is_not_found(settings, lend):
    with TestClient(create_app(settings, lend)) as client:
        answer = healthy(client).get("/security/runs/nope")

    assert (answer.status_code, answer.json()["error"]) == (404, "RUN_NOT_FOUND")


def test_a_run_without_a_broker_fails_in_time_and_says_why(settings, lend):
    down = settings.model_copy(
        update={
            "kafka_bootstrap_servers": "127.0.0.1:9",
            "kafka_timeout": settings.kafka_timeout / 15,
        }
    )
    with TestClient(create_app(down, lend)) as client:
        run = ended(client, healthy(client).post("/security/run").json()["runId"])

    assert run["status"] == "FAILED"
    assert "127.0.0.1:9 did not answer within 2 s" in run["errorMessage"]
    assert run["endTime"] >= run["startTime"] >= run["submitTime"]


def test_runs_cut_off_by_a_crash_are_failed_at_the_next_start(settings):
    registry = RunRegistry(settings.data_dir / "security-runs.sqlite")
    for run_id, status in (("run-a", "RUNNING"), ("run-b", "PENDING"), ("run-c", "COMPLETED")):
        registry.save(RunRecord(run_id=run_id, status=status, submit_time="2026-01-01T00:00:00Z"))
    registry.close()

    runs = SecurityRuns(spark=None, settings=settings)
    runs.start()

    assert [runs.get(f"run-{name}").status for name in "abc"] == ["FAILED", "FAILED", "COMPLETED"]
    assert runs.get("run-a").error_message == "interrupted by a restart"
    runs.stop(0)


def test_a_damaged_pointer_is_a_warning_at_start(settings, caplog):
    pointer = settings.lake_dir / CURRENT
    pointer.parent.mkdir(parents=True)
    pointer.write_bytes(b"\0" * 20)

    runs = SecurityRuns(spark=None, settings=settings)
    runs.start()

    assert "security/CURRENT holds no run id" in caplog.text
    assert runs.latest(1) == (0, [])
    runs.stop(0)


def test_a_bounded_run_without_a_broker_names_it(settings):
    away = {"kafka_bootstrap_servers": "127.0.0.1:9", "kafka_timeout": timedelta(seconds=0.5)}
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:9 did not answer"):
        held_ranges(settings.model_copy(update=away), 10)


def test_a_bounded_run_over_empty_topics_says_so(settings, topics):
    settings = settings.model_copy(update={"kafka_bootstrap_servers": topics.bootstrap_servers})
    topics.create(SECURITY_EVENTS)

    with pytest.raises(BatchLayerError, match="hold no records"):
        held_ranges(settings, 10)


def test_a_larger_bounded_run_uses_tasks_and_agrees(
    spark, settings, topics, event, tmp_path, monkeypatch
):
    settings = settings.model_copy(update={"kafka_bootstrap_servers": topics.bootstrap_servers})
    topics.create(SECURITY_EVENTS, 2)
    for partition in (0, 1):
        topics.produce(SECURITY_EVENTS, [event(n, f"u{n % 5}") for n in range(300)], partition)
    options = service_module.BoundedOptions(400)
    here = service_module.bounded_run(spark, settings, options, tmp_path / "here")
    monkeypatch.setattr("batch_layer.security.bounded.IN_DRIVER", 10)
    tasks = service_module.bounded_run(spark, settings, options, tmp_path / "tasks")

    assert here.events == tasks.events == 400
    assert here.report == tasks.report
    assert not list((tmp_path / "tasks").glob(".work*"))
