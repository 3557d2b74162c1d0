"""Simple valid security events for ``POST /api/generate-test-data``."""

import random
import secrets
import time

import orjson
from confluent_kafka import KafkaException, Producer

from contracts import traces
from contracts.events import EVENT_STATUSES, EVENT_TYPES
from contracts.kafka_access import kafka_access
from contracts.topics import SECURITY_EVENTS
from serving_layer.errors import UpstreamError

_USERS = ("alice", "bob", "carol", "dave", "erin")
_TIMEOUT_SECONDS = 10.0


def made_up_event() -> tuple[str, bytes]:
    """Return the key and value of one event, made up now."""
    user = random.choice(_USERS)
    event = {
        "event_id": f"evt_{secrets.token_hex(16)}",
        "timestamp": int(time.time() * 1000),
        "event_type": random.choice(EVENT_TYPES),
        "user": user,
        "source_ip": f"10.0.{_USERS.index(user)}.{random.randint(1, 9)}",
        "status": random.choices(EVENT_STATUSES, (94, 4, 1, 1))[0],
        "threat_score": round(random.uniform(0, 0.4), 3),
        "metadata": {"geo_location": "US-CA-SF", "hostname": f"{user}-laptop"},
    }
    return user, orjson.dumps(event)


def produce_test_events(
    bootstrap_servers: str, count: int, timeout_seconds: float = _TIMEOUT_SECONDS
) -> int:
    """Send ``count`` events to ``security-events`` and return how many were acknowledged.

    Raises:
        UpstreamError: If the broker did not acknowledge all of them in time.
    """
    acknowledged = 0

    def delivered(error: object, _message: object) -> None:
        nonlocal acknowledged
        acknowledged += error is None

    try:
        producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                **kafka_access().librdkafka(),
                "linger.ms": 5,
                "message.timeout.ms": int(timeout_seconds * 1000),
                "log_level": 0,
            }
        )
        for _ in range(count):
            key, value = made_up_event()
            producer.produce(
                SECURITY_EVENTS, value, key, on_delivery=delivered, headers=traces.current_headers()
            )
        producer.flush(timeout_seconds + 1)
    except (KafkaException, BufferError) as error:
        raise UpstreamError(f"the broker cannot be used: {error}") from error
    if acknowledged < count:
        raise UpstreamError(
            f"the broker at {bootstrap_servers} acknowledged {acknowledged} of {count} events"
        )
    return acknowledged
