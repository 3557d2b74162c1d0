"""The lake's tables while they are written and cared for, and while their writer is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from batch_layer.ingestion import ingest, table_path
from batch_layer.transactions.maintenance import Tables
from batch_layer.transactions.tables import snapshot
from contracts.topics import SECURITY_EVENTS

pytestmark = pytest.mark.integration


def until(what: str, probe, seconds: float = 120):
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, f"{what}: never"
        time.sleep(0.02)  # polled with a deadline
    return found


def test_a_reader_sees_one_version_while_a_table_is_streamed_to_and_cared_for(
    spark, settings, tmp_path
):
    name = "stream/transactions"
    path = settings.lake_dir / name
    source = spark.readStream.format("rate")
    rows = source.option("rowsPerSecond", 500).option("numPartitions", 1).load()
    query = (
        rows.selectExpr("value", "value % 7 AS customer_id", "to_date(timestamp) AS event_date")
        .writeStream.format("delta")
        .partitionBy("event_date")
        .trigger(processingTime="500 milliseconds")  # leaves the processor to the care
        .option("checkpointLocation", str(tmp_path / "checkpoint"))
        .start(str(path))
    )
    done = threading.Event()
    seen = []

    def read() -> None:
        while not done.is_set():
            found = snapshot(path)
            values = found.rows()["value"]
            # The source counts up: each version is all of 0 to n - 1, once.
            assert pc.count_distinct(values).as_py() == len(values) == found.row_count
            assert len(values) == 0 or pc.max(values).as_py() == len(values) - 1
            seen.append((found.version, len(values)))

    try:
        until("files to compact", lambda: len(files(path)) > 2)
        tables = Tables(spark, settings.lake_dir)
        with ThreadPoolExecutor(max_workers=1) as pool:
            reader = pool.submit(read)
            try:
                tables.optimize(name)
                tables.zorder(name, ["customer_id"])
                tables.vacuum(name)
                until("versions read", lambda: reader.done() or len({v for v, _ in seen}) > 2)
            finally:
                done.set()
            reader.result(60)
    finally:
        query.stop()
    operations = {row["operation"] for row in tables.history(name, 100)}
    assert {"STREAMING UPDATE", "OPTIMIZE"} <= operations
    assert seen == sorted(seen)


def files(table: Path) -> list[str]:
    """Return a table's files; none before it exists."""
    return DeltaTable(str(table)).file_uris() if DeltaTable.is_deltatable(str(table)) else []


INGEST = """
import sys
import batch_layer.ingestion as ingestion
from batch_layer.arguments import parse_arguments
from batch_layer.commands import run
ingestion.MAX_RECORDS_PER_BATCH = 40
sys.exit(run(parse_arguments(["ingest", "security-events"])))
"""


def test_a_driver_killed_between_the_steps_of_a_commit_writes_every_record_once(
    spark, settings, topics, read_elsewhere
):
    """The steps: data files, Delta's log, the progress of the stream; killed after the first two."""
    settings = settings.model_copy(update={"kafka_bootstrap_servers": topics.bootstrap_servers})
    topics.create(SECURITY_EVENTS)
    values = [b"\xff malformed" if n % 5 == 0 else b"%d" % n for n in range(200)]
    topics.produce(SECURITY_EVENTS, [*values, None])
    table = table_path(settings.lake_dir, SECURITY_EVENTS)
    first_version = table / "_delta_log" / f"{0:020}.json"
    for step in (
        lambda: any(table.glob("ingest_date=*/*.parquet")),
        first_version.exists,
    ):
        kill_ingestion(settings, topics.bootstrap_servers, step)

    reached = ingest(spark, settings, [SECURITY_EVENTS])

    assert reached[SECURITY_EVENTS].next == {0: 201}
    assert read_elsewhere(table, "offset") == list(range(201))
    rows = DeltaTable(str(table)).to_pyarrow_table(columns=["offset", "value"]).sort_by("offset")
    assert rows["value"].to_pylist() == [*values, None]


def kill_ingestion(settings, servers: str, reached) -> None:
    """Start ingestion as a process; kill it and its driver as soon as a step is reached."""
    env = dict(os.environ) | {
        "BATCH_KAFKA_BOOTSTRAP_SERVERS": servers,
        "BATCH_LAKE_DIR": str(settings.lake_dir),
        "BATCH_DATA_DIR": str(settings.data_dir),
        "BATCH_JARS_DIR": str(settings.jars_dir),
        "BATCH_ARCHIVE_DIR": str(settings.jars_dir.parents[1] / "cds"),  # starts faster
    }
    process = subprocess.Popen([sys.executable, "-c", INGEST], env=env, stderr=subprocess.DEVNULL)
    try:
        until("the step", lambda: reached() or process.poll() is not None, seconds=480)
        assert process.poll() is None, "ended before it could be killed"
    finally:
        for child in children(process.pid):
            os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait()


def children(pid: int) -> list[int]:
    """Return the drivers a process has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in text.read_text().split()] if text.exists() else []
