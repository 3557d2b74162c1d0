"""A small stream of events with known oddities, and helpers to build single ones."""

import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from contracts.columns import EVENT_SCHEMA

START = 1_767_225_600_000  # 2026-01-01T00:00Z
Event = dict[str, Any]


def build(*events: Event) -> pa.RecordBatch:
    """Return a batch; offsets and ids count up where an event names none."""
    rows = []
    for offset, event in enumerate(events):
        row = {"offset": offset, "event_id": f"evt_{offset:012x}", "timestamp": START}
        rows.append({**row, "event_type": "auth_attempt", "user": "alice", **event})
    return pa.RecordBatch.from_pylist(rows, schema=EVENT_SCHEMA)


def simulate(seed: int, count: int, users: int = 5, step_ms: int = 2_000) -> list[Event]:
    """Draw people with habits, every 50th event by an intruder; some late, some repeated."""
    rng = random.Random(seed)
    types = ["auth_attempt", "network_connection", "file_access", "process_execution", "dns_query"]
    events: list[Event] = []
    for number in range(count):
        user = rng.randrange(users)
        odd = number % 50 == 49
        kind = rng.choices(types, (40, 25, 20, 10, 5))[0]
        event: Event = {
            "event_id": f"{'odd' if odd else 'evt'}_{seed}_{number}",
            "timestamp": START + number * step_ms - rng.choice((0, 0, 0, 400_000)),
            "event_type": rng.choice((kind, kind, kind, "USER_LOGIN", "USER_LOGIN_FAILED")),
            "user": "unknown" if rng.random() < 0.03 else f"user{user}",
            "status": rng.choices(("success", "failed", "blocked", None), (88, 7, 3, 2))[0],
            "source_ip": rng.choices((f"10.0.0.{user}", f"10.0.1.{user}", None), (85, 13, 2))[0],
            "geo_location": rng.choices((f"US-CA-{user}", "US-NY-NewYork"), (9, 1))[0],
            "user_agent": f"agent {user % 3}",
            "hostname": f"ws-{user}",
            "threat_score": rng.choice((None, round(rng.random(), 3))),
        }
        if kind == "network_connection":
            event |= {"port": rng.choice((22, 443, 80)), "bytes_transferred": rng.randrange(10**6)}
        if kind == "file_access":
            event |= {"file_path": f"/home/user{user}/{rng.randrange(9)}"}
        if kind == "process_execution":
            event |= {"process_name": rng.choice(("python", "bash", "code"))}
        if odd:
            event |= {
                "source_ip": f"203.0.{rng.randrange(200)}.{rng.randrange(200)}",
                "geo_location": rng.choice(("KP-PYO-Pyongyang", "RU-MOW-Moscow")),
                "user_agent": "curl/8",
            }
        if events and rng.random() < 0.02:
            event["event_id"] = rng.choice(events)["event_id"]
        events.append(event)
    return events


@pytest.fixture
def batch() -> Callable[..., pa.RecordBatch]:
    return build


@pytest.fixture
def simulated() -> Callable[..., pa.RecordBatch]:
    return lambda seed, count, **options: build(*simulate(seed, count, **options))
