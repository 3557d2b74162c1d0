"""From produced to queryable: the whole way through broker, speed layer and serving layer.

    python benchmarks/bench_latency.py           1,000 events/s for 30 s
    QUICK=1 python benchmarks/bench_latency.py   for 10 s

A producer keeps the rate; every 20th event belongs to one user, and carries in its id when it
was produced. A client asks the serving layer for that user's newest events, again and again: the
latency of an event ends when the first answer that holds it has arrived. Needs nothing running
and leaves nothing running. Prints a table, and one line of JSON last.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np
from confluent_kafka import Producer

from contracts.topics import ALL_TOPICS, SECURITY_EVENTS
from event_generator.clock import EventClock
from event_generator.security.stream import BATCH_SIZE, SecurityScenario, SecurityStream
from local_stack.testing import Broker
from speed_layer.testing import wait_for

RATE = 1_000
PROBED = 20
WARM_UP_SECONDS = 5.0
SLICE_SECONDS = 0.005
PROBE_USER = "latency-probe"


def main() -> None:
    """Start everything, measure, print the figures."""
    seconds = 10.0 if os.environ.get("QUICK") else 30.0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Broker(folder))
        for topic in ALL_TOPICS:
            broker.create_topic(topic.name, topic.partitions, topic.config)
        speed_url, url = stack.enter_context(services(folder, broker.bootstrap_servers))
        print(f"{RATE} events/s for {WARM_UP_SECONDS + seconds:.0f} s")
        stop = threading.Event()
        producer = threading.Thread(target=produce, args=(broker.bootstrap_servers, stop))
        producer.start()
        try:
            latencies = observe(url, seconds)
            stored = stored_within(speed_url, (0.5, 0.99))
        finally:
            stop.set()
            producer.join()
    p50, p90, p99 = np.percentile(latencies, [50, 90, 99])
    print(f"speed layer alone, broker to store: p50 <= {stored[0]}, p99 <= {stored[1]} s")
    print(f"{len(latencies)} events observed: p50 {p50:.0f}  p90 {p90:.0f}  p99 {p99:.0f} ms")
    print(json.dumps({"p50_ms_1k": round(p50, 1), "p99_ms_1k": round(p99, 1)}))


@contextmanager
def services(folder: Path, servers: str) -> Iterator[tuple[str, str]]:
    """Run speed and serving layer as processes; yields their base URLs."""
    speed_port, serving_port = free_port(), free_port()
    environment = {
        **os.environ,
        "SPEED_PORT": str(speed_port),
        "SPEED_KAFKA_BOOTSTRAP_SERVERS": servers,
        "SPEED_STORE_DIR": str(folder / "speed"),
        "SPEED_LAKE_DIR": str(folder / "lake"),
        "SERVING_PORT": str(serving_port),
        "SERVING_DASHBOARD_PORT": "0",
        "SERVING_SPEED_URLS": f"http://127.0.0.1:{speed_port}",
        "SERVING_LAKE_DIR": str(folder / "lake"),
        "SERVING_DATA_DIR": str(folder / "serving"),
        "SERVING_KAFKA_BOOTSTRAP_SERVERS": servers,
    }
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for module in ("speed_layer", "serving_layer"):
            with (folder / f"{module}.log").open("wb") as log:
                command = [sys.executable, "-m", module]
                processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        speed_url = f"http://127.0.0.1:{speed_port}"
        url = f"http://127.0.0.1:{serving_port}"
        wait_for("the speed layer", lambda: is_up(f"{speed_url}/health"), 180)
        wait_for("the serving layer", lambda: is_up(f"{url}/api/health/ready"), 180)
        yield speed_url, url
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


def is_up(url: str) -> bool:
    """Return whether a health check answers 200."""
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def produce(servers: str, stop: threading.Event) -> None:
    """Keep the rate until told to stop; event time is the time of producing."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 1})
    stream = SecurityStream(SecurityScenario(1, EventClock.at_rate(1_700_000_000_000, RATE)))
    sent, begin = 0, time.monotonic()
    events: list[dict[str, object]] = []
    while not stop.wait(SLICE_SECONDS):
        due = int((time.monotonic() - begin) * RATE)
        while sent < due:
            if sent % BATCH_SIZE == 0:
                events = [json.loads(value) for value in stream.batch(sent // BATCH_SIZE).values]
            event = events[sent % BATCH_SIZE]
            event["timestamp"] = time.time_ns() // 1_000_000
            if sent % PROBED == 0:
                event |= {"user": PROBE_USER, "event_id": f"probe_{time.time_ns()}"}
            producer.produce(SECURITY_EVENTS, json.dumps(event), key=str(event["user"]))
            sent += 1
        producer.poll(0)
    producer.flush(30)


def observe(url: str, seconds: float) -> list[float]:
    """Ask for the probe's newest events until time is up; returns latencies in ms."""
    latencies: list[float] = []
    seen: set[str] = set()
    begin = time.monotonic()
    with httpx.Client(base_url=url, timeout=30) as client:
        while time.monotonic() - begin < WARM_UP_SECONDS + seconds:
            answer = client.get("/api/events", params={"user": PROBE_USER, "limit": 50})
            arrived = time.time_ns()
            answer.raise_for_status()
            found = {event["event_id"] for event in answer.json()["data"]} - seen
            seen |= found
            if time.monotonic() - begin > WARM_UP_SECONDS:
                produced = [int(event_id.removeprefix("probe_")) for event_id in found]
                latencies += [(arrived - at) / 1e6 for at in produced]
            time.sleep(SLICE_SECONDS)  # a client that polls, not one that takes a core
    return latencies


def stored_within(speed_url: str, quantiles: tuple[float, ...]) -> list[str]:
    """Return, per quantile, the bound of the speed layer's latency bucket that it falls in."""
    lines = httpx.get(f"{speed_url}/metrics").text.splitlines()
    prefix = 'streamguard_processing_latency_seconds_bucket{le="'
    buckets = [line.removeprefix(prefix).split('"} ') for line in lines if line.startswith(prefix)]
    total = float(buckets[-1][1])
    return [
        next(bound for bound, count in buckets if float(count) >= quantile * total)
        for quantile in quantiles
    ]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
