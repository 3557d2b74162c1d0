"""What the broker says about topics; records themselves are read by Spark."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs forget to export one
    AdminClient,
    OffsetSpec,
)

from batch_layer.errors import BrokerError
from contracts.topics import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from datetime import timedelta

Offsets = dict[int, int]
"""An offset per partition."""


@dataclass(frozen=True, slots=True)
class TopicOffsets:
    """What a topic's log holds: per partition, ``[first, next)``."""

    first: Offsets
    next: Offsets


def topic_offsets(
    bootstrap_servers: str, topics: Iterable[str], timeout: "timedelta"
) -> dict[str, TopicOffsets]:
    """Ask the broker which offsets it holds, committed transactions only.

    Returns:
        One entry per topic that exists.

    Raises:
        BrokerError: If the broker does not answer in time.
    """
    seconds = timeout.total_seconds()
    # librdkafka logs every refused connection to stderr; the error raised here says it once.
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    try:
        found = client.list_topics(timeout=seconds).topics
        partitions = [
            TopicPartition(topic, partition)
            for topic in topics
            if topic in found and found[topic].error is None
            for partition in found[topic].partitions
        ]
        earliest: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        first = _offsets(client, partitions, earliest, seconds)
        following = _offsets(client, partitions, latest, seconds)
    except KafkaException as error:
        raise BrokerError(_describe(error, bootstrap_servers, seconds)) from error
    known = {partition.topic for partition in partitions}
    return {
        topic: TopicOffsets(first[topic], following[topic]) for topic in topics if topic in known
    }


def _offsets(
    client: AdminClient, partitions: list[TopicPartition], spec: OffsetSpec, seconds: float
) -> dict[str, Offsets]:
    if not partitions:
        return {}
    futures = client.list_offsets(
        dict.fromkeys(partitions, spec),
        isolation_level=IsolationLevel.READ_COMMITTED,
        request_timeout=seconds,
    )
    offsets: dict[str, Offsets] = {}
    for partition, future in futures.items():
        offsets.setdefault(partition.topic, {})[partition.partition] = future.result().offset
    return offsets


def _describe(error: KafkaException, bootstrap_servers: str, seconds: float) -> str:
    cause = error.args[0]
    reason = cause.str() if isinstance(cause, KafkaError) else str(cause)
    return f"the broker at {bootstrap_servers} did not answer within {seconds:.0f} s: {reason}"


def source_options(bootstrap_servers: str) -> dict[str, str]:
    """Return options of Spark's Kafka source that every read shares."""
    return {
        "kafka.bootstrap.servers": bootstrap_servers,
        # Both layers see the same records: none of an aborted transaction.
        "kafka.isolation.level": "read_committed",
        # A record of the largest size a topic takes must fit into one fetch.
        "kafka.max.partition.fetch.bytes": str(MAX_MESSAGE_BYTES + 1024 * 1024),
        "kafka.fetch.max.bytes": str(4 * MAX_MESSAGE_BYTES),
        "failOnDataLoss": "true",
    }
