"""The streaming queries: started, watched, restarted when they die, drained."""

import json
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batch_layer.errors import StreamAlreadyRunningError
from batch_layer.ingestion import first_line
from batch_layer.transactions import metrics
from batch_layer.transactions.queries import QUERIES, start_query

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

    from batch_layer.settings import Settings

logger = logging.getLogger(__name__)

_WATCH_SECONDS = 2.0
_FIRST_BACKOFF_SECONDS = 5.0
_LONGEST_BACKOFF_SECONDS = 60.0
_RECENT = 10
_POLL_SECONDS = 0.1


@dataclass(slots=True)
class _Watched:
    """A query that should run, and how it has fared."""

    query: "StreamingQuery"
    restarts: int = 0
    retry_at: float = 0.0
    error: str | None = None


class Streams:
    """The queries over one topic. A query that dies is restarted where it was, with backoff."""

    def __init__(self, spark: "SparkSession", settings: "Settings") -> None:
        self._spark = spark
        self._settings = settings
        self._lock = threading.RLock()
        self._topic: str | None = None
        self._watched: dict[str, _Watched] = {}
        self._stop_watching = threading.Event()
        self._watcher: threading.Thread | None = None

    def check_stopped(self) -> None:
        """Return if the queries are stopped.

        Raises:
            StreamAlreadyRunningError: If they were started before and not stopped.
        """
        with self._lock:
            if self._topic is not None:
                raise StreamAlreadyRunningError(f"the stream of topic {self._topic!r} is running")

    def start(self, topic: str) -> list[str]:
        """Start the queries; returns their ids.

        Raises:
            StreamAlreadyRunningError: If they were started before and not stopped.
        """
        with self._lock:
            self.check_stopped()
            watched: dict[str, _Watched] = {}
            try:
                for name in QUERIES:
                    query = start_query(self._spark, self._settings, name, topic)
                    watched[name] = _Watched(query)
            except BaseException:
                for started in watched.values():
                    started.query.stop()
                raise
            self._watched, self._topic = watched, topic
            self._stop_watching.clear()
            self._watcher = threading.Thread(target=self._watch, name="watch-streams", daemon=True)
            self._watcher.start()
            return [str(entry.query.id) for entry in watched.values()]

    def stop(self, drain_seconds: float) -> int:
        """Let running micro-batches end, then stop; returns how many queries were stopped."""
        self._stop_watching.set()
        if self._watcher is not None:
            self._watcher.join()
        with self._lock:
            deadline = time.monotonic() + drain_seconds
            stopped = 0
            for entry in self._watched.values():
                if entry.query.isActive:
                    _drain(entry.query, deadline)
                    entry.query.stop()
                    stopped += 1
            metrics.STREAM_UP.clear()  # what was stopped on purpose is no failure to be alerted of
            self._topic = None
            return stopped

    def status(self) -> dict[str, Any]:
        """Return ``{active, topic, queries[]}``; a query that died says why."""
        with self._lock:
            queries = [_query_status(name, entry) for name, entry in self._watched.items()]
            active = any(query["isActive"] for query in queries)
            return {"active": active, "topic": self._topic, "queries": queries}

    def _watch(self) -> None:
        while not self._stop_watching.wait(_WATCH_SECONDS):
            with self._lock:
                for name, entry in self._watched.items():
                    self._check(name, entry)

    def _check(self, name: str, entry: _Watched) -> None:
        if entry.query.isActive:
            metrics.STREAM_UP.labels(name).set(1)
            return
        metrics.STREAM_UP.labels(name).set(0)
        now = time.monotonic()
        if entry.retry_at == 0.0:
            entry.error = _exception(entry.query)
            wait = min(_FIRST_BACKOFF_SECONDS * 2**entry.restarts, _LONGEST_BACKOFF_SECONDS)
            entry.retry_at = now + wait
            # Its words may quote records: they are for those who may read the status.
            logger.error("streaming query %s died, see its status; again in %.0f s", name, wait)
        elif now >= entry.retry_at:
            entry.restarts += 1
            entry.retry_at = 0.0
            metrics.STREAM_RESTARTS.labels(name).inc()
            try:
                entry.query = start_query(self._spark, self._settings, name, self._topic or "")
            except Exception:  # whatever it is, the next round tries again
                logger.exception("streaming query %s cannot be restarted", name)


def _drain(query: "StreamingQuery", deadline: float) -> None:
    """Wait until no micro-batch runs, or the one that ran when we came has been committed."""
    running = _last_number(query)
    while time.monotonic() < deadline and query.isActive:
        if not query.status["isTriggerActive"] or _last_number(query) > running:
            return
        time.sleep(_POLL_SECONDS)  # Spark has no call that waits for this


def _last_number(query: "StreamingQuery") -> int:
    progress = query.lastProgress
    return -1 if progress is None else int(progress.batchId)


def _exception(query: "StreamingQuery") -> str | None:
    error = query.exception()
    return None if error is None else first_line(error)


def _query_status(name: str, entry: _Watched) -> dict[str, Any]:
    query = entry.query
    progress = [json.loads(item.json) for item in query.recentProgress[-_RECENT:]]
    return {
        "id": str(query.id),
        "name": name,
        "isActive": query.isActive,
        "lastProgress": progress[-1] if progress else None,
        "recentProgress": progress,
        "restarts": entry.restarts,
        "exception": None if query.isActive else _exception(query),
        "lastError": entry.error,
    }
