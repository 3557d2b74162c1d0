"""The lake's tables while they are written and cared for."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from batch_layer.transactions.maintenance import Tables
from batch_layer.transactions.tables import snapshot

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
    rows = spark.readStream.format("rate").option("rowsPerSecond", 500).load()
    query = (
        rows.selectExpr("value", "value % 7 AS customer_id", "to_date(timestamp) AS event_date")
        .writeStream.format("delta")
        .partitionBy("event_date")
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
        until("a first version", lambda: DeltaTable.is_deltatable(str(path)))
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
