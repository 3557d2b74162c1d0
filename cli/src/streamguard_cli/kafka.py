"""The only module that knows confluent-kafka: an idempotent producer to one topic."""

import logging
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from contracts import traces
from contracts.kafka_access import kafka_access
from streamguard_cli.errors import DeliveryError

BROKER_PATIENCE_SECONDS = 30.0
DELIVERY_PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.1

_silent = logging.getLogger("streamguard_cli.librdkafka")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


def producer_config(broker: str) -> dict[str, Any]:
    """Return librdkafka options; see its CONFIGURATION.md for what each one means."""
    return {
        "bootstrap.servers": broker,
        **kafka_access().librdkafka(),
        "client.id": "streamguard",
        "enable.idempotence": True,
        "message.timeout.ms": int(DELIVERY_PATIENCE_SECONDS * 1000),
        "linger.ms": 50,
        "compression.type": "lz4",
        # The partitioner of the Java clients: a user has one partition whoever produces.
        "partitioner": "murmur2_random",
        "log_level": 2,
    }


class EventSink:
    """Sends keyed values; counts what the broker acknowledged and what it did not.

    Attributes:
        acknowledged, failed: Values so far.
        reason: Why the first one failed; empty if none did.
    """

    def __init__(self, broker: str, topic: str) -> None:
        self.acknowledged = 0
        self.failed = 0
        self.reason = ""
        self._broker = broker
        self._topic = topic
        self._producer = Producer(producer_config(broker), logger=_silent)

    def open(self) -> None:
        """Make sure that the topic can be written to.

        Raises:
            DeliveryError: If the broker does not answer, or has no such topic.
        """
        try:
            known = self._producer.list_topics(self._topic, timeout=BROKER_PATIENCE_SECONDS)
        except KafkaException as error:
            raise DeliveryError(f"no answer from {self._broker}: {error.args[0].str()}") from error
        found = known.topics[self._topic]
        if found.error is not None or not found.partitions:
            raise DeliveryError(f"{self._broker} has no topic {self._topic}")

    def send(self, key: str, value: str) -> None:
        """Hand a value over; waits while too many are on their way."""
        while True:
            try:
                self._producer.produce(
                    self._topic,
                    key=key,
                    value=value,
                    on_delivery=self._delivered,
                    headers=traces.current_headers(),
                )
            except BufferError:
                self._producer.poll(_POLL_SECONDS)
            else:
                break
        self._producer.poll(0)

    def poll(self) -> None:
        """Take note of acknowledgements."""
        self._producer.poll(0)

    def close(self) -> None:
        """Wait until every value is acknowledged or given up."""
        self._producer.flush()

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self.acknowledged += 1
            return
        self.failed += 1
        self.reason = self.reason or error.str()
