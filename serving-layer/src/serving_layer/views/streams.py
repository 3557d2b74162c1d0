"""A topic partition as one small integer that sorts like (topic, partition)."""

from contracts.topics import DETECTION_TOPICS
from serving_layer.errors import UnknownTopicError

_TOPICS = sorted(DETECTION_TOPICS)
_PARTITION_BITS = 16


def stream_code(topic: str, partition: int) -> int:
    """Return the code of a topic partition.

    Examples:
        >>> stream_code("security-events", 1) < stream_code("security-events", 2)
        True
        >>> stream_code("security-events", 9) < stream_code("user-events", 0)
        True

    Raises:
        UnknownTopicError: If the topic is none that detection reads.
    """
    try:
        return _TOPICS.index(topic) << _PARTITION_BITS | partition
    except ValueError:
        raise UnknownTopicError(topic) from None


def topic_partition(code: int) -> tuple[str, int]:
    """Return the topic and partition of a code.

    Examples:
        >>> topic_partition(stream_code("user-events", 3))
        ('user-events', 3)
    """
    return _TOPICS[code >> _PARTITION_BITS], code & ((1 << _PARTITION_BITS) - 1)


def stream_name(code: int) -> str:
    """Return a code for people, ``topic/partition``."""
    topic, partition = topic_partition(code)
    return f"{topic}/{partition}"
