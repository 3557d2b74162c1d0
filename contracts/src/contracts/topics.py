"""Topic names and their lay-out."""

from dataclasses import dataclass, field

SECURITY_EVENTS = "security-events"
USER_EVENTS = "user-events"
TRANSACTIONS_STREAM = "transactions-stream"
TRANSACTIONS_BATCH = "transactions-batch"
SECURITY_ALERTS = "security-alerts"
NOTIFICATIONS = "notifications"
ANALYTICS_INSIGHTS = "analytics-insights"

DEAD_LETTER_SUFFIX = ".dead-letter"

MAX_RECORD_BYTES = 1024 * 1024
"""A larger record is set aside unread; the broker takes up to ``MAX_MESSAGE_BYTES``."""

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""``max.message.bytes`` of every topic, so that an oversized record reaches the dead letters."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it is created: name, number of partitions, broker settings."""

    name: str
    partitions: int
    config: dict[str, str] = field(
        default_factory=lambda: {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
    )


def dead_letter_topic(topic: str) -> str:
    """Return where unreadable records of ``topic`` go.

    Examples:
        >>> dead_letter_topic("security-events")
        'security-events.dead-letter'
    """
    return topic + DEAD_LETTER_SUFFIX


DETECTION_TOPICS = (SECURITY_EVENTS, USER_EVENTS)
"""The topics that both layers score."""

TRANSACTION_TOPICS = (TRANSACTIONS_STREAM, TRANSACTIONS_BATCH)

_DATA_TOPICS = (
    TopicSpec(SECURITY_EVENTS, 4),
    TopicSpec(USER_EVENTS, 2),
    TopicSpec(TRANSACTIONS_STREAM, 4),
    TopicSpec(TRANSACTIONS_BATCH, 4),
)

ALL_TOPICS: tuple[TopicSpec, ...] = (
    *_DATA_TOPICS,
    *(TopicSpec(dead_letter_topic(topic.name), 1) for topic in _DATA_TOPICS),
    TopicSpec(SECURITY_ALERTS, 2),
    TopicSpec(NOTIFICATIONS, 2),
    TopicSpec(ANALYTICS_INSIGHTS, 2),
)
