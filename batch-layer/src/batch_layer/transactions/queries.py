"""The two streaming queries: every transaction, and the windowed aggregation."""

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from batch_layer.kafka import source_options
from batch_layer.spark import in_pool
from batch_layer.transactions.analyses.windows import GRACE, windowed_aggregation
from batch_layer.transactions.parsing import parsed, valid
from batch_layer.transactions.sinks import TransactionSink
from contracts.lake import STREAM_AGGREGATIONS

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.query import StreamingQuery
    from pyspark.sql.streaming.readwriter import DataStreamWriter

    from batch_layer.settings import Settings

TRANSACTIONS = "transactions"
AGGREGATIONS = "stream_aggregations"
QUERIES = (TRANSACTIONS, AGGREGATIONS)


def checkpoint_path(lake: "Path", topic: str, name: str) -> "Path":
    """Return the folder of a query's progress; it and the table belong together."""
    return lake.resolve() / "stream" / "_checkpoints" / topic / name


def start_query(
    spark: "SparkSession", settings: "Settings", name: str, topic: str
) -> "StreamingQuery":
    """Start one query where it stopped, or at the beginning of the topic."""
    records = _records(spark, settings, topic)
    checkpoint = checkpoint_path(settings.lake_dir, topic, name)
    if name == TRANSACTIONS:
        sink = TransactionSink(
            settings.lake_dir, topic, checkpoint, settings.kafka_bootstrap_servers
        )
        writer = records.writeStream.foreachBatch(sink)
    else:
        target = str((settings.lake_dir / STREAM_AGGREGATIONS).resolve())
        # Append: a window is written once, when its last event can no longer come.
        writer = (aggregated(records).writeStream.format("delta").outputMode("append")).option(
            "path", target
        )
    return _start(spark, settings, writer.option("checkpointLocation", str(checkpoint)), name)


def aggregated(records: "DataFrame") -> "DataFrame":
    """Return the windowed aggregation of a stream of Kafka records.

    An event far ahead of the broker's clock is left out (the table of transactions has it): it
    would move the watermark past everything that follows.
    """
    judged = parsed(records).where(
        F.col("event_timestamp") <= F.col("broker_time") + F.expr(f"INTERVAL {GRACE}")
    )
    return windowed_aggregation(valid(judged).withWatermark("event_timestamp", GRACE))


def _records(spark: "SparkSession", settings: "Settings", topic: str) -> "DataFrame":
    options = source_options(settings.kafka_bootstrap_servers) | {
        "subscribe": topic,
        "startingOffsets": "earliest",
        "maxOffsetsPerTrigger": str(settings.stream_max_records),
    }
    return spark.readStream.format("kafka").options(**options).load()


def _start(
    spark: "SparkSession", settings: "Settings", writer: "DataStreamWriter", name: str
) -> "StreamingQuery":
    # The thread of the query inherits the pool of the one that starts it.
    with in_pool(spark, "streaming", name):
        interval = f"{settings.stream_trigger.total_seconds():g} seconds"
        return writer.queryName(name).trigger(processingTime=interval).start()
