"""What `bench_batch.py` measures on: a topic of events, a bare Spark beside ours, memory by the way."""

import contextlib
import json
import os
import random
import threading
import time
from types import TracebackType
from typing import Self

import psutil
from confluent_kafka import Producer

from contracts.topics import SECURITY_EVENTS

PARTITIONS = 4
USERS = 200
EVENT_BYTES = 450
START_MS = 1_760_000_000_000
STEP_MS = 36
_KINDS = ("auth_attempt", "network_connection", "file_access", "process_execution", "dns_query")
_BODIES = 20_000
_SAMPLE_SECONDS = 1.0

BARE_READ = """
import sys
from pyspark.sql import SparkSession
servers, starts, ends, jars, output = sys.argv[1:]
spark = SparkSession.builder.master("local[2]").config("spark.jars", jars).getOrCreate()
records = (
    spark.read.format("kafka")
    .option("kafka.bootstrap.servers", servers)
    .option("subscribe", "security-events")
    .option("startingOffsets", starts)
    .option("endingOffsets", ends)
    .load()
)
records.write.mode("overwrite").parquet(output)
spark.stop()
"""
"""A plain session, none of our start-up means: reads records and writes Parquet."""

BARE_PARSE = """
import sys, time
from pyspark.sql import SparkSession
servers, jars, output = sys.argv[1:]
spark = SparkSession.builder.master("local[2]").config("spark.jars", jars).getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
spark.range(1).count()
started = time.monotonic()
schema = (
    "event_id string, timestamp long, event_type string, source_ip string, user string, "
    "status string, threat_score double, metadata struct<hostname: string, "
    "geo_location: string, user_agent: string, session_id: string, port: int, "
    "protocol: string, bytes_transferred: long>"
)
records = (
    spark.read.format("kafka")
    .option("kafka.bootstrap.servers", servers)
    .option("subscribe", "security-events")
    .option("startingOffsets", "earliest")
    .load()
)
parsed = records.selectExpr(
    "topic", "partition", "offset", "timestamp AS ingested_at", "value AS raw",
    f"from_json(CAST(value AS string), '{schema}') AS event",
)
parsed.select("topic", "partition", "offset", "ingested_at", "event.*", "raw").write.parquet(output)
print("seconds", time.monotonic() - started)
spark.stop()
"""
"""The same, and parses every record; prints its seconds without the session's start."""


class Topic:
    """Writes events to ``security-events``, evenly over the partitions."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.events = 0
        options = {
            "linger.ms": 50,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 50_000,
        }
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, **options})
        rng = random.Random(7)
        self._bodies = [_body(rng) for _ in range(_BODIES)]

    def grow(self, events: int) -> None:
        """Write events until there are so many in all."""
        for number in range(self.events, events):
            value = b'{"event_id": "evt_%012x", "timestamp": %d, %s' % (
                number,
                START_MS + number * STEP_MS,
                self._bodies[number * 7919 % _BODIES],
            )
            while True:
                try:
                    self._producer.produce(SECURITY_EVENTS, value, partition=number % PARTITIONS)
                    break
                except BufferError:
                    self._producer.poll(0.1)
            if number % 1000 == 0:
                self._producer.poll(0)
        if self._producer.flush(300):
            raise RuntimeError("the broker did not take every event within 300 s")
        self.events = max(self.events, events)

    def close(self) -> None:
        """Leave the broker, which is about to end."""
        self._producer.close()


def _body(rng: random.Random) -> bytes:
    """Return an event of about ``EVENT_BYTES`` from after its timestamp on."""
    user = int(USERS * rng.random() ** 2)  # few are busy, many are not
    body = {
        "event_type": rng.choice(_KINDS),
        "source_ip": f"10.{user // 200}.{user % 200}.{rng.randrange(3)}",
        "user": f"user{user:04}",
        "status": "success" if rng.random() < 0.92 else "failed",
        "threat_score": round(rng.random() * 0.3, 2),
        "metadata": {
            "hostname": f"ws-{user}",
            "geo_location": "US-CA-SF" if user % 3 else "DE-BE-Berlin",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Safari/537.36",
            "session_id": f"session-{rng.randrange(100_000)}",
            "port": rng.choice([22, 80, 443, 8443]),
            "protocol": "TCP",
            "bytes_transferred": rng.randrange(100_000),
        },
    }
    return json.dumps(body).encode()[1:]


class PeakMemory:
    """Samples the memory of this process and its children while the context is open.

    Args:
        without: A child that is left out, with its children (the broker).

    Attributes:
        gib: The most that was resident at once; pages shared by processes count once.
    """

    def __init__(self, without: int | None) -> None:
        self.gib = 0.0
        self._without = without
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.gib = max(self.gib, self._now())
            if self._stop.wait(_SAMPLE_SECONDS):
                return

    def _now(self) -> float:
        own = psutil.Process(os.getpid())
        left_out = {self._without}
        total = 0
        for process in [own, *own.children(recursive=True)]:
            # A process may end while it is looked at.
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid in left_out or process.ppid() in left_out:
                    left_out.add(process.pid)
                    continue
                total += process.memory_full_info().pss
        return total / 2**30


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return round(time.monotonic() - self._started, 2)
