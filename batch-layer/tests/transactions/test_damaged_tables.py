import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from batch_layer.errors import BatchLayerError
from batch_layer.ingestion import first_line
from batch_layer.transactions.batches import Batches
from batch_layer.transactions.errors import TableDamagedError
from batch_layer.transactions.records import BatchRecord, Status
from batch_layer.transactions.registry import Registry
from batch_layer.transactions.requests import BatchRunRequest
from batch_layer.transactions.schema import STORED_TYPE
from batch_layer.transactions.sinks import TransactionSink
from batch_layer.transactions.tables import snapshot

DAY = date(2026, 3, 2)


def table(path: Path, rows: int = 10) -> list[Path]:
    """Write a table of two files; return them."""
    for number in range(2):
        day = pa.array([DAY + timedelta(days=number)] * rows)
        write_deltalake(path, pa.table({"n": list(range(rows)), "event_date": day}), mode="append")
    return sorted(path.glob("*.parquet"))


def test_a_page_of_a_damaged_file_names_the_file_and_the_others_are_read(tmp_path):
    damaged, whole = table(tmp_path)
    damaged.write_bytes(damaged.read_bytes()[:40])
    found = snapshot(tmp_path)

    with pytest.raises(TableDamagedError, match=damaged.name):
        found.page(5, 0)
    assert found.page(5, 10).num_rows == 5
    whole.unlink()
    with pytest.raises(TableDamagedError, match=whole.name):
        found.page(5, 10)


def test_a_damaged_log_names_the_table(tmp_path):
    table(tmp_path)
    (tmp_path / "_delta_log" / f"{1:020}.json").write_text("not JSON")

    with pytest.raises(TableDamagedError, match=str(tmp_path)):
        snapshot(tmp_path)


def test_a_java_error_says_what_was_thrown():
    text = """An error occurred while calling o1589.save.
: org.apache.spark.SparkException: [FAILED_READ_FILE.NO_HINT] Encountered error while reading a.parquet.
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.cannotReadFilesError(Query.scala:864)
Caused by: org.apache.hadoop.fs.ChecksumException: Checksum error: a.parquet
"""

    assert first_line(RuntimeError(text)) == (
        "org.apache.spark.SparkException: [FAILED_READ_FILE.NO_HINT]"
        " Encountered error while reading a.parquet."
    )


def test_of_a_thread_that_failed_the_cause_is_told():
    text = """An error occurred while calling o12.sql.
: org.apache.spark.SparkException: Exception thrown in awaitResult:
\tat org.apache.spark.util.SparkThreadUtils$.awaitResult(SparkThreadUtils.scala:53)
Caused by: org.apache.spark.SparkException: Cannot read a.parquet.
Caused by: java.lang.RuntimeException: not a Parquet file
"""

    assert (
        first_line(RuntimeError(text)) == "org.apache.spark.SparkException: Cannot read a.parquet."
    )


@pytest.fixture
def seed(spark, transactions):
    """Write one transaction as history into a lake; return its table."""

    def write(lake: Path) -> Path:
        rows = transactions({"customer_id": "c", "event_timestamp": "2026-03-02T10:00:00Z"})
        path = lake / "seed/transactions"
        rows.select(*STORED_TYPE.names).write.format("delta").save(str(path))
        return path

    return write


def batch_over_the_seed(spark, settings) -> BatchRecord:
    """Run a batch to its end."""
    registry = Registry(settings.data_dir)
    batches = Batches(spark, settings, registry)
    record = batches.submit(
        BatchRunRequest(
            startDate="2026-03-01", endDate="2026-03-05", analysisType="revenue_by_category"
        )
    )
    batches.stop(drain_seconds=120)
    ended = registry.get(record.batch_id)
    registry.close()
    return ended


@pytest.mark.integration
def test_a_batch_over_a_damaged_file_fails_by_its_name(spark, settings, seed):
    damaged = max(seed(settings.lake_dir).glob("*.parquet"), key=lambda file: file.stat().st_size)
    damaged.write_bytes(damaged.read_bytes()[:100])

    failed = batch_over_the_seed(spark, settings)

    assert failed.status is Status.FAILED
    assert damaged.name in failed.error_message


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 4 MiB, in memory."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount a disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.integration
def test_a_batch_on_a_full_disk_says_so_and_the_next_finds_room(spark, settings, seed, small_disk):
    settings = settings.model_copy(update={"lake_dir": small_disk})
    seed(small_disk)
    filler = small_disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass

    failed = batch_over_the_seed(spark, settings)
    filler.unlink()
    done = batch_over_the_seed(spark, settings)

    assert failed.status is Status.FAILED
    assert "No space left on device" in failed.error_message
    assert (done.status, done.row_count) == (Status.COMPLETED, 1)


@pytest.mark.integration
def test_a_micro_batch_that_cannot_be_written_fails_in_one_line(kafka_rows, tmp_path):
    (tmp_path / "stream").write_text("a file where the folder should be")
    sink = TransactionSink(tmp_path, "t", tmp_path, "127.0.0.1:1")
    (tmp_path / "metadata").write_text('{"id": "query"}')

    with pytest.raises(BatchLayerError) as failed:
        sink(kafka_rows([b"{}"]), 0)

    assert len(str(failed.value).splitlines()) == 1
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__
