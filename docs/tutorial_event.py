"""Produce the tutorial's event, or a value given on the command line; print where it went."""

import json
import os
import sys
import time

from confluent_kafka import Producer

EVENT = {
    "event_id": "evt-tutorial-1",
    "timestamp": int(time.time() * 1000),
    "event_type": "network_connection",
    "user": "alice",
    "source_ip": "203.0.113.77",
    "destination_ip": "198.51.100.9",
    "status": "success",
    "metadata": {
        "geo_location": "KP-PYO-Pyongyang",
        "user_agent": "curl/8.9.1",
        "hostname": "unknown-host",
    },
    "network_details": {"destination_port": 4444, "bytes_sent": 734_003_200},
}

value = sys.argv[1] if len(sys.argv) > 1 else json.dumps(EVENT)
broker = f"127.0.0.1:{os.environ.get('STACK_KAFKA_PORT', '9092')}"
producer = Producer({"bootstrap.servers": broker, "partitioner": "murmur2_random"})
producer.produce(
    "security-events",
    value,
    key="alice",
    on_delivery=lambda _, message: print(
        f"{message.topic()} partition {message.partition()} offset {message.offset()}"
    ),
)
producer.flush()
