"""Batches: submitted, run up to so many at once, recorded, cancelled."""

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from batch_layer.errors import BatchLayerError, ServiceUnavailableError
from batch_layer.ingestion import first_line
from batch_layer.spark import cancel_group, in_pool
from batch_layer.transactions import metrics
from batch_layer.transactions.offsets import held_offsets, resolve
from batch_layer.transactions.records import UNFINISHED, BatchRecord, Status
from batch_layer.transactions.registry import Registry, new_batch_id
from batch_layer.transactions.runner import batch_paths, run_batch
from batch_layer.transactions.sources import EmptyLakeError, lake_paths

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from batch_layer.settings import Settings
    from batch_layer.transactions.requests import BatchRunRequest

logger = logging.getLogger(__name__)

INTERRUPTED = "the batch layer stopped while this batch was under way; submit it again"


class _CancelledError(BatchLayerError):
    """The batch was cancelled while it ran."""


class Batches:
    """The batches of this process and the registry of all there ever were."""

    def __init__(self, spark: "SparkSession", settings: "Settings", registry: Registry) -> None:
        self._spark = spark
        self._settings = settings
        self._registry = registry
        self._pool = ThreadPoolExecutor(settings.batch_workers, thread_name_prefix="batch")
        self._futures: dict[str, Future[None]] = {}
        self._lock = threading.Lock()
        self._is_stopping = False

    def submit(self, request: "BatchRunRequest") -> BatchRecord:
        """Check a request, record it, queue it.

        Raises:
            InvalidRequestError: naming the field.
            ServiceUnavailableError: If the broker does not answer, or the service is stopping.
        """
        record = self._record(request)
        with self._lock:
            if self._is_stopping:
                raise ServiceUnavailableError("the batch layer is shutting down")
            self._registry.add(record)
            future = self._pool.submit(self._run, record)
            self._futures[record.batch_id] = future
        future.add_done_callback(lambda _: self._forget(record.batch_id))
        return record

    def cancel(self, batch_id: str) -> BatchRecord:
        """Cancel a batch that is not finished; returns it as it is then.

        Raises:
            BatchNotFoundError: If no batch has this id.
        """
        changed = self._registry.change(
            batch_id, UNFINISHED, status=Status.CANCELLED, end_time=datetime.now(UTC)
        )
        if changed is None:
            return self._registry.get(batch_id)
        with self._lock:
            future = self._futures.get(batch_id)
        if future is not None and not future.cancel():
            cancel_group(self._spark, batch_id)
        metrics.BATCHES.labels(Status.CANCELLED).inc()
        return changed

    def stop(self, drain_seconds: float) -> None:
        """Take no more, wait for those that run, then fail what is left with the reason."""
        with self._lock:
            self._is_stopping = True
            futures = dict(self._futures)
        queued = [batch_id for batch_id, future in futures.items() if future.cancel()]
        _, late = wait([futures[key] for key in futures if key not in queued], drain_seconds)
        self._registry.fail_unfinished(INTERRUPTED)
        for batch_id, future in futures.items():
            if future in late:
                cancel_group(self._spark, batch_id)
        self._pool.shutdown(wait=True)

    def _record(self, request: "BatchRunRequest") -> BatchRecord:
        request.check_form()
        now = datetime.now(UTC)
        base = BatchRecord(
            batch_id=new_batch_id(now), analysis_type=request.analysis_type, submit_time=now
        )
        if request.topic is None:
            return base.model_copy(
                update={
                    "source_path": self._source_path(),
                    "start_date": request.start_date,
                    "end_date": request.end_date,
                    "filters": request.checked_filters(),
                }
            )
        held = held_offsets(self._settings, request.topic)
        starts, ends = resolve(held, request.start_offset, request.end_offset)
        return base.model_copy(
            update={
                "topic": request.topic,
                "start_offset": {str(key): starts[key] for key in sorted(starts)},
                "end_offset": {str(key): ends[key] for key in sorted(ends)},
            }
        )

    def _source_path(self) -> str | None:
        try:
            return ", ".join(str(path) for path in lake_paths(self._settings.lake_dir))
        except EmptyLakeError:
            return None  # the batch itself says so, in its record

    def _run(self, record: BatchRecord) -> None:
        batch_id = record.batch_id
        paths = batch_paths(self._settings.lake_dir, batch_id)
        started = self._registry.change(
            batch_id, (Status.PENDING,), status=Status.RUNNING, start_time=datetime.now(UTC)
        )
        if started is None:
            return
        try:
            with metrics.RUNNING.track_inprogress(), in_pool(self._spark, "batch", batch_id):
                self._spark.sparkContext.setJobGroup(batch_id, batch_id, interruptOnCancel=True)
                self._check_cancelled(batch_id)  # it may have come before there was a group
                outcome = run_batch(
                    self._spark, self._settings, record, lambda: self._check_cancelled(batch_id)
                )
        except Exception as error:  # whatever it is, it ends this batch only and is recorded
            self._fail(batch_id, error)
            return
        self._finish(
            batch_id,
            status=Status.COMPLETED,
            row_count=outcome.row_count,
            malformed_count=outcome.malformed_count,
            malformed_path=str(paths.malformed) if outcome.malformed_count else None,
            delta_raw_path=str(paths.raw),
            delta_agg_path=str(paths.aggregated),
        )

    def _check_cancelled(self, batch_id: str) -> None:
        if self._registry.get(batch_id).status is not Status.RUNNING:
            raise _CancelledError(batch_id)

    def _fail(self, batch_id: str, error: Exception) -> None:
        if self._finish(batch_id, status=Status.FAILED, error_message=first_line(error)):
            logger.error("%s failed", batch_id, exc_info=error, extra={"batch_id": batch_id})

    def _finish(self, batch_id: str, **values: object) -> bool:
        """Record the end, unless the batch was cancelled or given up meanwhile."""
        record = self._registry.change(
            batch_id, (Status.RUNNING,), end_time=datetime.now(UTC), **values
        )
        if record is None:
            return False
        metrics.BATCHES.labels(record.status).inc()
        return True

    def _forget(self, batch_id: str) -> None:
        with self._lock:
            self._futures.pop(batch_id, None)
