"""Ask a broker whether it serves, and create topics on it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from contracts.kafka_access import kafka_access
from local_stack.errors import BrokerError

_POLL_SECONDS = 0.1
_REQUEST_TIMEOUT_SECONDS = 30


def admin_client(bootstrap_servers: str) -> AdminClient:
    """Return a client that keeps its connection errors to itself; callers report them."""
    options: dict[str, Any] = {
        "bootstrap.servers": bootstrap_servers,
        **kafka_access().librdkafka(),
        "log_level": 0,
        "error_cb": lambda _error: None,
        "socket.connection.setup.timeout.ms": 5000,
        "reconnect.backoff.max.ms": 500,
    }
    return AdminClient(options)


def wait_until_serving(
    bootstrap_servers: str, timeout_seconds: float, check_alive: Callable[[], None]
) -> None:
    """Return when the broker answers with its metadata.

    Args:
        bootstrap_servers: where it should answer.
        timeout_seconds: how long to wait.
        check_alive: called between attempts; raises when waiting is in vain.

    Raises:
        BrokerError: it did not answer in time.
    """
    deadline = time.monotonic() + timeout_seconds
    client = admin_client(bootstrap_servers)
    while True:
        check_alive()
        try:
            if client.list_topics(timeout=1).brokers:
                return
        except KafkaException:
            pass  # not there yet: the deadline below decides how long that is normal
        if time.monotonic() > deadline:
            raise BrokerError(f"no broker answers at {bootstrap_servers} after {timeout_seconds} s")
        time.sleep(_POLL_SECONDS)  # a port gives no signal when a server begins to listen


def create_topic(
    bootstrap_servers: str,
    name: str,
    partitions: int = 1,
    config: Mapping[str, str] | None = None,
    timeout_seconds: float = _REQUEST_TIMEOUT_SECONDS,
) -> bool:
    """Create a topic and wait until every partition has a leader; False if it existed.

    Raises:
        BrokerError: the broker refused or did not answer in time.
    """
    client = admin_client(bootstrap_servers)
    topic = NewTopic(
        name, num_partitions=partitions, replication_factor=1, config=dict(config or {})
    )
    deadline = time.monotonic() + timeout_seconds
    created = True
    try:
        client.create_topics([topic], request_timeout=timeout_seconds)[name].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise BrokerError(f"topic {name} cannot be created: {error}") from error
        created = False
    while not _has_leaders(client, name):
        if time.monotonic() > deadline:
            raise BrokerError(f"topic {name} has no leader after {timeout_seconds} s")
        time.sleep(_POLL_SECONDS)  # metadata spreads in the background, without a signal
    return created


def _has_leaders(client: AdminClient, name: str) -> bool:
    try:
        topic = client.list_topics(name, timeout=5).topics[name]
    except KafkaException:
        return False
    if topic.error is not None or not topic.partitions:
        return False
    return all(partition.leader >= 0 for partition in topic.partitions.values())
