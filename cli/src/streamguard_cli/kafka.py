"""The only module that knows confluent-kafka: an idempotent producer, and a topic's last records."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from contracts import traces
from contracts.kafka_access import kafka_access
from streamguard_cli.errors import DeliveryError

BROKER_PATIENCE_SECONDS = 30.0
DELIVERY_PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.1
_AT_ONCE = 1_000

_silent = logging.getLogger("streamguard_cli.librdkafka")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


def producer_config(broker: str) -> dict[str, Any]:
    """Return librdkafka options; see its CONFIGURATION.md for what each one means."""
    return {
        "bootstrap.servers": broker,
        **kafka_access().librdkafka(),
        "client.id": "streamguard",
        "enable.idempotence": True,
        "message.timeout.ms": int(DELIVERY_PATIENCE_SECONDS * 1000),
        "linger.ms": 50,
        "compression.type": "lz4",
        # The partitioner of the Java clients: a user has one partition whoever produces.
        "partitioner": "murmur2_random",
        "log_level": 2,
    }


class EventSink:
    """Sends keyed values; counts what the broker acknowledged and what it did not.

    Attributes:
        acknowledged, failed: Values so far.
        reason: Why the first one failed; empty if none did.
    """

    def __init__(self, broker: str, topic: str) -> None:
        self.acknowledged = 0
        self.failed = 0
        self.reason = ""
        self._broker = broker
        self._topic = topic
        self._producer = Producer(producer_config(broker), logger=_silent)

    def open(self) -> None:
        """Make sure that the topic can be written to.

        Raises:
            DeliveryError: If the broker does not answer, or has no such topic.
        """
        _partitions(self._producer, self._broker, self._topic)

    def send(self, key: str, value: str) -> None:
        """Hand a value over; waits while too many are on their way."""
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    key=key,
                    value=value,
                    on_delivery=self._delivered,
                    headers=traces.current_headers(),
                )
            except BufferError:
                self._producer.poll(_POLL_SECONDS)
            else:
                break
        self._producer.poll(0)

    def poll(self) -> None:
        """Take note of acknowledgements."""
        self._producer.poll(0)

    def close(self) -> None:
        """Wait until every value is acknowledged or given up."""
        self._producer.flush()

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self.acknowledged += 1
            return
        self.failed += 1
        self.reason = self.reason or error.str()


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic.

    Attributes:
        timestamp: When the broker or the producer wrote it, Unix ms.
        headers: The last value of each name.
    """

    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]


def newest(broker: str, topics: Sequence[str], limit: int) -> list[Record]:
    """Return the last records of some topics, newest first; takes part in no group.

    Raises:
        DeliveryError: If the broker does not answer, or lacks a topic.
    """
    config = {
        "bootstrap.servers": broker,
        **kafka_access().librdkafka(),
        "client.id": "streamguard",
        "group.id": "streamguard",  # asked for, though nothing is committed
        "enable.auto.commit": False,
        "log_level": 2,
    }
    with closing(Consumer(config, logger=_silent)) as consumer:
        try:
            records = [each for topic in topics for each in _last(consumer, broker, topic, limit)]
        except KafkaException as error:
            raise _no_answer(broker, error) from error
    records.sort(key=lambda record: record.timestamp, reverse=True)
    return records[:limit]


def _last(consumer: Consumer, broker: str, topic: str, limit: int) -> Iterator[Record]:
    """Yield at least the last ``limit`` records of each partition, of what there is."""
    waiting: dict[int, int] = {}
    starts = []
    for number in _partitions(consumer, broker, topic):
        place = TopicPartition(topic, number)
        low, high = consumer.get_watermark_offsets(place, timeout=BROKER_PATIENCE_SECONDS)
        if high > low:
            waiting[number] = high
            starts.append(TopicPartition(topic, number, max(low, high - limit)))
    consumer.assign(starts)
    deadline = time.monotonic() + BROKER_PATIENCE_SECONDS
    while waiting:
        for message in consumer.consume(min(limit, _AT_ONCE), _POLL_SECONDS):
            if message.error() is not None:
                raise KafkaException(message.error())
            deadline = time.monotonic() + BROKER_PATIENCE_SECONDS
            yield _record(message)
        # Not by counting: offsets of transactions' marks have no record.
        for place in consumer.position([TopicPartition(topic, number) for number in waiting]):
            if place.offset >= waiting[place.partition]:
                del waiting[place.partition]
        if waiting and time.monotonic() > deadline:
            raise DeliveryError(f"{broker} stopped answering for {topic}")


def _record(message: Message) -> Record:
    headers = {
        name: value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        for name, value in dict(message.headers() or ()).items()
    }
    _, timestamp = message.timestamp()
    return Record(timestamp, message.key(), message.value(), headers)


def _partitions(client: Producer | Consumer, broker: str, topic: str) -> list[int]:
    """Return a topic's partitions.

    Raises:
        DeliveryError: If the broker does not answer, or has no such topic.
    """
    try:
        known = client.list_topics(topic, timeout=BROKER_PATIENCE_SECONDS)
    except KafkaException as error:
        raise _no_answer(broker, error) from error
    found = known.topics[topic]
    if found.error is not None or not found.partitions:
        raise DeliveryError(f"{broker} has no topic {topic}")
    return sorted(found.partitions)


def _no_answer(broker: str, error: KafkaException) -> DeliveryError:
    return DeliveryError(f"no answer from {broker}: {error.args[0].str()}")
