"""The only module that knows confluent-kafka: an idempotent producer that waits for its broker."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from contracts import traces
from contracts.kafka_access import kafka_access
from event_generator.errors import OutputError, StoppedError
from event_generator.sinks import Delivery, Say
from event_generator.stopping import StopSignal

QUEUE_EVENTS = 200_000
"""Events that wait in memory at most; then generation waits."""

SAY_EVERY_SECONDS = 5.0
TOPIC_PATIENCE_SECONDS = 30.0
STOP_PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.1

_silent = logging.getLogger("event_generator.librdkafka")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


def producer_config(broker: str) -> dict[str, Any]:
    """Return librdkafka options; see its CONFIGURATION.md for what each one means."""
    return {
        "bootstrap.servers": broker,
        **kafka_access().librdkafka(),
        "client.id": "event-generator",
        "enable.idempotence": True,
        # An event waits for its broker for ever; only the operator ends the waiting.
        "message.timeout.ms": 0,
        "linger.ms": 50,
        "compression.type": "lz4",
        "queue.buffering.max.messages": QUEUE_EVENTS,
        # The partitioner of the Java clients: a user has one partition whoever produces.
        "partitioner": "murmur2_random",
        "delivery.report.only.error": True,
        "reconnect.backoff.max.ms": 1000,
        "socket.connection.setup.timeout.ms": 5000,
        "log_level": 2,
    }


class KafkaSink:
    """One topic of one cluster.

    Nothing handed over is dropped: while the broker is away events wait in memory, and when
    ``QUEUE_EVENTS`` wait, ``send`` waits too. ``close`` waits until all are acknowledged; after a
    stop signal at most ``STOP_PATIENCE_SECONDS``.
    """

    def __init__(self, broker: str, topic: str, stop: StopSignal, say: Say) -> None:
        self.name = f"{broker}/{topic}"
        self._broker = broker
        self._topic = topic
        self._stop = stop
        self._say = say
        self._said_at = -SAY_EVERY_SECONDS
        self._handed_over = 0
        self._failed = 0
        self._reason = ""
        self._trouble = ""
        self._acknowledged_at_trouble = 0
        self._producer = Producer(
            {**producer_config(broker), "error_cb": self._broker_trouble}, logger=_silent
        )

    def open(self) -> None:
        """Wait until the broker answers and knows the topic.

        Raises:
            StoppedError: If the operator stopped the waiting.
            OutputError: If the broker answers but the topic does not appear.
        """
        asked_at: float | None = None
        while not self._stop.is_requested:
            problem = self._topic_problem()
            if problem is None:
                return
            kind, text = problem
            if kind == "topic":
                asked_at = asked_at or time.monotonic()
                if time.monotonic() - asked_at > TOPIC_PATIENCE_SECONDS:
                    raise OutputError(f"{text}; create it, or name another with --topic")
            self._say_sometimes(f"waiting: {text}")
            self._producer.poll(_POLL_SECONDS)
        raise StoppedError(f"stopped while waiting for {self.name}")

    def send(self, keys: Sequence[str], values: Sequence[str]) -> None:
        """Hand events over; waits while too many are on their way."""
        pending: list[dict[str, Any]] = [
            {"key": key, "value": value} for key, value in zip(keys, values, strict=True)
        ]
        self._handed_over += len(pending)
        while pending:
            room = self._wait_for_room()
            if room == 0:
                self._fail(len(pending), "stopped before the broker took it")
                return
            part, pending = pending[:room], pending[room:]
            queued = self._produce(part)
            if queued < len(part):
                pending = self._refused(part) + pending
        self._producer.poll(0)
        self._notice_recovery()

    def _produce(self, part: list[dict[str, Any]]) -> int:
        """Hand a batch to the client, within one span where traces are on.

        Returns:
            How many it took; those it refused hold the reason as ``_error``.
        """
        current = traces.current()
        if current is None:
            return self._producer.produce_batch(self._topic, part, on_delivery=self._report)
        with current.produced(self._topic, len(part)) as headers:
            return sum(self._produce_one(event, headers) for event in part)

    def _produce_one(self, event: dict[str, Any], headers: traces.Headers) -> bool:
        """Hand one event over with headers, which the client's batches cannot have."""
        try:
            self._producer.produce(
                self._topic,
                event["value"],
                event["key"],
                on_delivery=self._report,
                headers=list(headers),
            )
        except BufferError:
            event["_error"] = KafkaError(KafkaError._QUEUE_FULL)  # noqa: SLF001 - as above
        except KafkaException as error:
            event["_error"] = error.args[0]
        return "_error" not in event

    def close(self) -> Delivery:
        """Wait for acknowledgements, then count them."""
        stopped_at: float | None = None
        while len(self._producer) and not self._stop.is_forced:
            if self._stop.is_requested:
                stopped_at = stopped_at or time.monotonic()
                if time.monotonic() - stopped_at > STOP_PATIENCE_SECONDS:
                    break
            self._producer.flush(_POLL_SECONDS)
            if self._trouble:
                self._say_sometimes(self._waiting())
            self._notice_recovery()
        waiting = len(self._producer)
        if waiting:
            self._fail(waiting, "not acknowledged when the run was stopped")
            self._producer.purge()
        return Delivery(self._handed_over - self._failed, self._failed, self._reason)

    def _topic_problem(self) -> tuple[str, str] | None:
        """Say what stands in the way, and whether it is the broker or the topic."""
        try:
            topic = self._producer.list_topics(self._topic, timeout=1).topics[self._topic]
        except KafkaException as error:
            return "broker", f"no answer from {self._broker} ({error.args[0].str()})"
        if topic.error is not None or not topic.partitions:
            return "topic", f"{self._broker} has no topic {self._topic}"
        return None

    def _wait_for_room(self) -> int:
        """Return how many more events fit; 0 only when the operator insists on stopping."""
        give_up = _deadline(lambda: self._stop.is_requested, STOP_PATIENCE_SECONDS)
        while (room := QUEUE_EVENTS - len(self._producer)) <= 0:
            if self._stop.is_forced or give_up():
                return 0
            self._producer.poll(_POLL_SECONDS)
            if self._trouble:
                self._say_sometimes(self._waiting())
            self._notice_recovery()
        return room

    def _refused(self, part: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the events to hand over again; what can never be sent counts as failed."""
        again = []
        for event in part:
            error = event.pop("_error", None)
            if error is None:
                continue
            if error.code() == KafkaError._QUEUE_FULL:  # noqa: SLF001 - the library's own name
                again.append(event)
            else:
                self._fail(1, error.str())
        return again

    def _report(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._fail(1, error.str())

    def _fail(self, count: int, reason: str) -> None:
        self._failed += count
        self._reason = self._reason or reason

    def _broker_trouble(self, error: KafkaError) -> None:
        if not self._trouble:
            self._acknowledged_at_trouble = self._acknowledged()
        self._trouble = error.str()
        self._say_sometimes(self._waiting())

    def _notice_recovery(self) -> None:
        if self._trouble and self._acknowledged() > self._acknowledged_at_trouble:
            self._trouble = ""
            self._said_at = -SAY_EVERY_SECONDS
            self._say(f"{self._broker} answers again")

    def _acknowledged(self) -> int:
        return self._handed_over - self._failed - len(self._producer)

    def _waiting(self) -> str:
        return f"waiting for {self._broker}: {len(self._producer):,} events ({self._trouble})"

    def _say_sometimes(self, text: str) -> None:
        if time.monotonic() - self._said_at >= SAY_EVERY_SECONDS:
            self._said_at = time.monotonic()
            self._say(text)


def _deadline(begun: Callable[[], bool], seconds: float) -> Callable[[], bool]:
    """Return a question: have ``seconds`` passed since ``begun`` was first seen true?"""
    first_seen: float | None = None

    def has_passed() -> bool:
        nonlocal first_seen
        if first_seen is None and begun():
            first_seen = time.monotonic()
        return first_seen is not None and time.monotonic() - first_seen > seconds

    return has_passed
