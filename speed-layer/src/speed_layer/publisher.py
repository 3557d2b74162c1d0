"""Publishing the outbox: idempotent producer, entries forgotten only after acknowledgement."""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from contracts.topics import MAX_MESSAGE_BYTES
from speed_layer.store import OutboxEntry

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_LOG_SECONDS = 30.0
_KEPT_BYTES = MAX_MESSAGE_BYTES - 64 * 1024
_KEPT_KEY_BYTES = 1024
_CUT_HEADER = "truncated-from"


@dataclass(slots=True)
class Lane:
    """Entries of one open partition on their way out.

    A partition that closes drops its lane; acknowledgements that come later find nobody, and
    the next owner publishes those entries again.
    """

    waiting: deque[OutboxEntry] = field(default_factory=deque)
    in_flight: int = 0
    acknowledged: list[int] = field(default_factory=list)

    @property
    def pending(self) -> int:
        """Entries that the broker has not acknowledged."""
        return len(self.waiting) + self.in_flight

    def take_acknowledged(self) -> list[int]:
        """Return ids acknowledged since the last call."""
        taken, self.acknowledged = self.acknowledged, []
        return taken


class Publisher:
    """Sends what lanes hold. Not for use by several threads."""

    def __init__(self, config: dict[str, Any], on_error: Callable[[], None]) -> None:
        self._config = config
        self._on_error = on_error
        self._producer = Producer(config)
        self._lanes: list[Lane] = []
        self._not_before = 0.0
        self._logged_at = float("-inf")
        self._fatal = False

    def open_lane(self, entries: list[OutboxEntry]) -> Lane:
        """Begin to publish a partition's entries."""
        lane = Lane(deque(entries))
        self._lanes.append(lane)
        return lane

    def close_lane(self, lane: Lane) -> None:
        """Stop publishing a partition's entries."""
        lane.waiting.clear()
        self._lanes.remove(lane)

    def pump(self) -> None:
        """Hand waiting entries to the client and take acknowledgements, without blocking."""
        if self._fatal:
            self._renew()
        self._producer.poll(0)
        if time.monotonic() < self._not_before:
            return
        for lane in self._lanes:
            while lane.waiting and self._send(lane, lane.waiting[0]):
                lane.waiting.popleft()
                lane.in_flight += 1

    def flush(self, timeout_seconds: float) -> None:
        """Publish what waits, for at most ``timeout_seconds``."""
        deadline = time.monotonic() + timeout_seconds
        while any(lane.pending for lane in self._lanes) and time.monotonic() < deadline:
            self.pump()
            self._producer.poll(0.05)

    def _send(self, lane: Lane, entry: OutboxEntry) -> bool:
        def acknowledge(error: KafkaError | None, _: Message) -> None:
            lane.in_flight -= 1
            if error is None:
                lane.acknowledged.append(entry.id)
            else:
                self._failed(lane, entry, error)

        try:
            self._producer.produce(
                entry.topic,
                key=entry.key,
                value=entry.value,
                headers=[(name, text.encode()) for name, text in entry.headers],
                on_delivery=acknowledge,
            )
        except BufferError:
            return False
        except KafkaException as error:
            lane.waiting.popleft()
            self._failed(lane, entry, error.args[0])
            return False
        return True

    def _failed(self, lane: Lane, entry: OutboxEntry, error: KafkaError) -> None:
        self._on_error()
        if lane not in self._lanes:
            return
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            # Its headers carried it over the limit: better cut, and saying so, than never.
            entry = _cut(entry)
        else:
            self._not_before = time.monotonic() + _RETRY_SECONDS
        lane.waiting.append(entry)
        self._fatal = self._fatal or error.fatal()
        if time.monotonic() - self._logged_at > _LOG_SECONDS:
            self._logged_at = time.monotonic()
            logger.error(
                "publishing to %s failed, will be tried again: %s",
                entry.topic,
                error,
                extra={"topic": entry.topic},
            )

    def _renew(self) -> None:
        logger.error("the producer cannot go on, making a new one")
        self._producer.purge()
        self._producer.flush(1)
        self._producer = Producer(self._config)
        self._fatal = False


def _cut(entry: OutboxEntry) -> OutboxEntry:
    """Return a smaller entry: below the limit at once if that may do, else half of it."""
    value = entry.value or b""
    kept = _KEPT_BYTES if len(value) > _KEPT_BYTES else len(value) // 2
    headers = entry.headers
    if all(name != _CUT_HEADER for name, _ in headers):
        headers = (*headers, (_CUT_HEADER, str(len(value))))
    key = entry.key[:_KEPT_KEY_BYTES] if entry.key is not None else None
    return replace(entry, key=key, value=value[:kept], headers=headers)
