"""The Spark job of a security run: new master records to view files, one task per partition."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from batch_layer.errors import BatchLayerError
from batch_layer.ingestion import check_protocol, first_line, raw_records, table_path
from batch_layer.security.detect import (
    SUMMARY_DDL,
    DetectionPlan,
    PartitionPlan,
    PartitionSummary,
    detection_task,
)
from batch_layer.spark import in_pool

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


def run_detection(
    spark: "SparkSession", lake: Path, plan: DetectionPlan
) -> dict[tuple[str, int], PartitionSummary]:
    """Run detection over the new records of every partition of the plan.

    Returns:
        A summary for each partition that had records.

    Raises:
        BatchLayerError: If Spark cannot read a file of the master dataset, or a task fails; the
            message names the file, or says what the task met.
    """
    found = {}
    for parts in waves(plan.partitions, free_cores(spark)):
        with in_pool(spark, "batch", "security run: detection"):
            records = new_records(spark, lake, parts)
            if records is None:
                continue
            for summary in collect(records, replace(plan, partitions=parts)):
                found[summary.topic, summary.partition] = summary
    return found


def collect(records: "DataFrame", plan: DetectionPlan) -> list[PartitionSummary]:
    """Run detection over records; return a summary for each partition that had some.

    Raises:
        BatchLayerError: If a record file cannot be read, or a task fails.
    """
    try:
        rows = detect(records, plan).collect()
    except Exception as error:  # Spark's own, Python's or py4j's; all mean the same here
        raise BatchLayerError(f"detection: {first_line(error)}") from error
    return [PartitionSummary(**row.asDict()) for row in rows]


def free_cores(spark: "SparkSession") -> int | None:
    """Return how many partitions may be worked on at once; None if as many as there are cores.

    A task of detection holds its core to the end of its partition, which no fair pool can cut
    short: beside a stream, one core stays free of them.
    """
    if not spark.streams.active:
        return None
    return max(1, spark.sparkContext.defaultParallelism - 1)


def waves(
    partitions: Sequence[PartitionPlan], width: int | None
) -> Iterator[tuple[PartitionPlan, ...]]:
    """Group partitions that have new records, ``width`` at a time; those of like size together."""
    new = [part for part in partitions if part.end > part.start]
    if width is None:
        yield tuple(new)
        return
    new.sort(key=lambda part: part.start - part.end)
    for start in range(0, len(new), width):
        yield tuple(new[start : start + width])


def detect(records: "DataFrame", plan: DetectionPlan) -> "DataFrame":
    """Give each Kafka partition a task of its own, in offset order, and run detection there."""
    from pyspark.sql import functions as sf

    codes = {(part.topic, part.partition): code for code, part in enumerate(plan.partitions)}
    code = _partition_code(codes)
    return (
        records.withColumn("code", code)
        .repartitionById(len(codes), sf.col("code"))
        .drop("code")
        .sortWithinPartitions("offset")
        .mapInArrow(detection_task(plan), SUMMARY_DDL)
    )


def new_records(
    spark: "SparkSession", lake: Path, partitions: Iterable[PartitionPlan]
) -> "DataFrame | None":
    """Return the master records of the given offsets; None if no topic has a table yet."""
    by_topic: dict[str, list[PartitionPlan]] = {}
    for part in partitions:
        if part.end > part.start:
            by_topic.setdefault(part.topic, []).append(part)
    together: DataFrame | None = None
    for topic, parts in by_topic.items():
        # Nothing but transaction markers so far: offsets, but no table.
        if not (table_path(lake, topic) / "_delta_log").is_dir():
            continue
        check_protocol(spark, table_path(lake, topic))
        records = as_input(raw_records(spark, lake, topic), "broker_timestamp").where(
            _within(parts)
        )
        together = records if together is None else together.unionAll(records)
    return together


def as_input(records: "DataFrame", timestamp_column: str) -> "DataFrame":
    """Select what detection reads, the broker's time as Unix ms."""
    return records.selectExpr(
        "topic", "partition", "offset", f"unix_millis({timestamp_column}) AS ingested_at", "value"
    )


def _within(parts: Iterable[PartitionPlan]) -> "Column":
    """Return a condition that Delta prunes files by."""
    from pyspark.sql import functions as sf

    wanted = sf.lit(False)
    for part in parts:
        offset = sf.col("offset")
        covered = (offset >= part.start) & (offset < part.end)
        wanted = wanted | ((sf.col("partition") == part.partition) & covered)
    return wanted


def _partition_code(codes: dict[tuple[str, int], int]) -> "Column":
    from pyspark.sql import functions as sf

    code = sf.lit(None).cast("int")
    for (topic, partition), number in codes.items():
        here = (sf.col("topic") == topic) & (sf.col("partition") == partition)
        code = sf.when(here, sf.lit(number)).otherwise(code)
    return code
