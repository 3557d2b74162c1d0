"""Security runs as the control API drives them: one at a time, each with a durable record."""

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from batch_layer import metrics
from batch_layer.errors import BatchLayerError, RunAlreadyRunningError, ServiceUnavailableError
from batch_layer.ingestion import first_line
from batch_layer.security.bounded import BoundedOptions, bounded_run
from batch_layer.security.registry import RunProgress, RunRecord, RunRegistry
from batch_layer.security.run import Progress, RunOptions, new_run_id, published_run, show
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


class SecurityRuns:
    """Starts runs in a thread of their own and keeps their records."""

    def __init__(self, spark: "SparkSession", settings: "Settings") -> None:
        self._spark = spark
        self._settings = settings
        self._registry = RunRegistry(settings.data_dir / "security-runs.sqlite")
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_stopping = False

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
            self._is_stopping = True
            thread = self._thread
        if thread is not None:
            thread.join(drain_seconds)
        if thread is not None and thread.is_alive():
            logger.warning("a security run is cut off; the run before stays the one served")
            return  # its thread still writes the registry
        self._registry.close()

    @property
    def is_running(self) -> bool:
        """Whether a run is going on."""
        return self._thread is not None and self._thread.is_alive()

    def submit(self, options: RunOptions) -> RunRecord:
        """Start a published run.

        Raises:
            RunAlreadyRunningError: If one is going on.
            ServiceUnavailableError: If the service is shutting down.
        """

        def work(run_id: str, progress: Progress) -> _Result:
            outcome = published_run(self._spark, self._settings, run_id, options, progress)
            return _Result(outcome.message, published=outcome.manifest is not None)

        return self._submit(work, asdict(options))

    def submit_bounded(self, options: BoundedOptions, output: Path | None) -> RunRecord:
        """Start a run over the first records of the log, which publishes nothing.

        Raises:
            RunAlreadyRunningError: If one is going on.
            ServiceUnavailableError: If the service is shutting down.
        """

        def work(run_id: str, progress: Progress) -> _Result:
            folder = output or self._settings.data_dir.resolve() / "reports" / run_id
            with progress.stage("detection"):
                outcome = bounded_run(self._spark, self._settings, options, folder)
            return _Result(outcome.summary, output=str(folder))

        return self._submit(work, asdict(options))

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
        self, work: Callable[[str, Progress], _Result], parameters: dict[str, object]
    ) -> RunRecord:
        record = RunRecord(run_id=new_run_id(), submit_time=_now(), parameters=parameters)
        with self._lock:
            if self._is_stopping:
                raise ServiceUnavailableError("the service is shutting down")
            if self.is_running:
                raise RunAlreadyRunningError("a security run is going on")
            self._registry.save(record)
            self._thread = threading.Thread(
                target=self._run, args=(record, work), name=record.run_id, daemon=True
            )
            self._thread.start()
        return record

    def _run(self, record: RunRecord, work: Callable[[str, Progress], _Result]) -> None:
        record = record.model_copy(update={"status": "RUNNING", "start_time": _now()})
        self._registry.save(record)

        def report(stage: str, done: int, total: int) -> None:
            nonlocal record
            progress = RunProgress(stage=stage, done=done, total=total)
            record = record.model_copy(update={"progress": progress})
            self._registry.save(record)

        try:
            result = work(record.run_id, Progress(report))
        except Exception as error:  # whatever fails, the record must say so
            logger.exception("security run %s failed", record.run_id)
            message = first_line(error)
            update = {"status": "FAILED", "end_time": _now(), "error_message": message}
        else:
            logger.info("security run %s: %s", record.run_id, result.message)
            update = {"status": "COMPLETED", "end_time": _now(), **asdict(result)}
            metrics.LAST_SUCCESS.set_to_current_time()
        metrics.SECURITY_RUNS.labels(str(update["status"])).inc()
        self._registry.save(record.model_copy(update=update))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
