"""One real broker, one hard topic, and what an undisturbed run makes of it."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from contracts.topics import ALL_TOPICS, MAX_MESSAGE_BYTES
from event_generator.clock import EventClock
from event_generator.security.stream import SecurityScenario, SecurityStream
from local_stack.secure_testing import SecureListener, secure_listener
from local_stack.testing import Broker
from speed_layer.fault_testing import ForkedSpeedProcess
from speed_layer.partition import Partition
from speed_layer.segments import Records
from speed_layer.settings import Settings
from speed_layer.store import Commit
from speed_layer.testing import SpeedProcess, canonical, wait_for

TOPIC = "security-events"
EVENTS = 40_000
FIVE_MB = 5_000_000
START = 1_700_000_000_000


@dataclass(frozen=True)
class HardTopic:
    """Where the topic is, and how far a reader of committed records must get."""

    servers: str
    ends: dict[tuple[str, int], int]


@pytest.fixture(scope="session")
def events() -> list[bytes]:
    stream = SecurityStream(SecurityScenario(7, EventClock.at_rate(START, 100)))
    values: list[bytes] = []
    while len(values) < EVENTS:
        values += [value.encode() for value in stream.batch(len(values) // 5_000).values]
    return values


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> SecureListener:
    return secure_listener(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, secured: SecureListener) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("kafka")
    listeners = {"SASL_SSL": secured.port}
    with Broker(folder, listeners=listeners, properties=secured.properties) as broker:
        for topic in ALL_TOPICS:
            partitions = 2 if topic.name == TOPIC else 1
            broker.create_topic(topic.name, partitions, topic.config)
        yield broker


def bad_records() -> list[bytes | None]:
    good: dict[str, Any] = {"event_id": "x", "timestamp": START, "event_type": "dns_query"}
    return [
        b"\xff\xfe no json",
        json.dumps({**good, "timestamp": "soon"}).encode(),
        json.dumps({**good, "timestamp": 1_000}).encode(),
        json.dumps({**good, "timestamp": 9_000_000_000_000}).encode(),
        json.dumps({"timestamp": START, "event_type": "dns_query"}).encode(),
        b"",
        None,
        json.dumps({**good, "padding": "x" * FIVE_MB}).encode(),
    ]


@pytest.fixture(scope="session")
def hard_topic(broker: Broker, events: list[bytes]) -> HardTopic:
    """Good events over two partitions; among them bad ones, duplicates and aborted ones."""
    config = {
        "bootstrap.servers": broker.bootstrap_servers,
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "queue.buffering.max.messages": 200_000,
    }
    producer = Producer({**config, "linger.ms": 50})
    third = len(events) // 3
    produce(producer, events[:third])
    for value in bad_records():
        producer.produce(TOPIC, value, key=b"bad", partition=0)
    produce(producer, events[third - 50 : third])  # duplicates
    producer.flush(60)
    transactions = Producer({**config, "transactional.id": "hard"})
    transactions.init_transactions(60)
    for part, commit in ((events[third : third + 500], False), (events[third : 2 * third], True)):
        transactions.begin_transaction()
        produce(transactions, part)
        transactions.flush(60)
        (transactions.commit_transaction if commit else transactions.abort_transaction)(60)
    unknown = {**json.loads(events[0]), "event_id": "evt_unknown", "colour": {"deep": [1]}}
    producer.produce(TOPIC, json.dumps(unknown), partition=1)
    produce(producer, events[2 * third :])
    producer.flush(60)
    transactions.begin_transaction()
    for partition in (0, 1):  # so that both logs end with an aborted record and a marker
        transactions.produce(TOPIC, events[0], partition=partition)
    transactions.flush(60)
    transactions.abort_transaction(60)
    return HardTopic(broker.bootstrap_servers, log_ends(broker.bootstrap_servers, TOPIC, 2))


def produce(producer: Producer, values: list[bytes]) -> None:
    for value in values:
        user = json.loads(value)["user"]
        producer.produce(TOPIC, value, key=user, partition=len(user) % 2)
        producer.poll(0)


def log_ends(servers: str, topic: str, partitions: int) -> dict[tuple[str, int], int]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "ends"})
    try:
        return {
            (topic, number): consumer.get_watermark_offsets(TopicPartition(topic, number), 30)[1]
            for number in range(partitions)
        }
    finally:
        consumer.close()


@pytest.fixture(scope="session")
def read_topic(broker: Broker) -> Callable[[str], list[Any]]:
    """Read every message of a topic."""

    def read(topic: str) -> list[Any]:
        config = {"bootstrap.servers": broker.bootstrap_servers, "group.id": "reader"}
        consumer = Consumer({**config, "enable.auto.commit": False})
        ends = log_ends(broker.bootstrap_servers, topic, 1)
        messages: list[Any] = []
        try:
            consumer.assign([TopicPartition(topic, 0, 0)])
            while len(messages) < ends[topic, 0]:
                messages += [m for m in consumer.consume(1000, 1) if not m.error()]
        finally:
            consumer.close()
        return messages

    return read


Process = TypeVar("Process", bound=SpeedProcess)
StartWorker = Callable[..., SpeedProcess]
StartForked = Callable[..., ForkedSpeedProcess]


def worker(
    stack: ExitStack, path: Path, servers: str, made: type[Process], **settings: str
) -> Process:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    defaults = {
        "SPEED_KAFKA_BOOTSTRAP_SERVERS": servers,
        "SPEED_STORE_DIR": str(path / "store"),
        "SPEED_LAKE_DIR": str(path / "lake"),
        "SPEED_CONSUMER_GROUP": path.name,
        "SPEED_TOPICS": TOPIC,
        "SPEED_BATCH_EVENTS": "300",
        "SPEED_SNAPSHOT_EVENTS": "4000",
        "SPEED_RETRY_SECONDS": "0.5",
    }
    process = made(path, port, {**defaults, **settings})
    stack.callback(process.__exit__)
    return process


@pytest.fixture
def new_worker(tmp_path: Path, broker: Broker) -> Iterator[StartWorker]:
    """Make a worker of the test's own group and stores; it is ended with the test."""
    with ExitStack() as stack:
        servers = broker.bootstrap_servers
        yield lambda **settings: worker(stack, tmp_path, servers, SpeedProcess, **settings)


@pytest.fixture
def new_fork(tmp_path: Path, broker: Broker) -> Iterator[StartForked]:
    """Make a worker like ``new_worker``'s that starts at once, and may kill itself."""
    with ExitStack() as stack:
        servers = broker.bootstrap_servers
        yield lambda **settings: worker(stack, tmp_path, servers, ForkedSpeedProcess, **settings)


@dataclass(frozen=True)
class Reference:
    """What a run without any disturbance left."""

    stores: dict[int, dict[str, Any]]
    positions: list[dict[str, Any]]
    metrics: str


@pytest.fixture(scope="session")
def reference(hard_topic: HardTopic, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    path = tmp_path_factory.mktemp("reference")
    with ExitStack() as stack:
        process = worker(stack, path, hard_topic.servers, SpeedProcess).start()
        process.wait_until(hard_topic.ends, 300)  # the first start after a change compiles
        positions = process.json("/positions")["partitions"]
        wait_for("no lag", lambda: lags(process) == {"0.0"})
        metrics = process.request("/metrics")[2].decode()
        assert process.stop() == 0, process.log()
    stores = {number: canonical(path / "store", TOPIC, number) for number in (0, 1)}
    return Reference(stores, positions, metrics)


def lags(process: SpeedProcess) -> set[str]:
    lines = process.request("/metrics")[2].decode().splitlines()
    return {line.split()[-1] for line in lines if line.startswith("speed_consumer_lag{")}


@pytest.fixture
def same_as_reference(reference: Reference, tmp_path: Path) -> Callable[[], None]:
    """Compare this test's stores with the undisturbed run's, piece by piece."""

    def compare() -> None:
        for number, expected in reference.stores.items():
            found = canonical(tmp_path / "store", TOPIC, number)
            for piece, value in expected.items():
                assert found[piece] == value, f"{piece} of partition {number}"

    return compare


Feed = Callable[[Partition, int, int], Commit]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(store_dir=tmp_path / "store", lake_dir=tmp_path / "lake")


@pytest.fixture
def feed(events: list[bytes]) -> Feed:
    """Process and store ``events[first:last]`` at offsets from ``first`` on."""

    def feed(partition: Partition, first: int, last: int) -> Commit:
        count = last - first
        records = Records(
            TOPIC, 0, range(first, last), [None] * count, events[first:last], [START] * count
        )
        processed = partition.process(records, last)
        partition.write(processed.commit)
        return processed.commit

    return feed
