"""From produced to queryable: the whole way through broker, speed layer and serving layer.

    make bench-latency           1,000, 10,000 and 50,000 events/s for 30 s each
    QUICK=1 make bench-latency   for 10 s each

A producer, in a process of its own, keeps the rate from a pool of prepared events; 50 events a
second belong to one user, and carry in their id when they were produced. A client asks the
serving layer for that user's newest events, again and again: the latency of an event ends when
the first answer that holds it has arrived. Needs nothing running and leaves nothing running.
Prints a table, and one line of JSON last; the long run writes its section of docs/benchmarks.md.
What the tail is made of: ``broker to store`` is the speed layer's own histogram (a bound of a
bucket), ``request`` is what one question to the serving layer takes, answer and transport. Where the machine cannot keep a rate, ``kept`` says what
the producer managed, and the latencies are those of a growing queue.
"""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
from confluent_kafka import Producer
from docs_section import write_section

from contracts.topics import ALL_TOPICS, SECURITY_EVENTS
from event_generator.clock import EventClock
from event_generator.security.stream import BATCH_SIZE, SecurityScenario, SecurityStream
from local_stack.testing import Broker
from speed_layer.testing import wait_for

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

QUICK = bool(os.environ.get("QUICK"))
RATES = {"1k": 1_000, "10k": 10_000, "50k": 50_000}
PROBES_PER_SECOND = 50
POOL = 20_000
WARM_UP_SECONDS = 5.0
SLICE_SECONDS = 0.005
SECONDS = 10.0 if QUICK else 30.0
PROBE_USER = "latency-probe"
NOW = "1700000000000"


@dataclass(frozen=True)
class Measured:
    """What one rate gave.

    Attributes:
        latencies: Of the events observed, ms.
        requests: Of the questions asked meanwhile, ms.
        kept: Events per second that the producer managed.
        stored: p50 and p99 from the broker's time to the store, ms, at most.
    """

    latencies: list[float]
    requests: list[float]
    kept: float
    stored: tuple[float, float]


def main() -> None:
    """Measure at each rate, with services and topics of its own, and print the figures."""
    figures: dict[str, float] = {}
    lines = [
        "| events/s | kept | events observed | p50 ms | p90 ms | p99 ms"
        " | broker to store p50, p99 ms | request p50, p99 ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines))
    for name, rate in RATES.items():
        found = measure(rate)
        p50, p90, p99 = np.percentile(found.latencies, [50, 90, 99])
        asked = np.percentile(found.requests, [50, 99])
        lines.append(
            f"| {rate:,} | {found.kept:,.0f} | {len(found.latencies)}"
            f" | {p50:.0f} | {p90:.0f} | {p99:.0f}"
            f" | <= {found.stored[0]:.0f}, <= {found.stored[1]:.0f}"
            f" | {asked[0]:.0f}, {asked[1]:.0f} |"
        )
        print(lines[-1], flush=True)
        figures |= {f"p50_ms_{name}": round(p50, 1), f"p99_ms_{name}": round(p99, 1)}
    if not QUICK:
        write_section("bench-latency", [*lines, "", "```json", json.dumps(figures), "```"])
    print(json.dumps(figures))


def measure(rate: int) -> Measured:
    """Measure at one rate, with a broker and services of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(Broker(folder))
        for topic in ALL_TOPICS:
            broker.create_topic(topic.name, topic.partitions, topic.config)
        speed_url, url = stack.enter_context(services(folder, broker.bootstrap_servers))
        context = multiprocessing.get_context("spawn")
        stop, sent = context.Event(), context.Value("q", 0)
        arguments = (broker.bootstrap_servers, rate, stop, sent)
        producer = context.Process(target=produce, args=arguments)
        producer.start()
        try:
            wait_for("the producer", lambda: sent.value, 120)
            begin, before = time.monotonic(), sent.value
            latencies, requests = observe(url)
            kept = (sent.value - before) / (time.monotonic() - begin)
            stored = stored_within(speed_url, 0.5), stored_within(speed_url, 0.99)
        finally:
            stop.set()
            producer.join()
    return Measured(latencies, requests, kept, stored)


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


def produce(servers: str, rate: int, stop: Event, sent: "Synchronized[int]") -> None:
    """Keep the rate until told to stop; event time is the time of producing."""
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "linger.ms": 1,
            "queue.buffering.max.messages": 1_000_000,
            "partitioner": "murmur2_random",
        }
    )
    pool = prepared()
    every, begin = rate // PROBES_PER_SECOND, time.monotonic()
    count = 0
    while not stop.wait(SLICE_SECONDS):
        due = int((time.monotonic() - begin) * rate)
        now = time.time_ns()
        stamp, round_id = str(now // 1_000_000), f"{count:x}"
        for number in range(count, due):
            user, value, probe = pool[number % POOL]
            if number % every == 0:
                user, value, event_id = PROBE_USER, probe, f"probe_{time.time_ns()}"
            else:
                event_id = f"evt_{round_id}_{number}"
            producer.produce(SECURITY_EVENTS, value % (event_id, stamp), user)
        count = max(count, due)
        producer.poll(0)
        sent.value = count
    producer.purge()
    producer.flush(30)


def prepared() -> list[tuple[str, str, str]]:
    """Return user, event, and the event as the probe's; id and time are left to fill in."""
    stream = SecurityStream(SecurityScenario(1, EventClock.at_rate(int(NOW), 1_000)))
    found: list[tuple[str, str, str]] = []
    while len(found) < POOL:
        for value in stream.batch(len(found) // BATCH_SIZE).values:
            event = json.loads(value.replace("%", "%%"))
            event |= {"event_id": "%s", "timestamp": NOW}
            user = event["user"]
            texts = [json.dumps(event | {"user": name}) for name in (user, PROBE_USER)]
            found.append((user, *(text.replace(f'"{NOW}"', "%s") for text in texts)))
    return found


def observe(url: str) -> tuple[list[float], list[float]]:
    """Ask for the probe's newest events until time is up.

    Returns:
        Latencies of events, and times of the requests, in ms.
    """
    latencies: list[float] = []
    requests: list[float] = []
    seen: set[str] = set()
    begin = time.monotonic()
    with httpx.Client(base_url=url, timeout=30) as client:
        while time.monotonic() - begin < WARM_UP_SECONDS + SECONDS:
            asked = time.time_ns()
            answer = client.get("/api/events", params={"user": PROBE_USER, "limit": 50})
            arrived = time.time_ns()
            answer.raise_for_status()
            found = {event["event_id"] for event in answer.json()["data"]} - seen
            seen |= found
            if time.monotonic() - begin > WARM_UP_SECONDS:
                produced = [int(event_id.removeprefix("probe_")) for event_id in found]
                requests.append((arrived - asked) / 1e6)
                latencies += [(arrived - at) / 1e6 for at in produced]
            time.sleep(SLICE_SECONDS)  # a client that polls, not one that takes a core
    return latencies, requests


def stored_within(speed_url: str, quantile: float) -> float:
    """Return the bound, in ms, of the speed layer's latency bucket that the quantile falls in."""
    lines = httpx.get(f"{speed_url}/metrics").text.splitlines()
    prefix = 'streamguard_processing_latency_seconds_bucket{le="'
    buckets = [line.removeprefix(prefix).split('"} ') for line in lines if line.startswith(prefix)]
    total = float(buckets[-1][1])
    bound = next(bound for bound, count in buckets if float(count) >= quantile * total)
    return 1000 * float(bound)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
