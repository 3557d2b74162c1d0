"""Security runs as the control API drives them: one at a time, each with a durable record."""

import logging
import threading
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch_layer import metrics
from batch_layer.errors import (
    BatchLayerError,
    InvalidRequestError,
    RunAlreadyRunningError,
    RunCancelledError,
    ServiceUnavailableError,
)
from batch_layer.ingestion import first_line
from batch_layer.security.bounded import BoundedOptions, bounded_run
from batch_layer.security.progress import Progress, RunProgress
from batch_layer.security.registry import RunRecord, RunRegistry
from batch_layer.security.run import RunOptions, new_run_id, published_run, show
from batch_layer.security.views import current_manifest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from batch_layer.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Result:
    message: str
    published: bool = False
    output: str | None = None


@dataclass(slots=True)
class _Running:
    """The run that is going on."""

    run_id: str
    thread: threading.Thread
    cancelled: threading.Event


class SecurityRuns:
    """Starts runs in a thread of their own and keeps their records."""

    def __init__(self, spark: "SparkSession", settings: "Settings") -> None:
        self._spark = spark
        self._settings = settings
        self._registry = RunRegistry(settings.data_dir / "security-runs.sqlite")
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Close the books of the process before, and show the run that is served."""
        if count := self._registry.fail_interrupted(_now()):
            logger.warning("%d security runs were interrupted by a restart", count)
        try:
            manifest = current_manifest(self._settings.lake_dir.resolve())
        except BatchLayerError as error:
            logger.warning("%s", error)
            return
        if manifest is not None:
            show(manifest)

    def stop(self, drain_seconds: float) -> None:
        """Take no new run, and wait for the one that is going on."""
        with self._lock:
            self._stopping.set()
            thread = None if self._running is None else self._running.thread
        if thread is not None:
            thread.join(drain_seconds)
        if thread is not None and thread.is_alive():
            logger.warning("a security run is cut off; the run before stays the one served")
            return  # its thread still writes the registry
        self._registry.close()

    @property
    def is_running(self) -> bool:
        """Whether a run is going on."""
        return self._running is not None and self._running.thread.is_alive()

    def submit(
        self,
        options: RunOptions | BoundedOptions,
        output: Path | None = None,
        key: str | None = None,
    ) -> RunRecord:
        """Start a published run, or one over the first records of the log, which publishes nothing.

        Args:
            options: What to run.
            output: Where a bounded run writes; None is a folder of its own.
            key: Whoever submits the same again by the same key gets the run there is.

        Raises:
            InvalidRequestError: If the key was used for something else.
            RunAlreadyRunningError: If another run is going on.
            ServiceUnavailableError: If the service is shutting down.
        """
        return self._submit(_parameters(options, output), key)

    def run_to_end(self, options: RunOptions) -> str:
        """Run, wait for the end, and return what came of it.

        Raises:
            BatchLayerError: If the run fails or is cancelled.
            RunAlreadyRunningError: If another run is going on.
            ServiceUnavailableError: If the service shuts down meanwhile.
        """
        record = self.submit(options)
        running = self._running
        while running is not None and running.run_id == record.run_id and running.thread.is_alive():
            running.thread.join(0.2)
            if self._stopping.is_set():
                raise ServiceUnavailableError(f"the service stopped during {record.run_id}")
        record = self.get(record.run_id)
        if record.status != "COMPLETED":
            raise BatchLayerError(f"{record.run_id}: {record.error_message}")
        return f"{record.run_id}: {record.message}"

    def cancel(self, run_id: str) -> RunRecord:
        """Ask a run to end before it publishes; one that is finished stays as it is.

        Spark's part is ended at once, the rest at the next stage.

        Raises:
            RunNotFoundError: If there is none of this id.
        """
        record = self.get(run_id)
        with self._lock:
            running = self._running
            if running is not None and running.run_id == run_id:
                running.cancelled.set()
        self._spark.sparkContext.cancelJobsWithTag(run_id)
        return record

    def retry(self, run_id: str) -> RunRecord:
        """Start a failed or cancelled run again, with the same parameters.

        Raises:
            InvalidRequestError: If it did not fail.
            RunAlreadyRunningError: If another run is going on.
            RunNotFoundError: If there is none of this id.
            ServiceUnavailableError: If the service is shutting down.
        """
        record = self.get(run_id)
        if record.status not in ("FAILED", "CANCELLED"):
            raise InvalidRequestError(
                "run_id", f"{run_id} is {record.status}: only a run that failed or was cancelled is"
            )
        return self._submit(record.parameters, retry_of=run_id)

    def get(self, run_id: str) -> RunRecord:
        """Return a run's record.

        Raises:
            RunNotFoundError: If there is none of this id.
        """
        return self._registry.get(run_id)

    def latest(self, limit: int) -> tuple[int, list[RunRecord]]:
        """Return how many runs there are, and the newest ``limit``."""
        return self._registry.latest(limit)

    def _submit(
        self,
        parameters: dict[str, Any],
        key: str | None = None,
        retry_of: str | None = None,
    ) -> RunRecord:
        record = RunRecord(
            run_id=new_run_id(), submit_time=_now(), parameters=parameters, retry_of=retry_of
        )
        with self._lock:
            if self._stopping.is_set():
                raise ServiceUnavailableError("the service is shutting down")
            if key is not None and (known := self._registry.submitted_by(key)) is not None:
                return _same(known, record, key)
            if self.is_running:
                raise RunAlreadyRunningError("a security run is going on")
            self._registry.add(record, key)
            cancelled = threading.Event()
            thread = threading.Thread(
                target=self._run, args=(record, cancelled), name=record.run_id, daemon=True
            )
            self._running = _Running(record.run_id, thread, cancelled)
            thread.start()
        return record

    def _work(self, run_id: str, parameters: dict[str, Any], progress: Progress) -> _Result:
        if "max_events" not in parameters:
            options = RunOptions(**parameters)
            outcome = published_run(self._spark, self._settings, run_id, options, progress)
            return _Result(outcome.message, published=outcome.manifest is not None)
        asked = dict(parameters)
        output = asked.pop("output", None)
        folder = Path(output or self._settings.data_dir.resolve() / "reports" / run_id)
        with progress.stage("detection"):
            bounded = bounded_run(self._spark, self._settings, BoundedOptions(**asked), folder)
        return _Result(bounded.summary, output=str(folder))

    def _run(self, record: RunRecord, cancelled: threading.Event) -> None:
        record = record.model_copy(update={"status": "RUNNING", "start_time": _now()})
        self._registry.save(record)

        def report(progress: RunProgress) -> None:
            nonlocal record
            record = record.model_copy(update={"progress": progress})
            self._registry.save(record)

        def check_cancelled() -> None:
            if cancelled.is_set():
                raise RunCancelledError("cancelled")

        try:
            self._spark.sparkContext.addJobTag(record.run_id)
            result = self._work(record.run_id, record.parameters, Progress(report, check_cancelled))
        except Exception as error:  # whatever fails, the record must say so
            status = "CANCELLED" if cancelled.is_set() else "FAILED"
            message = "cancelled" if cancelled.is_set() else first_line(error)
            if not cancelled.is_set():
                logger.exception(
                    "security run %s failed", record.run_id, extra={"run_id": record.run_id}
                )
            update = {"status": status, "end_time": _now(), "error_message": message}
        else:
            logger.info(
                "security run %s: %s",
                record.run_id,
                result.message,
                extra={"run_id": record.run_id},
            )
            update = {"status": "COMPLETED", "end_time": _now(), **asdict(result)}
            metrics.LAST_SUCCESS.set_to_current_time()
        metrics.SECURITY_RUNS.labels(str(update["status"])).inc()
        self._registry.save(record.model_copy(update=update))


def _parameters(options: RunOptions | BoundedOptions, output: Path | None) -> dict[str, Any]:
    """Return options as a record keeps them."""
    if isinstance(options, RunOptions):
        return asdict(options)
    return asdict(options) | {"output": None if output is None else str(output)}


def _same(known: RunRecord, asked: RunRecord, key: str) -> RunRecord:
    if known.parameters != asked.parameters:
        raise InvalidRequestError(
            "Idempotency-Key", f"{key!r} was used for other parameters, by {known.run_id}"
        )
    return known


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
