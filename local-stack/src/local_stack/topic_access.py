"""What each service has to be allowed on a broker that asks who its clients are, and no more."""

from dataclasses import dataclass

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)
from rich.console import Console

from contracts.topics import (
    ALL_TOPICS,
    ANALYTICS_INSIGHTS,
    DETECTION_TOPICS,
    NOTIFICATIONS,
    SECURITY_ALERTS,
    SECURITY_EVENTS,
    TRANSACTION_TOPICS,
    dead_letter_topic,
)
from local_stack.errors import BrokerError
from local_stack.kafka_admin import admin_client

_REQUEST_TIMEOUT_SECONDS = 30
_READ = (AclOperation.READ, AclOperation.DESCRIBE)
_WRITE = (AclOperation.WRITE, AclOperation.DESCRIBE)


@dataclass(frozen=True, slots=True)
class Grant:
    """Operations on one topic, or on the consumer groups whose names begin with a text."""

    name: str
    operations: tuple[AclOperation, ...]
    is_group: bool = False

    def __str__(self) -> str:
        """Name the operations and on what, as ``read, describe on topic security-events``."""
        operations = ", ".join(operation.name.lower() for operation in self.operations)
        kind = "groups that begin with" if self.is_group else "topic"
        return f"{operations} on {kind} {self.name}"

    def entries(self, principal: str) -> list[AclBinding]:
        """Return the entries of the broker's access list that allow it, from any host."""
        return [
            AclBinding(
                ResourceType.GROUP if self.is_group else ResourceType.TOPIC,
                self.name,
                ResourcePatternType.PREFIXED if self.is_group else ResourcePatternType.LITERAL,
                principal,
                "*",
                operation,
                AclPermissionType.ALLOW,
            )
            for operation in self.operations
        ]


def _on(topics: tuple[str, ...], operations: tuple[AclOperation, ...]) -> tuple[Grant, ...]:
    return tuple(Grant(topic, operations) for topic in topics)


_DEAD_DETECTION = tuple(map(dead_letter_topic, DETECTION_TOPICS))
_DEAD_TRANSACTIONS = tuple(map(dead_letter_topic, TRANSACTION_TOPICS))

ACCESS: dict[str, tuple[Grant, ...]] = {
    "speed-layer": (
        *_on(DETECTION_TOPICS, _READ),
        Grant("speed-layer", _READ, is_group=True),
        *_on((SECURITY_ALERTS, NOTIFICATIONS, *_DEAD_DETECTION), _WRITE),
    ),
    "batch-layer": (
        *_on((*DETECTION_TOPICS, *TRANSACTION_TOPICS), _READ),
        # Spark reads with a group of its own for each query, and commits nothing to it.
        Grant("spark-kafka-", (AclOperation.READ,), is_group=True),
        *_on((ANALYTICS_INSIGHTS, *_DEAD_TRANSACTIONS), _WRITE),
    ),
    "serving-layer": _on((SECURITY_EVENTS,), _WRITE),
    "producer": _on((*DETECTION_TOPICS, *TRANSACTION_TOPICS), _WRITE),
    "consumer": (
        *_on((SECURITY_ALERTS, NOTIFICATIONS, ANALYTICS_INSIGHTS), _READ),
        Grant("streamguard-", _READ, is_group=True),
    ),
    "topics": _on(
        tuple(topic.name for topic in ALL_TOPICS), (AclOperation.CREATE, AclOperation.DESCRIBE)
    ),
}
"""By service; ``producer`` and ``consumer`` are other people's clients, ``topics`` creates topics."""


def allow(bootstrap_servers: str, service: str, principal: str, console: Console) -> None:
    """Allow a principal what a service needs; what it is allowed already stays.

    Args:
        bootstrap_servers: the broker; ``KAFKA_*`` settings must be those of an administrator.
        service: a key of ``ACCESS``.
        principal: whom, as the broker knows it: ``User:speed``.
        console: where each grant is told.

    Raises:
        BrokerError: the broker refused, has no access list, or did not answer.
    """
    grants = ACCESS[service]
    entries = [entry for grant in grants for entry in grant.entries(principal)]
    client = admin_client(bootstrap_servers)
    try:
        for answer in client.create_acls(
            entries, request_timeout=_REQUEST_TIMEOUT_SECONDS
        ).values():
            answer.result()
    except KafkaException as error:
        raise BrokerError(f"{principal} cannot be allowed what {service} needs: {error}") from error
    for grant in grants:
        console.print(f"{principal}: {grant}", highlight=False)
