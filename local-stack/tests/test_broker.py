"""The real broker: start, records of every size, kill, restart."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from local_stack import broker
from local_stack.errors import BrokerError
from local_stack.java import Java, find_java
from local_stack.testing import Broker

pytestmark = pytest.mark.integration
QUIET = {"log_level": 0}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as started:
        yield started


def produce(target: Broker, topic: str, values: list[bytes]) -> int:
    failures = []
    options = {"bootstrap.servers": target.bootstrap_servers, "message.max.bytes": 9_000_000}
    producer = Producer({**options, **QUIET})
    for value in values:
        producer.produce(
            topic, value, on_delivery=lambda error, _: failures.append(error) if error else None
        )
    assert producer.flush(60) == 0
    return len(values) - len(failures)


def read(source: Broker, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": source.bootstrap_servers,
            "group.id": "reader",
            "fetch.message.max.bytes": 9_000_000,
            "receive.message.max.bytes": 100_000_000,
            **QUIET,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    values: list[bytes] = []
    while len(values) < count:
        batch = consumer.consume(count - len(values), timeout=30)
        assert batch, f"{len(values)} of {count} records came"
        values += [message.value() for message in batch if message.error() is None]
    consumer.close()
    return values


def test_records_survive_kill_and_restart_on_the_same_port(running: Broker) -> None:
    running.create_topic("kept")
    values = [str(number).encode() for number in range(1000)]
    assert produce(running, "kept", values) == 1000
    servers = running.bootstrap_servers
    running.kill()
    running.start()
    assert running.bootstrap_servers == servers
    assert read(running, "kept", 1000) == values


def test_a_record_of_five_megabytes_passes(running: Broker) -> None:
    running.create_topic("large")
    value = b"x" * 5_000_000
    assert produce(running, "large", [value]) == 1
    assert read(running, "large", 1) == [value]


def test_a_record_over_the_topics_limit_is_refused(running: Broker) -> None:
    running.create_topic("small", config={"max.message.bytes": "1000"})
    assert produce(running, "small", [b"x" * 2000]) == 0
    assert produce(running, "small", [b"y"]) == 1


def test_a_topic_has_its_partitions_and_may_exist_already(running: Broker) -> None:
    running.create_topic("twice", partitions=3)
    running.create_topic("twice", partitions=3)
    consumer = Consumer(
        {"bootstrap.servers": running.bootstrap_servers, "group.id": "look", **QUIET}
    )
    assert len(consumer.list_topics("twice", timeout=30).topics["twice"].partitions) == 3
    consumer.close()


def test_a_bad_topic_name_is_refused_with_the_brokers_words(running: Broker) -> None:
    with pytest.raises(BrokerError, match="topic no spaces allowed cannot be created"):
        running.create_topic("no spaces allowed")


def test_two_brokers_run_side_by_side(running: Broker, tmp_path: Path) -> None:
    with Broker(tmp_path) as other:
        other.create_topic("here")
        assert produce(other, "here", [b"1"]) == 1
        assert other.bootstrap_servers != running.bootstrap_servers
    assert other.pid is None


def test_a_second_broker_on_the_same_data_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with Broker(tmp_path) as first:
        first.create_topic("kept")
        with pytest.raises(BrokerError, match="another broker runs on"):
            Broker(tmp_path).start()
        assert produce(first, "kept", [b"1"]) == 1


def test_a_broker_that_exits_says_why(tmp_path: Path) -> None:
    with Broker(tmp_path) as once:
        pass
    meta = tmp_path / "broker" / "log" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))
    with pytest.raises(BrokerError, match=r"the broker exited with 1: (.|\n)*Stored node id 7"):
        once.start()


def test_missing_jars_say_what_to_do(tmp_path: Path) -> None:
    java: Java = find_java(tmp_path)
    spec = broker.BrokerSpec(tmp_path, tmp_path / "no-tools", java, 15_001, 15_002)
    with pytest.raises(BrokerError, match="run `make setup`"):
        broker.start_command(spec)
