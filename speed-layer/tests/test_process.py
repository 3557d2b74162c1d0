"""The service as a process: start, stop, pruning, retention."""

import json
import socket
import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from rich.console import Console

from contracts import lake
from contracts.views import Manifest, PartitionSeam
from local_stack.topic_access import allow
from speed_layer.testing import wait_for

pytestmark = pytest.mark.integration

TOPIC = "security-events"
ACTIVITY = "user-events"


def produce_activity(broker, count):
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for number in range(count):
        event = {"userId": "ada", "eventType": "USER_LOGIN", "timestamp": "2026-01-02T03:04:05"}
        producer.produce(ACTIVITY, json.dumps({**event, "sessionId": str(number)}))
    assert producer.flush(30) == 0


def test_an_empty_topic_is_waited_for_and_deleted_offsets_are_reported_as_lost(new_fork, broker):
    process = new_fork(SPEED_TOPICS=ACTIVITY).start()
    wait_for("health over an empty topic", lambda: process.request("/health")[0] == 200)
    assert process.next_offsets() == {(ACTIVITY, 0): 0}

    produce_activity(broker, 100)
    process.wait_until({(ACTIVITY, 0): 100})
    begin = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - begin < 15

    produce_activity(broker, 100)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(ACTIVITY, 0, 150)]).values():
        future.result(30)
    process.start()
    process.wait_until({(ACTIVITY, 0): 200})
    position = process.json("/positions")["partitions"][0]
    metrics = process.request("/metrics")[2].decode()
    assert process.stop() == 0

    assert (position["rows"], position["lost"], position["skipped"]) == (150, 50, 0)
    assert position["first_offset"] == 0
    assert 'speed_offsets_lost_total{topic="user-events"} 50.0' in metrics
    assert "50 records, offsets 100 to 149, were deleted by retention" in process.log()


def test_with_a_service_key_nothing_but_health_and_metrics_is_told_without_it(new_fork, broker):
    key = "k-0123456789abcdef"
    process = new_fork(SPEED_TOPICS=ACTIVITY, SERVICE_KEY=key).start()
    wait_for("health without the key", lambda: process.request("/health")[0] == 200)
    with_key = {"Authorization": f"Bearer {key}"}

    assert [
        process.request(path)[0] for path in ("/positions", "/features/ada", "/docs", "/metrics")
    ] == [401, 401, 401, 200]
    assert process.request("/positions", with_key)[0] == 200
    assert process.stop() == 0
    assert key not in process.log()


def test_a_taken_port_is_a_clear_error(new_worker):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = new_worker(SPEED_PORT=str(taken.getsockname()[1])).start()
        assert process.process.wait(60) == 1

    assert "is the port taken?" in process.log()


def test_a_published_run_prunes_below_its_seam_only_and_a_damaged_pointer_stops_nothing(
    new_fork, hard_topic, tmp_path
):
    process = new_fork().start()
    process.wait_until(hard_topic.ends)
    before = process.json("/positions")["partitions"][0]
    seam = before["next_offset"] // 2
    publish_seam(tmp_path / "lake", seam)
    after = wait_for(
        "pruning",
        lambda: (
            (found := process.json("/positions")["partitions"][0])["segments_from"] > 0 and found
        ),
    )
    (tmp_path / "lake" / lake.CURRENT).write_bytes(b"\0" * 20)
    wait_for("the warning", lambda: "security/CURRENT holds no run id" in process.log())
    assert process.request("/health")[0] == 200
    lake.write_current(tmp_path / "lake", "r1")

    path = f"/segments?topic={TOPIC}&partition=0&from_offset="
    gone, kept = process.request(f"{path}0"), process.request(f"{path}{seam}")
    assert process.stop() == 0

    assert seam - 300 < after["segments_from"] <= seam
    assert {**after, "segments_from": 0} == before
    assert (gone[0], kept[0]) == (410, 200)

    process.start()
    process.wait_until(hard_topic.ends)
    assert "from store" in process.log()
    assert process.stop() == 0


def publish_seam(lake_dir, seam):
    manifest = Manifest(
        run_id="r1",
        created_at=0,
        full=True,
        detection_version="any",
        scorer="any",
        algorithm="isolation_forest",
        seam=[
            PartitionSeam(
                topic=TOPIC, partition=0, first_offset=0, next_offset=seam, rows=seam, skipped=0
            )
        ],
        event_files=[],
        alert_files=[],
        aggregate_files=[],
        user_files=[],
        state_files=[],
        report="",
    )
    path = lake_dir / lake.manifest_path("r1")
    path.parent.mkdir(parents=True)
    path.write_text(manifest.model_dump_json())
    lake.write_current(lake_dir, "r1")


def test_a_broker_with_tls_and_a_login_is_read_and_a_wrong_password_is_said(
    new_fork, broker, secured
):
    settings = {
        **secured.environment,
        "SPEED_KAFKA_BOOTSTRAP_SERVERS": secured.bootstrap_servers,
        "SPEED_TOPICS": ACTIVITY,
        "SPEED_CONSUMER_GROUP": "speed-layer",
    }
    produce_activity(broker, 10)
    # The login may do no more than this on the broker.
    allow(broker.bootstrap_servers, "speed-layer", f"User:{secured.username}", Console())
    process = new_fork(**settings).start()

    def rows() -> int:
        return sum(held["rows"] for held in process.json("/positions").get("partitions", []))

    wait_for("records over TLS", lambda: rows() >= 10)
    assert process.stop() == 0

    refused = new_fork(**{**settings, "KAFKA_SASL_PASSWORD": "battery staple"}).start()
    wait_for("the refusal in the log", lambda: "uthentication failed" in refused.log())
    assert "battery staple" not in refused.log()


def test_log_lines_are_alike_name_the_partition_and_hold_no_personal_data(new_fork, broker):
    marks = ("ada.lovelace", "198.51.100.77", "xyzzy-laptop")
    event = {"userId": marks[0], "ipAddress": marks[1], "deviceId": marks[2], "eventType": "LOGIN"}
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for timestamp in ("2026-01-02T03:04:05", marks[0]):  # the second is no time: a dead letter
        value = json.dumps({**event, "sessionId": marks[2], "timestamp": timestamp})
        producer.produce(ACTIVITY, value, key=marks[0])
    assert producer.flush(30) == 0
    process = new_fork(SPEED_TOPICS=ACTIVITY, LOG_FORMAT="json").start()
    process.wait_until({(ACTIVITY, 0): log_end(broker)})
    assert process.json("/positions")["partitions"][0]["dead_letters"] > 0
    assert process.stop() == 0
    lines = [json.loads(line) for line in process.log().splitlines()]

    for line in lines:
        assert {"time", "level", "service", "logger", "message"} <= line.keys()
        assert line["service"] == "speed-layer"
    [fetching] = [line for line in lines if line["message"].endswith("fetching")]
    assert (fetching["topic"], fetching["partition"]) == (ACTIVITY, 0)
    assert fetching["offset"] >= 0
    assert [mark for mark in marks if mark in process.log()] == []


def log_end(broker):
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "end"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(ACTIVITY, 0), 30)[1]
    finally:
        consumer.close()
