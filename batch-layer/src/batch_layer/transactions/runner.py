"""Run one batch: read once, write the raw table, compute the analyses from it."""

import logging
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import Observation
from pyspark.sql import functions as F

from batch_layer.transactions import metrics
from batch_layer.transactions.analyses.catalogue import ANALYSES, analyses_of
from batch_layer.transactions.parsing import malformed, parsed, valid
from batch_layer.transactions.sources import kafka_records, lake_transactions
from batch_layer.transactions.tables import row_count
from contracts.lake import BATCHES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from batch_layer.settings import Settings
    from batch_layer.transactions.records import BatchRecord

logger = logging.getLogger(__name__)

# A page is read from the files it lies in; of this size one takes some 20 ms.
_RECORDS_PER_FILE = 20_000


@dataclass(frozen=True, slots=True)
class BatchPaths:
    """Where a batch's tables lie."""

    raw: "Path"
    malformed: "Path"
    aggregated: "Path"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch wrote."""

    row_count: int
    malformed_count: int


def batch_paths(lake: "Path", batch_id: str) -> BatchPaths:
    """Return the folders of a batch."""
    root = lake.resolve() / BATCHES / batch_id
    return BatchPaths(root / "raw", root / "malformed", root / "aggregated")


def run_batch(
    spark: "SparkSession",
    settings: "Settings",
    record: "BatchRecord",
    check_cancelled: "Callable[[], None]",
) -> Outcome:
    """Write a batch's tables.

    Args:
        spark: The session; the caller chose the scheduler pool of this thread.
        settings: Where broker and lake are.
        record: What was asked, offsets resolved.
        check_cancelled: Called between steps; raises to end the batch.
    """
    paths = batch_paths(settings.lake_dir, record.batch_id)
    malformed_count = 0
    if record.topic is not None:
        malformed_count = _write_from_kafka(spark, settings, record, paths)
    else:
        _write_raw(_from_lake(spark, settings, record), paths)
    check_cancelled()
    raw = spark.read.format("delta").load(str(paths.raw))
    for name in analyses_of(record.analysis_type):
        _write(ANALYSES[name].transform(raw), paths.aggregated / name)
        check_cancelled()
    return Outcome(row_count(paths.raw), malformed_count)


def _from_lake(spark: "SparkSession", settings: "Settings", record: "BatchRecord") -> "DataFrame":
    return lake_transactions(
        spark,
        settings.lake_dir,
        record.start_date or date.min,
        record.end_date or date.max,
        record.filters or {},
    )


def _write_from_kafka(
    spark: "SparkSession", settings: "Settings", record: "BatchRecord", paths: BatchPaths
) -> int:
    """Write good and bad records apart; return how many were bad.

    They are counted while the good ones are written, so that only a range that has bad ones is
    read a second time.
    """
    records = parsed(
        kafka_records(
            spark,
            settings.kafka_bootstrap_servers,
            record.topic or "",
            record.start_offset or {},
            record.end_offset or {},
        )
    )
    observed = Observation(f"parsed-{record.batch_id}")
    bad = F.count_if(F.col("error").isNotNull()).alias("malformed")
    _write_raw(valid(records.observe(observed, bad)), paths)
    # An empty range has no plan left to observe, and no answer to wait for.
    if record.start_offset == record.end_offset or not observed.get["malformed"]:
        return 0
    _write(malformed(records), paths.malformed)
    count = row_count(paths.malformed)
    metrics.MALFORMED.labels("batch").inc(count)
    logger.warning(
        "%s: %d malformed records in %s",
        record.batch_id,
        count,
        paths.malformed,
        extra={"batch_id": record.batch_id},
    )
    return count


def _write_raw(transactions: "DataFrame", paths: BatchPaths) -> None:
    (
        transactions.write.format("delta")
        .partitionBy("category")
        .option("maxRecordsPerFile", _RECORDS_PER_FILE)
        .save(str(paths.raw))
    )


def _write(rows: "DataFrame", path: "Path") -> None:
    rows.write.format("delta").save(str(path))
