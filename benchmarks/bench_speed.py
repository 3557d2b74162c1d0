"""Throughput of the speed layer against the bare Kafka client, from a real broker, on one core.

    python benchmarks/bench_speed.py             1,000,000 events
    QUICK=1 python benchmarks/bench_speed.py     200,000 events

The same topic is read three times by each, taking turns. *Bare* is the client in a loop that
does nothing with the records. *Ours* decodes, scores, applies the rules and stores every event
durably. Prints a table, and one line of JSON last.
"""

import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from contracts.topics import ALL_TOPICS, SECURITY_EVENTS
from event_generator.clock import EventClock
from event_generator.security.stream import BATCH_SIZE, SecurityScenario, SecurityStream
from local_stack.testing import Broker
from speed_layer.__main__ import compile_detection, relax_garbage_collection
from speed_layer.consumer import SpeedLayer
from speed_layer.kafka import consumer_config
from speed_layer.metrics import Metrics
from speed_layer.settings import Settings
from speed_layer.status import Status
from speed_layer.store import store_path

ROUNDS = 3
KEY = (SECURITY_EVENTS, 0)


@dataclass(frozen=True)
class Run:
    """One reading of the whole topic."""

    seconds: float
    cpu_seconds: float
    stored_bytes: int = 0


Reader = Callable[[Settings, int], Run]


def main() -> None:
    """Fill a topic, read it, print the figures."""
    count = int(os.environ.get("N", "200000" if os.environ.get("QUICK") else "1000000"))
    with tempfile.TemporaryDirectory() as folder, Broker(Path(folder)) as broker:
        for topic in ALL_TOPICS:
            broker.create_topic(topic.name, 1, topic.config)
        event_bytes = fill(broker.bootstrap_servers, count)
        print(f"{count} events of {event_bytes:.0f} bytes, one partition, one core")
        runs: dict[str, list[Run]] = {"bare": [], "ours": []}
        for number in range(ROUNDS):
            for name, read in (("bare", read_bare), ("ours", read_ours)):
                store = Path(folder) / f"{name}-{number}"
                run = in_child(read, broker.bootstrap_servers, store, count)
                print(f"  {name} {number + 1}: {run.seconds:.1f} s, {run.cpu_seconds:.1f} CPU-s")
                runs[name].append(run)
    report(runs, count)


def fill(servers: str, count: int) -> float:
    """Produce ``count`` events; returns their mean size in bytes."""
    stream = SecurityStream(SecurityScenario(1, EventClock.at_rate(1_700_000_000_000, 100)))
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 50, "compression.type": "lz4"})
    sent = size = 0
    while sent < count:
        batch = stream.batch(sent // BATCH_SIZE)
        for key, value in zip(batch.keys, batch.values, strict=True):
            producer.produce(SECURITY_EVENTS, value, key)
            size += len(value)
        sent += len(batch)
        producer.flush()
    return size / sent


def in_child(read: Reader, servers: str, store: Path, count: int) -> Run:
    """Run ``read`` in a fresh process on one core."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(on_one_core, (read, servers, store, count))


def on_one_core(read: Reader, servers: str, store: Path, count: int) -> Run:
    """Pin this process, then read."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    settings = Settings(
        kafka_bootstrap_servers=servers,
        consumer_group=store.name,
        store_dir=store,
        lake_dir=store / "lake",
        topics=(SECURITY_EVENTS,),
    )
    return read(settings, count)


def read_bare(settings: Settings, count: int) -> Run:
    """Consume with the speed layer's own client options and drop everything."""
    consumer = Consumer(consumer_config(settings, lambda _: None))
    consumer.assign([TopicPartition(*KEY, 0)])
    seen, begin, cpu = 0, time.perf_counter(), time.process_time()
    while seen < count:
        seen += len(consumer.consume(settings.batch_events, 0.1))
    run = Run(time.perf_counter() - begin, time.process_time() - cpu)
    consumer.close()
    return run


def read_ours(settings: Settings, count: int) -> Run:
    """Run the speed layer until everything is stored."""
    compile_detection(settings)
    relax_garbage_collection()
    status = Status("bench")
    layer = SpeedLayer(settings, status, Metrics())
    begun: list[float] = []
    ended: list[float] = []

    def running() -> bool:
        found = status.partition(KEY)
        if found is not None and not begun:
            begun.extend((time.perf_counter(), time.process_time()))
        if found is not None and found.position.next_offset >= count:
            ended.extend((time.perf_counter(), time.process_time()))
        return not ended

    layer.run(running)
    path = store_path(settings.store_dir, *KEY)
    return Run(ended[0] - begun[0], ended[1] - begun[1], path.stat().st_size)


def report(runs: dict[str, list[Run]], count: int) -> None:
    """Print medians and their ratios."""
    seconds = {name: statistics.median(run.seconds for run in many) for name, many in runs.items()}
    cpu = {name: statistics.median(run.cpu_seconds for run in many) for name, many in runs.items()}
    print(f"\n{'':6}{'events/s':>12}{'events/CPU-s':>14}{'us/event CPU':>14}")
    for name in runs:
        print(
            f"{name:6}{count / seconds[name]:12,.0f}{count / cpu[name]:14,.0f}"
            f"{cpu[name] / count * 1e6:14.2f}"
        )
    figures = {
        "ratio_to_client": round(seconds["bare"] / seconds["ours"], 3),
        "ratio_to_client_cpu": round(cpu["bare"] / cpu["ours"], 3),
        "events_per_cpu_second": round(count / cpu["ours"]),
        "bytes_per_event": round(runs["ours"][-1].stored_bytes / count, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
