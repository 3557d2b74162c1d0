"""What the broker says about topics; records themselves are read by Spark."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its stubs forget to export one
    AdminClient,
    OffsetSpec,
)
from confluent_kafka.cimpl import NewTopic

from batch_layer.errors import BrokerError, ServiceUnavailableError
from contracts.kafka_access import kafka_access
from contracts.topics import MAX_MESSAGE_BYTES

if TYPE_CHECKING:
    from datetime import timedelta

    from batch_layer.settings import Settings
    from contracts.topics import TopicSpec

Offsets = dict[int, int]
"""An offset per partition."""


@dataclass(frozen=True, slots=True)
class TopicOffsets:
    """What a topic's log holds: per partition, ``[first, next)``."""

    first: Offsets
    next: Offsets


def admin_client(bootstrap_servers: str) -> AdminClient:
    """Return a client that asks the brokers about topics.

    librdkafka would log every refused connection to stderr; the errors raised here say it once.
    """
    access = kafka_access().librdkafka()
    return AdminClient({"bootstrap.servers": bootstrap_servers, **access, "log_level": 0})


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
    client = admin_client(bootstrap_servers)
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


def topic_ids(
    bootstrap_servers: str, topics: Iterable[str], timeout: "timedelta"
) -> dict[str, str]:
    """Ask the broker for the id it gave each topic when it was created.

    A topic that is deleted and created anew, or that is another cluster's, has another id.

    Returns:
        One entry per topic; none of brokers before Kafka 2.8, which give no ids.

    Raises:
        BrokerError: If the broker does not answer in time, or a topic does not exist.
    """
    names = list(topics)
    if not names:
        return {}
    seconds = timeout.total_seconds()
    client = admin_client(bootstrap_servers)
    try:
        futures = client.describe_topics(TopicCollection(names), request_timeout=seconds)
        described = {topic: future.result().topic_id for topic, future in futures.items()}
    except KafkaException as error:
        raise BrokerError(_describe(error, bootstrap_servers, seconds)) from error
    return {
        topic: str(found)
        for topic, found in described.items()
        if found.get_most_significant_bits() or found.get_least_significant_bits()
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


def connection_options(bootstrap_servers: str) -> dict[str, str]:
    """Return the options of Spark's Kafka source and sink that say where and how to connect."""
    access = {f"kafka.{name}": value for name, value in kafka_access().java().items()}
    return {"kafka.bootstrap.servers": bootstrap_servers, **access}


def source_options(bootstrap_servers: str) -> dict[str, str]:
    """Return options of Spark's Kafka source that every read shares."""
    return {
        **connection_options(bootstrap_servers),
        # Both layers see the same records: none of an aborted transaction.
        "kafka.isolation.level": "read_committed",
        # A record of the largest size a topic takes must fit into one fetch.
        "kafka.max.partition.fetch.bytes": str(MAX_MESSAGE_BYTES + 1024 * 1024),
        "kafka.fetch.max.bytes": str(4 * MAX_MESSAGE_BYTES),
        "failOnDataLoss": "true",
    }


def ensure_topic(settings: "Settings", topic: "TopicSpec") -> None:
    """Create a topic unless it exists.

    Raises:
        ServiceUnavailableError: If the broker does not answer or refuses.
    """
    client = admin_client(settings.kafka_bootstrap_servers)
    request = NewTopic(topic.name, topic.partitions, config=topic.config)
    seconds = settings.kafka_timeout.total_seconds()
    try:
        client.create_topics([request], request_timeout=seconds)[topic.name].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise ServiceUnavailableError(
                f"topic {topic.name} cannot be created: {error}"
            ) from error


def send(
    bootstrap_servers: str,
    topic: str,
    records: Iterable[tuple[bytes, bytes]],
    timeout: "timedelta",
) -> int:
    """Send key and value of each record, and wait until the broker has acknowledged all.

    Returns:
        The number of records.

    Raises:
        BrokerError: If one was not acknowledged in time; those before it may have been.
    """
    failures: list[str] = []

    def acknowledged(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failures.append(error.str())

    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            **kafka_access().librdkafka(),
            "enable.idempotence": True,
            "compression.type": "lz4",
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "message.timeout.ms": int(timeout.total_seconds() * 1000),
            "log_level": 0,
        }
    )
    count = 0
    for key, value in records:
        while True:
            try:
                producer.produce(topic, value, key=key, on_delivery=acknowledged)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
        count += 1
        if failures:
            break
    left = producer.flush(timeout.total_seconds())
    if failures or left:
        reason = failures[0] if failures else f"{left} records were not acknowledged"
        raise BrokerError(f"{topic} at {bootstrap_servers}: {reason}")
    return count
