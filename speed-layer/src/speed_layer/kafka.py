"""The edge to Kafka: client options, and messages sorted into records by partition.

Only this module, ``consumer`` and ``publisher`` know confluent-kafka.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from contracts.kafka_access import kafka_access
from contracts.topics import MAX_MESSAGE_BYTES
from speed_layer.segments import Records
from speed_layer.settings import Settings

logger = logging.getLogger(__name__)

Key = tuple[str, int]
"""Topic and partition."""

ErrorCallback = Callable[[KafkaError], None]

_HEADER_ROOM_BYTES = 1024 * 1024
_LIST_OFFSETS_TIMEOUT_SECONDS = 5.0


def consumer_config(settings: Settings, error_cb: ErrorCallback) -> dict[str, Any]:
    """Return librdkafka options of the consumer.

    Offsets come from our stores, never from the group, and never from a reset: what retention
    deleted must be noticed. Cooperative assignment leaves the partitions that stay alone.
    """
    return {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        **kafka_access().librdkafka(),
        "group.id": settings.consumer_group,
        "client.id": "speed-layer",
        "partition.assignment.strategy": "cooperative-sticky",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        # The end of a partition tells how far trailing markers and aborted records reach.
        "enable.partition.eof": True,
        "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
        "fetch.wait.max.ms": 100,
        "max.poll.interval.ms": 600_000,
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": settings.session_timeout_ms // 4,
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 2_000,
        "topic.metadata.refresh.interval.ms": 10_000,
        "error_cb": error_cb,
        "logger": logging.getLogger("speed_layer.librdkafka"),
    }


def producer_config(servers: str, error_cb: ErrorCallback) -> dict[str, Any]:
    """Return librdkafka options of the outbox's producer: idempotent, never giving up."""
    return {
        "bootstrap.servers": servers,
        **kafka_access().librdkafka(),
        "client.id": "speed-layer-outbox",
        "enable.idempotence": True,
        "linger.ms": 5,
        "compression.type": "lz4",
        "message.timeout.ms": 0,
        "message.max.bytes": MAX_MESSAGE_BYTES + _HEADER_ROOM_BYTES,
        "queue.buffering.max.kbytes": 65_536,
        "reconnect.backoff.max.ms": 2_000,
        "error_cb": error_cb,
        "logger": logging.getLogger("speed_layer.librdkafka"),
    }


@dataclass(slots=True)
class Polled:
    """What one ``consume`` returned, by partition.

    Attributes:
        messages: Records, ascending by offset.
        ends: Offset at which a partition was found to end.
        out_of_range: Partitions whose fetch position is no longer, or not yet, in the log.
        errors: Everything else.
    """

    messages: dict[Key, list[Message]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[Key, int] = field(default_factory=dict)
    out_of_range: list[Key] = field(default_factory=list)
    errors: list[KafkaError] = field(default_factory=list)


_RESET_CODES = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001  # the client's public name


def sort_messages(messages: Sequence[Message]) -> Polled:
    """Sort what a consumer returned."""
    polled = Polled()
    by_partition = polled.messages
    for message in messages:
        error = message.error()
        if error is None:
            by_partition[message.topic(), message.partition()].append(message)  # type: ignore[index]
        else:
            _sort_error(polled, message, error)
    return polled


def _sort_error(polled: Polled, message: Message, error: KafkaError) -> None:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None:
        polled.errors.append(error)
    elif error.code() == KafkaError._PARTITION_EOF and offset is not None:  # noqa: SLF001  # as above
        polled.ends[topic, partition] = offset
    elif error.code() in _RESET_CODES:
        polled.out_of_range.append((topic, partition))
    else:
        polled.errors.append(error)


def records_of(key: Key, messages: Sequence[Message], from_offset: int) -> Records:
    """Return the records at ``from_offset`` and above; earlier ones were stored before."""
    offsets: list[int] = [message.offset() for message in messages]  # type: ignore[misc]
    if offsets and offsets[0] < from_offset:
        messages = [message for message in messages if (message.offset() or 0) >= from_offset]
        offsets = [offset for offset in offsets if offset >= from_offset]
    return Records(
        topic=key[0],
        partition=key[1],
        offsets=offsets,
        keys=[message.key() for message in messages],
        values=[message.value() for message in messages],
        ingested_at=[message.timestamp()[1] for message in messages],
    )


def log_range(consumer: Consumer, key: Key) -> tuple[int, int]:
    """Return the first offset in the log and the one after the last.

    Raises:
        KafkaException: The broker does not answer.
    """
    watermarks = consumer.get_watermark_offsets(
        TopicPartition(*key), timeout=_LIST_OFFSETS_TIMEOUT_SECONDS
    )
    if watermarks is None:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001  # as above
    return watermarks
