"""Runs jobs when they are due: never two of one kind, missed ones once, failed ones again."""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from apscheduler.schedulers.background import BackgroundScheduler
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from batch_layer.errors import (
    BatchLayerError,
    RunAlreadyRunningError,
    ServiceUnavailableError,
)
from batch_layer.ingestion import first_line, ingest
from batch_layer.schedule import metrics
from batch_layer.schedule.jobs import INGESTION, MAINTENANCE, SECURITY_RUN, Timing, timings
from batch_layer.schedule.log import JobRun, ScheduleLog
from batch_layer.security.run import RunOptions
from batch_layer.transactions.maintenance import maintain
from contracts.topics import DETECTION_TOPICS, TRANSACTION_TOPICS

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from batch_layer.security.service import SecurityRuns
    from batch_layer.settings import Settings

logger = logging.getLogger(__name__)

Work = Callable[[], str]
"""What a job does; returns what came of it, raises when it failed."""


class JobBody(BaseModel):
    """A job of the schedule, as clients see it."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    job: str
    when: str = Field(description="Its interval, or its cron expression (UTC).")
    next_time: datetime | None
    last_run: JobRun | None


class Schedule:
    """The jobs that the settings ask for.

    A job that failed is tried again after ``retry_minutes``, then after twice as long, and so on
    until its regular time comes first. One that was due while the service was down runs once.
    """

    def __init__(self, settings: "Settings", works: Mapping[str, Work]) -> None:
        self._retry_minutes = settings.retry_minutes
        self._timings = timings(settings)
        self._works = works
        self._log = ScheduleLog(settings.data_dir)
        self._scheduler = BackgroundScheduler(
            timezone="UTC",
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def start(self) -> None:
        """Close the books of the process before, and begin."""
        now = _now()
        for timing in self._timings:
            last = self._log.last(timing.job)
            if last is not None and last.status == "RUNNING":
                last = last.model_copy(update={"status": "INTERRUPTED", "end_time": now})
                self._log.put(timing.job, last)
            following, is_late = timing.due(None if last is None else last.start_time, now)
            if is_late:
                logger.info("scheduled %s was missed while the service was down", timing.job)
            metrics.JOB_RUNNING.labels(timing.job).set(0)
            self._scheduler.add_job(
                self._run, timing.trigger, [timing.job], id=timing.job, next_run_time=following
            )
        self._scheduler.start()

    def stop(self) -> None:
        """Start nothing any more; does not wait for what runs."""
        self._scheduler.shutdown(wait=False)

    def jobs(self) -> list[JobBody]:
        """Return every job: when it is due, how it last went."""
        return [self._body(timing) for timing in self._timings]

    def _body(self, timing: Timing) -> JobBody:
        job = self._scheduler.get_job(timing.job)
        return JobBody(
            job=timing.job,
            when=timing.when,
            next_time=None if job is None else job.next_run_time,
            last_run=self._log.last(timing.job),
        )

    def _run(self, job: str) -> None:
        before = self._log.last(job)
        run = JobRun(status="RUNNING", start_time=_now())
        run.failures = 0 if before is None else before.failures
        self._log.put(job, run)
        metrics.JOB_RUNNING.labels(job).set(1)
        try:
            run.message = self._works[job]()
            run.status, run.failures = "COMPLETED", 0
            metrics.JOB_LAST_SUCCESS.labels(job).set_to_current_time()
        except RunAlreadyRunningError as error:
            run.status, run.message = "SKIPPED", str(error)
        except ServiceUnavailableError as error:
            run.status, run.message = "INTERRUPTED", str(error)
        except BatchLayerError as error:
            self._failed(job, run, error)
        except Exception as error:  # the schedule goes on whatever a job meets
            logger.exception("scheduled %s failed", job)
            self._failed(job, run, error)
        run.end_time = _now()
        self._log.put(job, run)
        metrics.JOB_RUNNING.labels(job).set(0)
        metrics.JOB_RUNS.labels(job, run.status).inc()

    def _failed(self, job: str, run: JobRun, error: Exception) -> None:
        run.status, run.message, run.failures = "FAILED", first_line(error), run.failures + 1
        # The message may quote data: it is for those who may read the schedule.
        logger.warning("scheduled %s failed, see GET /schedule: %s", job, type(error).__name__)
        scheduled = self._scheduler.get_job(job)
        if self._retry_minutes <= 0 or scheduled is None:
            return
        again = _now() + timedelta(minutes=self._retry_minutes * 2 ** min(run.failures - 1, 20))
        if again < scheduled.next_run_time:
            scheduled.modify(next_run_time=again)


def make_schedule(
    spark: "SparkSession", settings: "Settings", security: "SecurityRuns"
) -> Schedule:
    """Return the schedule of the service; start it yourself.

    Raises:
        SettingsError: If a cron expression cannot be read.
    """

    def run_security() -> str:
        return security.run_to_end(RunOptions())

    def maintain_tables() -> str:
        maintain(spark, settings.lake_dir)
        return "every table compacted and vacuumed"

    def ingest_all() -> str:
        reached = ingest(spark, settings, (*DETECTION_TOPICS, *TRANSACTION_TOPICS))
        offsets = sum(sum(coverage.next.values()) for coverage in reached.values())
        return f"{len(reached)} topics, up to {offsets} offsets"

    works = {SECURITY_RUN: run_security, INGESTION: ingest_all, MAINTENANCE: maintain_tables}
    return Schedule(settings, works)


def _now() -> datetime:
    return datetime.now(UTC)
