import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import Producer
from pyspark.sql import Row

from contracts.topics import MAX_MESSAGE_BYTES

GOOD: dict[str, Any] = {
    "event_timestamp": "2026-03-02T10:15:00Z",
    "customer_id": "cust_1",
    "customer_tier": "gold",
    "product_id": "prod_1",
    "product_name": "Lamp",
    "category": "home_garden",
    "sub_category": "lighting",
    "brand": "Lux",
    "quantity": 2,
    "unit_price": 50.0,
    "discount_percent": 10.0,
    "tax_amount": 8.1,
    "total_amount": 90.0,
    "currency": "EUR",
    "payment_method": "credit_card",
    "card_network": "visa",
    "transaction_status": "completed",
    "channel": "web",
    "store_id": None,
    "region": "north",
    "city": "Oslo",
    "is_fraudulent": False,
    "fraud_score": 0.05,
}


@pytest.fixture(scope="session")
def wire() -> Callable[..., dict[str, Any]]:
    """Build a readable transaction with some fields replaced; None as a value stays in."""
    return lambda **fields: {"transaction_id": str(uuid.uuid4())} | GOOD | fields


@pytest.fixture(scope="session")
def kafka_rows(spark):
    """Make a DataFrame like that of Spark's Kafka source out of values."""

    def build(values: list[bytes | None]):
        seen = datetime(2026, 3, 2, 10, 15, 1, tzinfo=UTC)
        rows = [
            Row(key=b"k", value=value, topic="t", partition=0, offset=offset, timestamp=seen)
            for offset, value in enumerate(values)
        ]
        schema = (
            "key binary, value binary, topic string, partition int, offset long,timestamp timestamp"
        )
        return spark.createDataFrame(rows, schema)

    return build


@pytest.fixture(scope="session")
def transactions(kafka_rows, wire):
    """Make stored transactions, one for each set of fields."""
    from batch_layer.transactions.parsing import parsed, valid

    def build(*rows: dict[str, Any]):
        values = [json.dumps(wire(**fields)).encode() for fields in rows]
        return valid(parsed(kafka_rows(values)))

    return build


@pytest.fixture
def produce(broker) -> Callable[..., None]:
    """Send values to a partition and wait until the broker has them."""

    def send(topic: str, values: list[Any], partition: int = 0) -> None:
        producer = Producer(
            {
                "bootstrap.servers": broker.bootstrap_servers,
                "linger.ms": 5,
                "message.max.bytes": MAX_MESSAGE_BYTES,
            }
        )
        for value in values:
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            producer.produce(topic, data, partition=partition)
        assert producer.flush(60) == 0

    return send
