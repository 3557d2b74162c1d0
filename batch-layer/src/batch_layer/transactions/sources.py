"""Where a batch reads: an offset range of a topic, or dates of the lake."""

import json
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from batch_layer.errors import BatchLayerError
from batch_layer.kafka import source_options
from batch_layer.transactions.schema import STORED_TYPE
from contracts.lake import SEED_TRANSACTIONS, STREAM_TRANSACTIONS

if TYPE_CHECKING:
    from datetime import date

    from pyspark.sql import DataFrame, SparkSession

    from batch_layer.transactions.records import FilterValue

_LAKE_TABLES = (SEED_TRANSACTIONS, STREAM_TRANSACTIONS)


class EmptyLakeError(BatchLayerError):
    """There is no table of transactions to read."""


def kafka_records(
    spark: "SparkSession",
    bootstrap_servers: str,
    topic: str,
    starts: dict[str, int],
    ends: dict[str, int],
) -> "DataFrame":
    """Return the records of ``[start, end)`` of each partition."""
    options = source_options(bootstrap_servers) | {
        "subscribe": topic,
        "startingOffsets": json.dumps({topic: starts}),
        "endingOffsets": json.dumps({topic: ends}),
    }
    return spark.read.format("kafka").options(**options).load()


def is_table(path: Path) -> bool:
    """Say whether a folder holds a Delta table."""
    return any((path / "_delta_log").glob("*.json"))


def lake_paths(lake: Path) -> list[Path]:
    """Return the tables of transactions that exist, relative to the lake.

    Raises:
        EmptyLakeError: If there is none.
    """
    found = [path for path in _LAKE_TABLES if is_table(lake / path)]
    if not found:
        names = " nor ".join(str(path) for path in _LAKE_TABLES)
        raise EmptyLakeError(f"no transactions in the lake: neither {names} exists yet")
    return found


def lake_transactions(
    spark: "SparkSession",
    lake: Path,
    start: "date",
    end: "date",
    filters: "dict[str, FilterValue]",
) -> "DataFrame":
    """Return stored transactions of the days ``start`` to ``end``, both inclusive.

    Raises:
        EmptyLakeError: If no table exists.
    """
    tables = [
        _stored(spark.read.format("delta").load(str((lake / path).resolve())))
        for path in lake_paths(lake)
    ]
    everything = reduce(lambda left, right: left.unionByName(right), tables)
    chosen = everything.where(F.col("event_date").between(F.lit(start), F.lit(end)))
    for column, value in filters.items():
        chosen = chosen.where(F.col(column) == F.lit(value).cast(STORED_TYPE[column].dataType))
    return chosen


def _stored(table: "DataFrame") -> "DataFrame":
    """Give a table the stored columns; one that it lacks is null (a seed has no source record)."""
    return table.select(
        *(
            (F.col(field.name) if field.name in table.columns else F.lit(None))
            .cast(field.dataType)
            .alias(field.name)
            for field in STORED_TYPE.fields
        )
    )
