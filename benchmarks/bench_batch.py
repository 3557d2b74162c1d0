"""Security runs over long histories: cold, warm, full, incremental, beside a bare Spark.

    make bench-batch                      # histories of 1, 5 and 10 million events, 100,000 new ones
    QUICK=1 make bench-batch              # a hundredth of that
    N=2000000 python benchmarks/bench_batch.py   # histories of 0.1, 0.5 and 1 times N, N / 100 new

One topic grows. At each history: a run that makes it served, then runs over new events, three
times; medians count. At the end, on the whole topic:

* full: all history into an empty lake (ingestion, detection, models, publication), in a session that
  runs already; beside it a plain pyspark process that reads the topic, parses every record and
  writes Parquet (``ratio_to_plain_spark``, its start not counted).
* cold: ``python -m batch_layer security-run --max-events 1000``, a process from start to exit, beside a
  plain pyspark process that reads the same records and writes Parquet; rounds are interleaved.
* warm: the same bounded run again in the session that runs already.
* checks, after the first full run and again after the smallest history's last run over new events;
  the larger difference counts: scores of the view against the engine the speed layer runs
  (``score_max_diff``), the 28 features against their independent Spark SQL version
  (``feature_max_diff``).

Memory is what this process, the driver and the Python workers hold at once (PSS), sampled every
second. The last line is JSON.
"""

import json
import os
import runpy
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from batch_topic import BARE_PARSE, BARE_READ, EVENT_BYTES, PARTITIONS, PeakMemory, Stopwatch, Topic
from docs_section import write_section
from pyspark.sql import SparkSession

from batch_layer.driver import driven_session
from batch_layer.security.bounded import BoundedOptions, bounded_run, held_ranges
from batch_layer.security.run import RunOptions, new_run_id, published_run
from batch_layer.settings import Settings
from batch_layer.spark import jar_paths
from contracts.decoder import decode
from contracts.topics import SECURITY_EVENTS
from contracts.views import FEATURE_SCHEMA, FEATURES, Manifest
from detection import Engine
from local_stack.testing import Broker

REPOSITORY = Path(__file__).resolve().parents[1]
QUICK = os.environ.get("QUICK") == "1"
EVENTS = int(os.environ.get("N", "100000" if QUICK else "10000000"))
HISTORIES = (EVENTS // 10, EVENTS // 2, EVENTS)
NEW = EVENTS // 100
ROUNDS = 1 if QUICK else 3
MAX_EVENTS = 1_000
CHUNK = 100_000
"""Events whose scores are compared at once."""

# Kafka's log, the lake, a second lake or the bare Spark's output, and what shuffles spill.
DISK_BYTES_PER_EVENT = 4 * EVENT_BYTES
DISK_RESERVE = 5 * 2**30
STAGES = ("ingestion", "detection", "models", "publication")


class Bench:
    """A broker, a topic that grows, a session, and what was measured so far."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder = folder
        self.broker = broker
        self.topic = Topic(broker.bootstrap_servers)
        self.settings = Settings(
            kafka_bootstrap_servers=broker.bootstrap_servers,
            jars_dir=REPOSITORY / ".tools/jars/spark",
            archive_dir=folder / "cds",
            data_dir=folder / "batch",
            lake_dir=folder / "lake",
        )
        self.figures: dict[str, float] = {}
        self.peak_gib = 0.0
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Write one line at once, and keep it for the page."""
        self.lines.append(text)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def run(self, spark: SparkSession, name: str, lake: Path) -> tuple[float, Manifest]:
        """Do a published run; write its row of the table."""
        settings = self.settings.model_copy(update={"lake_dir": lake})
        watch = Stopwatch()
        with PeakMemory(self.broker.pid) as memory:
            outcome = published_run(spark, settings, new_run_id(), RunOptions())
        seconds, manifest = watch.seconds, outcome.manifest
        if manifest is None:
            raise RuntimeError(f"{name}: {outcome.message}")
        self.peak_gib = max(self.peak_gib, memory.gib)
        stages = "".join(f"{manifest.stages.get(stage, 0.0):>13.1f}" for stage in STAGES)
        self.say(f"{name:<34}{stages}{seconds:>9.1f}{memory.gib:>10.2f}")
        return seconds, manifest

    def histories(self, spark: SparkSession) -> None:
        """Let the topic grow, with runs on the way."""
        lake = self.settings.lake_dir
        increments = {}
        for place, history in enumerate(HISTORIES):
            self.topic.grow(history)
            seconds, manifest = self.run(spark, f"{history:,} of history", lake)
            if place == 0:
                self.figures["full_1m_s"] = seconds
                self.compare(spark, lake, manifest)
            times = []
            for _ in range(ROUNDS):
                self.topic.grow(self.topic.events + NEW)
                seconds, manifest = self.run(spark, f"{NEW:,} new after {history:,}", lake)
                times.append(seconds)
            if place == 0:  # what a run takes over from the one before is compared, too
                self.compare(spark, lake, manifest)
            increments[history] = statistics.median(times)
        self.figures["increment_ratio"] = round(increments[EVENTS] / increments[HISTORIES[0]], 3)
        self.figures["increment_s"] = increments[EVENTS]
        shutil.rmtree(lake)

    def compare(self, spark: SparkSession, lake: Path, manifest: Manifest) -> None:
        """Keep the largest difference of any comparison."""
        for name, difference in (
            ("score_max_diff", score_difference(lake, manifest)),
            ("feature_max_diff", feature_difference(spark, lake, manifest)),
        ):
            self.figures[name] = max(self.figures.get(name, 0.0), difference)

    def full(self, spark: SparkSession) -> None:
        """Run over the whole topic, into an empty lake."""
        lake = self.folder / "full-lake"
        self.figures["full_10m_s"], _ = self.run(spark, f"full, {self.topic.events:,}", lake)
        shutil.rmtree(lake)

    def plain(self) -> None:
        """Let a bare Spark read, parse and write the whole topic."""
        output = self.folder / "plain"
        command = [sys.executable, "-c", BARE_PARSE, self.broker.bootstrap_servers, self._jars()]
        done = subprocess.run(
            [*command, str(output)],
            env=self._env(),
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        seconds = float(done.stdout.split("seconds")[-1])
        rows = sum(pq.read_metadata(path).num_rows for path in output.glob("*.parquet"))
        shutil.rmtree(output)
        if rows != self.topic.events:
            raise RuntimeError(f"the bare Spark wrote {rows} rows, not {self.topic.events}")
        self.say(f"bare Spark reads, parses, writes {rows:,}: {seconds:.1f} s")
        self.figures["ratio_to_plain_spark"] = round(self.figures["full_10m_s"] / seconds, 3)

    def cold(self) -> None:
        """Start processes in turn: ours over 1,000 events, a bare one over the same."""
        ranges = held_ranges(self.settings, MAX_EVENTS)
        starts, ends = (
            json.dumps({SECURITY_EVENTS: {str(p): r[i] for (_, p), r in ranges.items()}})
            for i in (0, 1)
        )
        servers = self.broker.bootstrap_servers
        bare = [sys.executable, "-c", BARE_READ, servers, starts, ends, self._jars()]
        bare.append(str(self.folder / "bare"))
        ours = [sys.executable, "-m", "batch_layer", "security-run"]
        ours += ["--max-events", str(MAX_EVENTS), "--output", str(self.folder / "ours")]
        self.say(f"first start, writes the class archive: {self._timed(ours):.1f} s")
        cold: list[float] = []
        plain: list[float] = []
        for number in range(ROUNDS):
            plain.append(self._timed(bare))
            cold.append(self._timed(ours))
            self.say(f"round {number + 1}: bare {plain[-1]:.1f} s, ours {cold[-1]:.1f} s")
        ratio = statistics.median(cold) / statistics.median(plain)
        self.figures["cold_ratio"] = round(ratio, 3)

    def warm(self, spark: SparkSession) -> None:
        """Repeat the bounded run in the running session."""
        warm: list[float] = []
        for _ in range(ROUNDS + 1):
            watch = Stopwatch()
            options = BoundedOptions(MAX_EVENTS, contamination=0.1)
            bounded_run(spark, self.settings, options, self.folder / "warm")
            warm.append(watch.seconds)
        self.say("warm: " + ", ".join(f"{seconds:.1f} s" for seconds in warm))
        self.figures["warm_1k_s"] = statistics.median(warm)

    def _jars(self) -> str:
        return ",".join(str(jar) for jar in jar_paths(self.settings.jars_dir))

    def _env(self) -> dict[str, str]:
        return dict(os.environ) | {
            "BATCH_KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap_servers,
            "BATCH_JARS_DIR": str(self.settings.jars_dir),
            "BATCH_ARCHIVE_DIR": str(self.settings.archive_dir),
            "BATCH_DATA_DIR": str(self.settings.data_dir),
            "PYSPARK_PYTHON": sys.executable,
        }

    def _timed(self, command: list[str]) -> float:
        watch = Stopwatch()
        silent = subprocess.DEVNULL
        subprocess.run(command, env=self._env(), check=True, stdout=silent, stderr=silent)
        return watch.seconds


def score_difference(lake: Path, manifest: Manifest) -> float:
    """Return how far a partition's scores in the view are from the speed layer's engine, at most."""
    columns = ["offset", "raw", "anomaly_score"]
    view = pa.concat_tables(
        pq.ParquetFile(lake / "security" / file.path).read(columns)
        for file in manifest.event_files
        if f"{SECURITY_EVENTS}-0." in file.path
    ).sort_by("offset")
    engine = Engine(scorer="calibrated")
    most = 0.0
    for first in range(0, view.num_rows, CHUNK):
        part = view.slice(first, CHUNK)
        decoded = decode(SECURITY_EVENTS, 0, part["offset"].to_pylist(), part["raw"].to_pylist())
        direct = np.asarray(engine.process(decoded.events).anomaly_score)
        served = part["anomaly_score"].to_numpy(zero_copy_only=False).astype(np.float64)
        if not np.array_equal(np.isnan(direct), np.isnan(served)):
            raise RuntimeError("scores are missing in the view, or there are too many")
        most = max(most, float(np.nanmax(np.abs(direct - served), initial=0.0)))
    return most


def feature_difference(spark: SparkSession, lake: Path, manifest: Manifest) -> float:
    """Return how far any feature of any user is from the Spark SQL version of it, at most."""
    path = REPOSITORY / "batch-layer/tests/test_features_sql.py"
    files = [str(lake / "security" / file.path) for file in manifest.event_files]
    place = "get_json_object(CAST(raw AS string), '$.metadata.geo_location') AS geo_location"
    spark.read.parquet(*files).selectExpr("*", place).createOrReplaceTempView("events")
    by_sql = spark.sql(runpy.run_path(str(path))["QUERY"]).select(*FEATURE_SCHEMA.names).toArrow()
    served = pa.concat_tables(
        pq.ParquetFile(lake / "security" / file.path).read(FEATURE_SCHEMA.names)
        for file in manifest.user_files
    ).sort_by("user")
    if by_sql["user"].to_pylist() != served["user"].to_pylist():
        raise RuntimeError("the view's users are not those of the events")
    return max(
        float(np.abs(_numbers(by_sql[name]) - _numbers(served[name])).max()) for name in FEATURES
    )


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.float64()).to_numpy()


def main() -> None:
    """Measure, write the table, the figures and, after a whole run, the page's section."""
    with tempfile.TemporaryDirectory() as name, Broker(Path(name)) as broker:
        needed = EVENTS * DISK_BYTES_PER_EVENT + DISK_RESERVE
        if (free := shutil.disk_usage(name).free) < needed:
            sys.exit(f"{name} has {free / 2**30:.0f} GiB free, this needs {needed / 2**30:.0f}")
        for topic, partitions in ((SECURITY_EVENTS, PARTITIONS), ("user-events", 2)):
            broker.create_topic(topic, partitions)
        bench = Bench(Path(name), broker)
        heads = "".join(f"{stage:>13}" for stage in STAGES)
        bench.say(f"{'seconds':<34}{heads}{'total':>9}{'peak GiB':>10}")
        with driven_session(bench.settings) as spark:
            bench.histories(spark)
            bench.full(spark)
            bench.warm(spark)
        bench.plain()
        bench.cold()
        bench.topic.close()
        figures = bench.figures | {"peak_memory_gib": round(bench.peak_gib, 2), "events": EVENTS}
        bench.say(json.dumps(figures))
        if not QUICK and "N" not in os.environ:
            write_section("bench-batch", ["```text", *bench.lines, "```"])


if __name__ == "__main__":
    main()
