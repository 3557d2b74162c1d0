import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition
from opentelemetry.sdk.trace import TracerProvider

from contracts import traces
from event_generator.errors import OutputError
from event_generator.kafka import KafkaSink
from event_generator.stopping import StopSignal
from local_stack.testing import Broker

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Record = tuple[int, str, dict]


class Run:
    """The generator as a process; its report is readable while it runs."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self._log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "event_generator", *arguments], stderr=errors
            )

    @property
    def report(self) -> str:
        return self._log.read_text()

    def wait(self, timeout: float = 120) -> int:
        return self.process.wait(timeout)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def starter(*arguments: str) -> Run:
        runs.append(Run(tmp_path / f"report-{len(runs)}", *arguments))
        return runs[-1]

    yield starter
    for run in runs:
        run.process.kill()
        run.process.wait()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.05)  # polling another process


def records_of(broker: Broker, topic: str, partitions: int = 3) -> list[Record]:
    """Read a whole topic: partition, key and value of each record."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": "test",
            "enable.auto.commit": False,
            "enable.partition.eof": False,
        }
    )
    ends = {
        number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1]
        for number in range(partitions)
    }
    consumer.assign([TopicPartition(topic, number, 0) for number in ends])
    found: list[Record] = []
    deadline = time.monotonic() + 60
    while len(found) < sum(ends.values()):
        assert time.monotonic() < deadline, f"only {len(found)} of {ends} came"
        found += [
            (record.partition(), record.key().decode(), json.loads(record.value()))
            for record in consumer.consume(5_000, 1.0)
        ]
    consumer.close()
    return found


def test_events_arrive_keyed_by_user_and_once(broker, start):
    broker.create_topic("keyed", partitions=3)
    run = start(
        *("security", "--broker", broker.bootstrap_servers, "--topic", "keyed"),
        *("--count", "20000", "--rate", "0", "--seed", "1"),
    )

    assert run.wait() == 0
    assert "20,000 acknowledged, 0 failed" in run.report
    records = records_of(broker, "keyed")
    assert len({event["event_id"] for _, _, event in records}) == len(records) == 20_000
    assert all(key == event["user"] for _, key, event in records)
    homes = {(key, partition) for partition, key, _ in records}
    assert len(homes) == 14


def test_each_users_events_keep_their_order(broker, start):
    broker.create_topic("ordered", partitions=3)
    run = start(
        *("security", "--broker", broker.bootstrap_servers, "--topic", "ordered"),
        *("--count", "5000", "--rate", "0", "--clock-span", "5000"),
    )

    assert run.wait() == 0
    times: dict[str, list[int]] = {}
    for _, key, event in records_of(broker, "ordered"):
        times.setdefault(key, []).append(event["timestamp"])
    assert all(seen == sorted(seen) for seen in times.values())


def test_transactions_arrive_keyed_by_customer(broker, start, monkeypatch):
    broker.create_topic("sales", partitions=3)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.setenv("KAFKA_TOPIC", "sales")
    monkeypatch.setenv("EVENTS_PER_SECOND", "0")

    assert start("transactions", "--count", "1000").wait() == 0
    records = records_of(broker, "sales")
    assert len(records) == 1_000
    assert all(key == row["customer_id"] for _, key, row in records)


def test_the_seeder_also_fills_the_batch_topic(broker, start, monkeypatch, tmp_path):
    broker.create_topic("history", partitions=3)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.setenv("KAFKA_BATCH_TOPIC", "history")
    monkeypatch.setenv("SEED_KAFKA", "true")
    monkeypatch.setenv("TOTAL_RECORDS", "6000")
    monkeypatch.setenv("DELTA_OUTPUT_PATH", str(tmp_path / "table"))

    assert start("seed", "--seed", "3").wait() == 0
    records = records_of(broker, "history")
    assert len({row["transaction_id"] for _, _, row in records}) == len(records) == 6_000
    assert {row["batch_id"] for _, _, row in records} == {"seed-3"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_delivers_what_was_generated(broker, start, tmp_path, number):
    topic = f"stopped-{number.name.lower()}"
    labels = tmp_path / "labels"
    broker.create_topic(topic, partitions=3)
    run = start(
        *("security", "--broker", broker.bootstrap_servers, "--topic", topic),
        *("--rate", "2000", "--labels", str(labels)),
    )
    wait_until(lambda: labels.exists() and labels.read_text().count("\n") > 20, "20 labels")
    run.process.send_signal(number)

    assert run.wait() == 0
    records = records_of(broker, topic)
    assert f"{len(records):,} acknowledged, 0 failed" in run.report
    sent = {event["event_id"] for _, _, event in records}
    labelled = [json.loads(line)["event_id"] for line in labels.read_text().splitlines()]
    assert len(labelled) == len(records) // 50
    assert set(labelled) <= sent


def test_a_broker_that_comes_late_is_waited_for(tmp_path, start):
    broker = Broker(tmp_path)
    run = start(
        *("security", "--broker", broker.bootstrap_servers, "--topic", "late"),
        *("--count", "500", "--rate", "0"),
    )
    wait_until(lambda: "waiting: no answer from" in run.report, "a word about the broker")
    with broker:
        broker.create_topic("late", partitions=3)

        assert run.wait() == 0
        assert len(records_of(broker, "late")) == 500


def test_a_broker_that_goes_away_costs_nothing(tmp_path, start):
    labels = tmp_path / "labels"
    with Broker(tmp_path) as broker:
        broker.create_topic("outage", partitions=3)
        run = start(
            *("security", "--broker", broker.bootstrap_servers, "--topic", "outage"),
            *("--rate", "40000", "--count", "280000", "--labels", str(labels)),
        )
        wait_until(
            lambda: labels.exists() and labels.read_text().count("\n") > 500, "25,000 events"
        )
        broker.kill()
        wait_until(lambda: "waiting for" in run.report, "a word about the broker")
        time.sleep(6)  # more than QUEUE_EVENTS fall due meanwhile
        broker.start()

        assert run.wait(180) == 0, run.report
        assert "answers again" in run.report
        assert "280,000 acknowledged, 0 failed" in run.report
        records = records_of(broker, "outage")
        assert len({event["event_id"] for _, _, event in records}) == len(records) == 280_000


def test_what_could_not_be_delivered_is_counted_and_fails_the_run(tmp_path, start):
    with Broker(tmp_path) as broker:
        broker.create_topic("lost", partitions=3)
        labels = tmp_path / "labels"
        run = start(
            *("security", "--broker", broker.bootstrap_servers, "--topic", "lost"),
            *("--rate", "1000", "--labels", str(labels)),
        )
        wait_until(lambda: labels.exists() and labels.read_text() != "", "the first label")
        broker.kill()
        wait_until(lambda: "waiting for" in run.report, "a word about the broker")
    run.process.send_signal(signal.SIGTERM)
    run.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)  # signals sent together may arrive as one
    run.process.send_signal(signal.SIGTERM)

    assert run.wait(20) == 1
    assert "not acknowledged when the run was stopped" in run.report
    assert " 0 failed" not in run.report


def test_a_stop_while_waiting_for_the_broker_ends_the_run(start):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        run = start("security", "--broker", f"127.0.0.1:{unused.getsockname()[1]}")
        wait_until(lambda: "waiting: no answer from" in run.report, "a word about the broker")
        run.process.terminate()

        assert run.wait(20) == 0
        assert "stopped while waiting" in run.report


def test_a_missing_topic_is_named(broker, monkeypatch):
    monkeypatch.setattr("event_generator.kafka.TOPIC_PATIENCE_SECONDS", 0.5)
    said: list[str] = []
    sink = KafkaSink(broker.bootstrap_servers, "no-such-topic", StopSignal(), said.append)

    with pytest.raises(OutputError, match=r"has no topic no-such-topic; .* --topic"):
        sink.open()
    assert "has no topic no-such-topic" in said[0]


def test_a_topic_that_comes_late_is_waited_for(broker):
    said: list[str] = []
    sink = KafkaSink(broker.bootstrap_servers, "soon", StopSignal(), said.append)
    creation = threading.Timer(1.0, broker.create_topic, ("soon",))
    creation.start()
    sink.open()
    creation.join()
    sink.send(["ada"], ["{}"])

    assert sink.close().acknowledged == 1
    assert "has no topic soon" in said[0]


def test_an_event_the_broker_refuses_is_counted(broker):
    broker.create_topic("narrow", config={"max.message.bytes": "2000"})
    sink = KafkaSink(broker.bootstrap_servers, "narrow", StopSignal(), lambda _: None)
    sink.open()
    sink.send(["ada"], [random.Random(1).randbytes(20_000).hex()])
    delivery = sink.close()

    assert (delivery.acknowledged, delivery.failed) == (0, 1)
    assert "large" in delivery.reason


def test_with_traces_on_every_record_carries_the_span_that_sent_it(broker):
    broker.create_topic("traced")
    sink = KafkaSink(broker.bootstrap_servers, "traced", StopSignal(), lambda _: None)
    sink.open()
    traces.use(TracerProvider())
    try:
        sink.send(["ada", "bob"], ["{}", "{}"])
        sink.send(["ada", "bob"], ["{}", "x" * 2_000_000])  # larger than a client takes
    finally:
        traces.use(None)
    delivery = sink.close()
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "test"})
    consumer.assign([TopicPartition("traced", 0, 0)])
    found = [dict(record.headers())["traceparent"] for record in consumer.consume(3, 30)]
    consumer.close()

    assert (delivery.acknowledged, delivery.failed) == (3, 1)
    assert found[0] == found[1] != found[2]
