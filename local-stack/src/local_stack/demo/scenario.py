"""Generate the demo's events with the event generator, and publish them in two parts."""

import secrets
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from contracts.topics import SECURITY_EVENTS, TRANSACTIONS_STREAM
from local_stack.errors import DemoError

EVENTS = 50_000
EVENTS_BEFORE_BATCH = 40_000
TRANSACTIONS = 5_000
_EVENT_TIME_SECONDS = 24 * 3600
_FLUSH_SECONDS = 120


class _Identified(msgspec.Struct):
    """What the demo must know of an event: its key and its id."""

    event_id: str
    user: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """One demo's events, and which of them are anomalous."""

    seed: int
    values: Sequence[bytes]
    users: Sequence[str]
    event_ids: frozenset[str]
    anomalous_ids: frozenset[str]
    start_ms: int
    end_ms: int


def generate(folder: Path) -> Scenario:
    """Generate one day of events that ends now, under a seed of their own.

    The labels are kept aside in ``folder``; the events themselves carry none.

    Raises:
        DemoError: the generator failed.
    """
    seed = secrets.randbelow(2**31)
    folder.mkdir(parents=True, exist_ok=True)
    events_file, labels_file = folder / "events.ndjson", folder / f"labels-{seed}.ndjson"
    _generator(
        "security", "--count", EVENTS, "--rate", 0, "--seed", seed,
        "--clock-span", _EVENT_TIME_SECONDS, "--labels", labels_file, "--output", events_file,
    )  # fmt: skip
    values = events_file.read_bytes().splitlines()
    events_file.unlink()  # 27 MB that the broker is about to hold
    events = [msgspec.json.decode(value, type=_Identified) for value in values]
    labels = [msgspec.json.decode(line) for line in labels_file.read_bytes().splitlines()]
    return Scenario(
        seed=seed,
        values=values,
        users=[event.user for event in events],
        event_ids=frozenset(event.event_id for event in events),
        anomalous_ids=frozenset(label["event_id"] for label in labels if label["is_anomaly"]),
        start_ms=min(event.timestamp for event in events),
        end_ms=max(event.timestamp for event in events),
    )


def publish(scenario: Scenario, bootstrap_servers: str, first: int, end: int) -> None:
    """Publish the events at positions ``[first, end)``, keyed by user, and wait until kept.

    Raises:
        DemoError: the broker did not take every one of them.
    """
    failures: list[str] = []

    def report(error: object, _message: object) -> None:
        if error is not None:
            failures.append(str(error))

    options: dict[str, Any] = {
        "bootstrap.servers": bootstrap_servers,
        "enable.idempotence": True,
        "linger.ms": 50,
        "compression.type": "lz4",
        # As the generator and the Java clients: a user stays in one partition.
        "partitioner": "murmur2_random",
        "log_level": 2,
    }
    producer = Producer(options)
    for position in range(first, end):
        value, key = scenario.values[position], scenario.users[position]
        try:
            producer.produce(SECURITY_EVENTS, value, key, on_delivery=report)
        except BufferError:
            producer.flush(_FLUSH_SECONDS)  # the queue is full: let it drain
            producer.produce(SECURITY_EVENTS, value, key, on_delivery=report)
    left = producer.flush(_FLUSH_SECONDS)
    if left or failures:
        why = failures[0] if failures else f"no answer within {_FLUSH_SECONDS} s"
        raise DemoError(f"{left + len(failures)} events were not taken by the broker: {why}")


def publish_transactions(bootstrap_servers: str) -> dict[str, int]:
    """Generate transactions into their topic; return each partition's offset before them.

    Raises:
        DemoError: the generator failed, or the topic cannot be read.
    """
    before = next_offsets(bootstrap_servers, TRANSACTIONS_STREAM)
    _generator(
        "transactions", "--count", TRANSACTIONS, "--rate", 0, "--seed", secrets.randbelow(2**31),
        "--broker", bootstrap_servers, "--clock-span", _EVENT_TIME_SECONDS,
    )  # fmt: skip
    return before


def next_offsets(bootstrap_servers: str, topic: str) -> dict[str, int]:
    """Return the next offset of each partition, by its number as text.

    Raises:
        DemoError: the broker or the topic is not there.
    """
    options: dict[str, Any] = {
        "bootstrap.servers": bootstrap_servers,
        "group.id": "demo",
        "log_level": 2,
    }
    consumer = Consumer(options)
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        return {
            str(number): consumer.get_watermark_offsets(TopicPartition(topic, number), 30)[1]
            for number in sorted(partitions)
        }
    except KafkaException as error:
        raise DemoError(f"the offsets of {topic} cannot be read: {error}") from error
    finally:
        consumer.close()


def _generator(*arguments: object) -> None:
    command = [sys.executable, "-m", "event_generator", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoError(f"the event generator failed: {done.stderr.strip()[-500:]}")
