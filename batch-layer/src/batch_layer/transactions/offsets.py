"""Offset ranges: words and partial maps to numbers, checked against what the broker holds."""

from typing import TYPE_CHECKING

from batch_layer.errors import BrokerError, InvalidRequestError, ServiceUnavailableError
from batch_layer.kafka import TopicOffsets, topic_offsets

if TYPE_CHECKING:
    from batch_layer.settings import Settings
    from batch_layer.transactions.requests import Edge

Range = tuple[dict[int, int], dict[int, int]]
"""First offset and the one after the last, by partition."""


def held_offsets(settings: "Settings", topic: str) -> TopicOffsets:
    """Ask the broker what it holds of a topic.

    Raises:
        InvalidRequestError: If there is no such topic.
        ServiceUnavailableError: If the broker does not answer.
    """
    try:
        found = topic_offsets(settings.kafka_bootstrap_servers, [topic], settings.kafka_timeout)
    except BrokerError as error:
        raise ServiceUnavailableError(str(error)) from error
    if topic not in found:
        raise InvalidRequestError("topic", f"{topic!r} does not exist")
    return found[topic]


def resolve(held: TopicOffsets, start: "Edge | None", end: "Edge | None") -> Range:
    """Turn a request's ends into numbers; partitions not named are read from end to end.

    Raises:
        InvalidRequestError: naming ``startOffset.<partition>`` or ``endOffset.<partition>``.

    Examples:
        >>> held = TopicOffsets(first={0: 5, 1: 0}, next={0: 9, 1: 4})
        >>> resolve(held, {0: 7}, "latest")
        ({0: 7, 1: 0}, {0: 9, 1: 4})
    """
    starts, ends = dict(held.first), dict(held.next)
    for field, edge, resolved in (("startOffset", start, starts), ("endOffset", end, ends)):
        if not isinstance(edge, dict):
            continue
        for partition, offset in edge.items():
            _check(held, f"{field}.{partition}", partition, offset)
            resolved[partition] = offset
    for partition, first in starts.items():
        if ends[partition] < first:
            raise InvalidRequestError(
                f"endOffset.{partition}", f"{ends[partition]} is before the start, {first}"
            )
    return starts, ends


def _check(held: TopicOffsets, field: str, partition: int, offset: int) -> None:
    if partition not in held.first:
        raise InvalidRequestError(field, f"the topic has partitions 0 to {len(held.first) - 1}")
    first, following = held.first[partition], held.next[partition]
    if offset < first:
        raise InvalidRequestError(field, f"{offset} was deleted; the first one kept is {first}")
    if offset > following:
        raise InvalidRequestError(field, f"{offset} is beyond the end, {following}")
