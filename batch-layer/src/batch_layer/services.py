"""What lives as long as the process: the Spark session and the parts that need it.

Spark takes half a minute to start on a loaded machine, so it starts in a thread: the API answers
at once, and says ``SERVICE_UNAVAILABLE`` until the session is up.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING

from batch_layer.errors import ServiceUnavailableError
from batch_layer.schedule.scheduler import Schedule, make_schedule
from batch_layer.security.service import SecurityRuns
from batch_layer.spark import is_running
from batch_layer.transactions.service import TransactionService

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from batch_layer.settings import Settings

logger = logging.getLogger(__name__)

SessionFactory = Callable[["Settings"], AbstractContextManager["SparkSession"]]
"""Opens the session the services run on, and closes it."""


class Services:
    """Starts in the background, stops in order."""

    def __init__(self, settings: "Settings", session_factory: SessionFactory) -> None:
        self.settings = settings
        self._session_factory = session_factory
        self._exit = ExitStack()
        self._spark: SparkSession | None = None
        self._transactions: TransactionService | None = None
        self._security: SecurityRuns | None = None
        self._schedule: Schedule | None = None
        self._failure: str | None = None
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._start, name="start-spark")

    @property
    def uptime_seconds(self) -> float:
        """Seconds since the process began to serve."""
        return time.monotonic() - self._started

    @property
    def is_spark_up(self) -> bool:
        """Whether a session is there and its JVM still answers."""
        return self._spark is not None and is_running(self._spark)

    @property
    def spark(self) -> "SparkSession":
        """The running session.

        Raises:
            ServiceUnavailableError: If it is not up.
        """
        if self._spark is None or not self.is_spark_up:
            raise ServiceUnavailableError(self._failure or "the Spark session is not up")
        return self._spark

    @property
    def transactions(self) -> TransactionService:
        """The transactions side.

        Raises:
            ServiceUnavailableError: If the session is not up.
        """
        if self._transactions is None or not self.is_spark_up:
            raise ServiceUnavailableError(self._failure or "the Spark session is not up")
        return self._transactions

    @property
    def security(self) -> SecurityRuns:
        """The security side.

        Raises:
            ServiceUnavailableError: If the session is not up.
        """
        if self._security is None or not self.is_spark_up:
            raise ServiceUnavailableError(self._failure or "the Spark session is not up")
        return self._security

    @property
    def schedule(self) -> Schedule:
        """What happens by the clock.

        Raises:
            ServiceUnavailableError: If the session is not up.
        """
        if self._schedule is None or not self.is_spark_up:
            raise ServiceUnavailableError(self._failure or "the Spark session is not up")
        return self._schedule

    def start(self) -> None:
        """Begin to start; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Drain what runs, then end the session."""
        self._thread.join()
        self._exit.close()

    def _start(self) -> None:
        try:
            spark = self._exit.enter_context(self._session_factory(self.settings))
            drain_seconds = self.settings.drain_timeout.total_seconds()
            transactions = TransactionService(spark, self.settings)
            security = SecurityRuns(spark, self.settings)
            transactions.start()
            self._exit.callback(transactions.stop, drain_seconds)
            security.start()
            self._exit.callback(security.stop, drain_seconds)
            schedule = make_schedule(spark, self.settings, security)
            schedule.start()
            self._exit.callback(schedule.stop)
        except Exception as error:  # whatever it is, /health must say it
            # No data is at hand yet: its words may be read.
            logger.exception("the Spark session cannot start: %s", error)  # noqa: TRY401
            self._failure = f"the Spark session cannot start: {error}"
            return
        self._transactions, self._security, self._schedule = transactions, security, schedule
        self._spark = spark
        logger.info("Spark %s is up after %.1f s", spark.version, self.uptime_seconds)
