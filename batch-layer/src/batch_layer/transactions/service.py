"""What the control API drives: streams, batches and tables over one Spark session."""

import logging
from typing import TYPE_CHECKING, Any

from batch_layer.errors import BatchNotReadyError
from batch_layer.kafka import ensure_topic
from batch_layer.transactions.analyses.catalogue import ANALYSES, FULL_REPORT, analyses_of
from batch_layer.transactions.batches import INTERRUPTED, Batches
from batch_layer.transactions.maintenance import Tables
from batch_layer.transactions.offsets import held_offsets
from batch_layer.transactions.records import BatchRecord, Status
from batch_layer.transactions.registry import Registry
from batch_layer.transactions.runner import batch_paths
from batch_layer.transactions.streams import Streams
from batch_layer.transactions.tables import Snapshot, snapshot
from batch_layer.transactions.wanted import WantedStream
from contracts.topics import TopicSpec, dead_letter_topic

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from pyspark.sql import SparkSession

    from batch_layer.settings import Settings
    from batch_layer.transactions.requests import BatchRunRequest

logger = logging.getLogger(__name__)

Rows = list[dict[str, Any]]


class TransactionService:
    """Streams, batches and tables of transactions."""

    def __init__(self, spark: "SparkSession", settings: "Settings") -> None:
        self._settings = settings
        self._registry = Registry(settings.data_dir)
        self._batches = Batches(spark, settings, self._registry)
        self.streams = Streams(spark, settings)
        self._wanted = WantedStream(settings.data_dir / "stream-topic")
        self.tables = Tables(spark, settings.lake_dir)

    def start(self) -> None:
        """Close the books on batches of an earlier process; go on with the stream it ran."""
        for batch_id in self._registry.fail_unfinished(INTERRUPTED):
            logger.warning(
                "%s was under way when the batch layer stopped: FAILED",
                batch_id,
                extra={"batch_id": batch_id},
            )
        if (topic := self._wanted.topic()) is not None:
            logger.info("the stream of %s goes on where it was", topic, extra={"topic": topic})
            try:
                self.streams.start(topic)
            except Exception:  # the API must come up: there the stream can be started again
                logger.exception(
                    "the stream of %s cannot be started", topic, extra={"topic": topic}
                )

    def stop(self, drain_seconds: float) -> None:
        """Drain streams, wait up to ``drain_seconds`` for running batches."""
        self.streams.stop(drain_seconds)
        self._batches.stop(drain_seconds)
        self._registry.close()

    def start_stream(self, topic: str) -> list[str]:
        """Start the streaming queries over a topic; returns their ids.

        Until ``stop_stream`` they are started at every start of the service.

        Raises:
            InvalidRequestError: If there is no such topic.
            StreamAlreadyRunningError: If they run.
            ServiceUnavailableError: If the broker does not answer.
        """
        self.streams.check_stopped()
        held_offsets(self._settings, topic)
        ensure_topic(self._settings, TopicSpec(dead_letter_topic(topic), 1))
        ids = self.streams.start(topic)
        self._wanted.keep(topic)
        return ids

    def stop_stream(self) -> int:
        """Drain and stop the streaming queries; returns how many ran."""
        self._wanted.forget()
        return self.streams.stop(self._settings.drain_timeout.total_seconds())

    def submit(self, request: "BatchRunRequest") -> BatchRecord:
        """Queue a batch."""
        return self._batches.submit(request)

    def cancel(self, batch_id: str) -> BatchRecord:
        """Cancel a batch unless it is finished; returns it as it is then."""
        return self._batches.cancel(batch_id)

    def batch(self, batch_id: str) -> BatchRecord:
        """Return a batch's record."""
        return self._registry.get(batch_id)

    def list_batches(self, status: Status | None, limit: int) -> tuple[int, list[BatchRecord]]:
        """Return how many batches there are, and the newest."""
        return self._registry.newest(status, limit)

    def raw(
        self, batch_id: str, version: int | None = None, timestamp: "datetime | None" = None
    ) -> tuple[BatchRecord, Snapshot]:
        """Return a completed batch and its transactions.

        Raises:
            BatchNotFoundError: If no batch has this id.
            BatchNotReadyError: If it is not completed.
        """
        record = self._completed(batch_id)
        return record, self._open(
            batch_paths(self._settings.lake_dir, batch_id).raw, version, timestamp
        )

    def table(
        self, name: str, version: int | None = None, timestamp: "datetime | None" = None
    ) -> Snapshot:
        """Return any table of the lake.

        Raises:
            TableNotFoundError: If the lake has no such table.
        """
        return self._open(self.tables.path(name), version, timestamp)

    def aggregated(
        self, batch_id: str, version: int | None = None, timestamp: "datetime | None" = None
    ) -> tuple[BatchRecord, Rows | dict[str, Rows]]:
        """Return a completed batch and its rows; of a full report, rows by analysis.

        Raises:
            BatchNotFoundError: If no batch has this id.
            BatchNotReadyError: If it is not completed.
        """
        record = self._completed(batch_id)
        folder = batch_paths(self._settings.lake_dir, batch_id).aggregated
        rows: dict[str, Rows] = {}
        for name in analyses_of(record.analysis_type):
            table = self._open(folder / name, version, timestamp).rows()
            rows[name] = table.sort_by(list(ANALYSES[name].order)).to_pylist()
        if record.analysis_type == FULL_REPORT:
            return record, rows
        return record, rows[record.analysis_type]

    @staticmethod
    def _open(path: "Path", version: int | None, timestamp: "datetime | None") -> Snapshot:
        return snapshot(path, version, timestamp)

    def _completed(self, batch_id: str) -> BatchRecord:
        record = self._registry.get(batch_id)
        if record.status is not Status.COMPLETED:
            why = f": {record.error_message}" if record.error_message else ""
            raise BatchNotReadyError(f"{batch_id} is {record.status}{why}")
        return record
