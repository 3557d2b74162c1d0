"""What the control API drives: streams and batches over one Spark session."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class TransactionService:
    """Streams, batches and tables of transactions."""

    def __init__(self, spark: "SparkSession", settings: Any) -> None:  # noqa: ANN401 (stub)
        self._spark = spark
        self._settings = settings

    def start(self) -> None:
        """Open the registry and the worker pool."""

    def stop(self, drain_seconds: float) -> None:
        """Drain streams, wait up to ``drain_seconds`` for running batches."""
