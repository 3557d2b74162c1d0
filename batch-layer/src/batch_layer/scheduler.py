"""What happens by the clock: security runs, ingestion, table maintenance."""

import logging
from typing import TYPE_CHECKING

from apscheduler.schedulers.background import BackgroundScheduler

from batch_layer.errors import BatchLayerError
from batch_layer.ingestion import ingest
from batch_layer.security.run import RunOptions
from batch_layer.transactions.maintenance import maintain
from contracts.topics import DETECTION_TOPICS, TRANSACTION_TOPICS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession

    from batch_layer.security.service import SecurityRuns
    from batch_layer.settings import Settings

logger = logging.getLogger(__name__)


def make_scheduler(
    spark: "SparkSession",
    settings: "Settings",
    security: "SecurityRuns",
) -> BackgroundScheduler:
    """Return a scheduler with every job whose interval is not 0; start it yourself.

    A job never runs twice at once, and of several missed times only one is made up for.
    """
    scheduler = BackgroundScheduler(
        timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1}
    )

    def run_security() -> None:
        security.submit(RunOptions())

    def maintain_tables() -> None:
        maintain(spark, settings.lake_dir)

    def ingest_all() -> None:
        ingest(spark, settings, (*DETECTION_TOPICS, *TRANSACTION_TOPICS))

    jobs: list[tuple[str, float, Callable[[], object]]] = [
        ("security run", settings.schedule_minutes, run_security),
        ("ingestion", settings.ingest_minutes, ingest_all),
        ("maintenance", settings.maintenance_minutes, maintain_tables),
    ]
    for name, minutes, job in jobs:
        if minutes > 0:
            scheduler.add_job(_logged(name, job), "interval", minutes=minutes, id=name, name=name)
    return scheduler


def _logged(name: str, job: "Callable[[], object]") -> "Callable[[], None]":
    def run() -> None:
        try:
            job()
        except BatchLayerError as error:
            logger.warning("scheduled %s: %s", name, error)
        except Exception:  # the scheduler goes on whatever a job meets
            logger.exception("scheduled %s failed", name)

    return run
