"""Cold and warm security runs over 1,000 events of a large topic, beside a bare Spark process.

    python benchmarks/bench_batch.py            # topic of 1,000,000 events, 3 rounds
    QUICK=1 python benchmarks/bench_batch.py    # topic of 100,000 events, 1 round

* ours: ``python -m batch_layer security-run --max-events 1000``, a process from start to exit. The
  first one writes the class archive that later ones start from; it is not counted.
* bare: a process with a plain pyspark session (``spark.jars`` of the same connector jars, nothing
  else set, none of our start-up means), which reads the same 1,000 records and writes Parquet.
* warm: the same bounded run again in a session that is already running.

Rounds are interleaved; figures are medians of wall seconds. The last line is JSON.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Producer

from batch_layer.security.bounded import BoundedOptions, bounded_run, held_ranges
from batch_layer.settings import Settings
from batch_layer.spark import jar_paths, spark_session
from local_stack.testing import Broker

REPOSITORY = Path(__file__).resolve().parents[1]
QUICK = os.environ.get("QUICK") == "1"
EVENTS = 100_000 if QUICK else 1_000_000
ROUNDS = 1 if QUICK else 3
PARTITIONS = 4
MAX_EVENTS = 1_000

BARE = """
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


def say(text: str) -> None:
    """Write one line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def event(number: int, rng: random.Random) -> bytes:
    """Return one event of about 450 bytes."""
    user = rng.randrange(14)
    body = {
        "event_id": f"evt_{number:012x}",
        "timestamp": 1_760_000_000_000 + number * 36,
        "event_type": rng.choice(["auth_attempt", "network_connection", "file_access"]),
        "source_ip": f"10.0.{user}.{rng.randrange(3)}",
        "user": f"user{user}",
        "status": "success" if rng.random() < 0.92 else "failed",
        "threat_score": round(rng.random() * 0.3, 2),
        "metadata": {
            "hostname": f"ws-{user}",
            "geo_location": "US-CA-SF",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Safari/537.36",
            "session_id": f"session-{number % 997}",
            "port": 443,
            "protocol": "TCP",
            "bytes_transferred": rng.randrange(100_000),
        },
    }
    return json.dumps(body).encode()


def fill(servers: str) -> None:
    """Write the events, evenly over the partitions."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 50, "compression.type": "lz4"})
    rng = random.Random(7)
    for number in range(EVENTS):
        value = event(number, rng)
        while True:
            try:
                producer.produce("security-events", value, partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    producer.flush()


def timed(command: list[str], env: dict[str, str]) -> float:
    """Run a process and return its wall seconds."""
    started = time.monotonic()
    subprocess.run(
        command, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return time.monotonic() - started


def main() -> None:
    """Run all rounds and write the figures."""
    with tempfile.TemporaryDirectory() as name, Broker(Path(name)) as broker:
        folder = Path(name)
        for topic, partitions in (("security-events", PARTITIONS), ("user-events", 2)):
            broker.create_topic(topic, partitions)
        fill(broker.bootstrap_servers)
        say(f"topic of {EVENTS} events")
        settings = Settings(
            kafka_bootstrap_servers=broker.bootstrap_servers,
            jars_dir=REPOSITORY / ".tools/jars/spark",
            archive_dir=folder / "cds",
            data_dir=folder / "batch",
            lake_dir=folder / "lake",
        )
        env = dict(os.environ) | {
            "BATCH_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "BATCH_JARS_DIR": str(settings.jars_dir),
            "BATCH_ARCHIVE_DIR": str(settings.archive_dir),
            "BATCH_DATA_DIR": str(settings.data_dir),
            "PYSPARK_PYTHON": sys.executable,
        }
        ours = [sys.executable, "-m", "batch_layer", "security-run"]
        ours += ["--max-events", str(MAX_EVENTS), "--output", str(folder / "ours")]
        ranges = held_ranges(settings, MAX_EVENTS)
        starts, ends = (
            json.dumps({"security-events": {str(p): r[i] for (_, p), r in ranges.items()}})
            for i in (0, 1)
        )
        jars = ",".join(str(jar) for jar in jar_paths(settings.jars_dir))
        bare = [sys.executable, "-c", BARE, broker.bootstrap_servers, starts, ends, jars]
        bare.append(str(folder / "bare"))
        say(f"first start, writes the class archive: {timed(ours, env):.1f} s")
        cold: list[float] = []
        plain: list[float] = []
        for number in range(ROUNDS):
            plain.append(timed(bare, env))
            cold.append(timed(ours, env))
            say(f"round {number + 1}: bare {plain[-1]:.1f} s, ours {cold[-1]:.1f} s")
        warm: list[float] = []
        with spark_session(settings) as spark:
            for _ in range(ROUNDS + 1):
                started = time.monotonic()
                options = BoundedOptions(MAX_EVENTS, contamination=0.1)
                bounded_run(spark, settings, options, folder / "warm")
                warm.append(time.monotonic() - started)
        say("warm: " + ", ".join(f"{seconds:.1f} s" for seconds in warm))
        ratio = statistics.median(cold) / statistics.median(plain)
        figures = {"cold_ratio": round(ratio, 3), "warm_1k_s": round(statistics.median(warm), 2)}
        say(json.dumps(figures | {"cold_s": cold, "bare_s": plain, "events": EVENTS}))


if __name__ == "__main__":
    main()
