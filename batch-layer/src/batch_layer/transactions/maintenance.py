"""Care of the lake's Delta tables: compact, cluster, drop old files, show history."""

import logging
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch_layer.errors import InvalidRequestError, ServiceUnavailableError
from batch_layer.ingestion import first_line
from batch_layer.spark import in_pool, is_running
from batch_layer.transactions.errors import MaintenanceError, TableNotFoundError
from batch_layer.transactions.sinks import STREAM_MALFORMED
from batch_layer.transactions.sources import is_table
from contracts.lake import MASTER, SEED_TRANSACTIONS, STREAM_AGGREGATIONS, STREAM_TRANSACTIONS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

RETENTION_HOURS = 168
"""Files of versions older than this are dropped: seven days of time travel."""

CLUSTERED = {STREAM_TRANSACTIONS: ("customer_id",), SEED_TRANSACTIONS: ("customer_id",)}
"""What scheduled care clusters by, in yesterday's partition; `zorder` by hand does a whole table."""

_KEPT = (SEED_TRANSACTIONS, STREAM_TRANSACTIONS, STREAM_AGGREGATIONS, STREAM_MALFORMED)
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_RESULT_ROWS = 100


class Tables:
    """Delta tables by their path in the lake, such as ``stream/transactions``."""

    def __init__(self, spark: "SparkSession", lake: Path) -> None:
        self._spark = spark
        self._lake = lake

    def names(self) -> list[str]:
        """Return the tables under permanent care; those of batches go by name too."""
        kept = [path for path in _KEPT if is_table(self._lake / path)]
        master = sorted((self._lake / MASTER).glob("*/_delta_log"))
        return [str(path) for path in kept] + [
            str(log.parent.relative_to(self._lake)) for log in master
        ]

    def path(self, name: str) -> Path:
        """Return a table's folder.

        Raises:
            TableNotFoundError: If the lake has no such table.
        """
        if not _NAME.fullmatch(name) or not is_table(self._lake / name):
            raise TableNotFoundError(f"the lake has no table {name!r}")
        return (self._lake / name).resolve()

    def optimize(self, name: str) -> list[dict[str, Any]]:
        """Compact small files."""
        return self._run(name, "OPTIMIZE {table}")

    def zorder(
        self, name: str, columns: list[str], day: date | None = None
    ) -> list[dict[str, Any]]:
        """Compact, and cluster rows by columns; of one ``event_date`` only, if a day is given.

        Raises:
            InvalidRequestError: If the table lacks a column, or is partitioned by it.
        """
        if not columns:
            raise InvalidRequestError("columns", "is missing")
        path = self.path(name)
        detail = self._spark.sql(f"DESCRIBE DETAIL delta.`{path}`").first()
        partitions = detail["partitionColumns"] if detail is not None else []
        known = self._spark.read.format("delta").load(str(path)).columns
        for column in columns:
            if column not in known or column in partitions:
                raise InvalidRequestError("columns", f"{column!r} is not a data column of {name}")
        quoted = ", ".join(f"`{column}`" for column in columns)
        where = "" if day is None else f" WHERE event_date = '{day.isoformat()}'"
        return self._run(name, f"OPTIMIZE {{table}}{where} ZORDER BY ({quoted})")

    def vacuum(self, name: str, retention_hours: int = RETENTION_HOURS) -> list[dict[str, Any]]:
        """Drop files that no version of the last ``retention_hours`` needs."""
        return self._run(name, f"VACUUM {{table}} RETAIN {retention_hours:d} HOURS")

    def history(self, name: str, limit: int) -> list[dict[str, Any]]:
        """Return the newest versions, newest first."""
        return self._run(name, f"DESCRIBE HISTORY {{table}} LIMIT {limit:d}", limit)

    def _run(self, name: str, statement: str, rows: int = _RESULT_ROWS) -> list[dict[str, Any]]:
        table = f"delta.`{self.path(name)}`"
        with in_pool(self._spark, "batch", statement.format(table=name)):
            result = self._spark.sql(statement.format(table=table)).take(rows)
        return [
            {name: _with_zone(value) for name, value in row.asDict(recursive=True).items()}
            for row in result
        ]


def _with_zone(value: object) -> object:
    """Give Spark's times, which come in the machine's zone and do not say so, theirs."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def maintain(spark: "SparkSession", lake: Path) -> None:
    """Compact, cluster and vacuum every table under permanent care, whatever fails in between.

    Raises:
        MaintenanceError: If some tables failed; the others are done.
        ServiceUnavailableError: If the session ended under it.
    """
    tables = Tables(spark, lake)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    names, failures = tables.names(), []
    for name in names:
        try:
            tables.optimize(name)
            if columns := CLUSTERED.get(Path(name)):
                tables.zorder(name, list(columns), yesterday)
            tables.vacuum(name)
        except Exception as error:  # Spark's errors have no base of ours; the next table counts
            if not is_running(spark):
                raise ServiceUnavailableError(f"Spark stopped in the middle of {name}") from error
            logger.exception("table %s was not maintained", name)
            failures.append(f"{name}: {first_line(error)}")
        else:
            logger.info("table %s compacted and vacuumed", name)
    if failures:
        raise MaintenanceError(
            f"{len(failures)} of {len(names)} tables were not maintained: {'; '.join(failures)}"
        )
