"""Prometheus metrics, updated once per micro-batch."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, get_args

import numpy as np
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from contracts.alerts import SEVERITIES
from contracts.decoder import Reason
from contracts.events import EVENT_TYPES, USER_LOGIN, USER_LOGIN_FAILED
from contracts.topics import DETECTION_TOPICS
from speed_layer.kafka import Key
from speed_layer.partition import Processed

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_LABELLED_TYPES = frozenset(
    {*EVENT_TYPES, USER_LOGIN, USER_LOGIN_FAILED, "USER_REGISTERED", "USER_SEARCH"}
)
"""A producer may invent types; the label does not grow with them."""

_SCORE_EDGES = (0.5, 0.6, 0.7, 0.8, 0.9)
SCORE_RANGES = ("0.0-0.5", "0.5-0.6", "0.6-0.7", "0.7-0.8", "0.8-0.9", "0.9-1.0")

_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)
_SCORE_BUCKETS = tuple(round(0.1 * step, 1) for step in range(1, 11))
_BATCH_BUCKETS = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)


class ColumnHistogram(Collector):
    """A histogram that is fed columns: one ``observe`` costs a sort, whatever its length.

    Examples:
        >>> registry = CollectorRegistry()
        >>> histogram = ColumnHistogram("seconds", "Time.", [1, 2], registry)
        >>> histogram.observe([0.5, 1.0, 5.0])
        >>> registry.get_sample_value("seconds_bucket", {"le": "1.0"})
        2.0
    """

    def __init__(
        self, name: str, documentation: str, buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._edges = np.asarray(buckets, dtype=np.float64)
        self._counts = np.zeros(len(buckets) + 1, dtype=np.int64)
        self._sum = 0.0
        registry.register(self)

    def observe(self, values: ArrayLike) -> None:
        """Add values, shape (n,); NaN counts as nothing."""
        column = np.asarray(values, dtype=np.float64)
        column = column[~np.isnan(column)]
        found = np.searchsorted(self._edges, column, side="left")
        self._counts += np.bincount(found, minlength=len(self._counts))
        self._sum += float(column.sum())

    def collect(self) -> "Iterator[Metric]":
        """Yield the histogram as Prometheus reads it."""
        cumulative = np.cumsum(self._counts).tolist()
        names = [*(str(float(edge)) for edge in self._edges), "+Inf"]
        buckets = list(zip(names, cumulative, strict=True))
        yield HistogramMetricFamily(
            self._name, self._documentation, buckets=buckets, sum_value=self._sum
        )


class Metrics:
    """All metrics of one process."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.events = Counter(
            "streamguard_events_processed_total",
            "Events scored and stored.",
            ["event_type"],
            registry=registry,
        )
        self.threats = Counter(
            "streamguard_threats_detected_total",
            "Alerts raised.",
            ["severity"],
            registry=registry,
        )
        self.anomalies = Counter(
            "streamguard_anomalies_detected_total",
            "Events found anomalous.",
            ["score_range"],
            registry=registry,
        )
        self.storage_errors = Counter(
            "streamguard_storage_errors_total",
            "Failed writes and reads of the store.",
            registry=registry,
        )
        self.kafka_errors = Counter(
            "streamguard_kafka_errors_total", "Errors of the Kafka clients.", registry=registry
        )
        self.latency = ColumnHistogram(
            "streamguard_processing_latency_seconds",
            "From the broker's time of a record to its commit in the store.",
            _LATENCY_BUCKETS,
            registry,
        )
        self.scores = ColumnHistogram(
            "streamguard_anomaly_score", "Scores of scored events.", _SCORE_BUCKETS, registry
        )
        self.batch_records = ColumnHistogram(
            "speed_batch_records", "Records per micro-batch.", _BATCH_BUCKETS, registry
        )
        self.commits = Counter(
            "speed_commits_total", "Transactions of the store.", registry=registry
        )
        self.dead_letters = Counter(
            "speed_dead_letters_total",
            "Records that could not be decoded.",
            ["topic", "reason"],
            registry=registry,
        )
        self.duplicates = Counter(
            "speed_duplicates_total", "Repeated event ids.", ["topic"], registry=registry
        )
        self.offsets_lost = Counter(
            "speed_offsets_lost_total",
            "Offsets that retention deleted before they were read.",
            ["topic"],
            registry=registry,
        )
        self.lag = Gauge(
            "speed_consumer_lag",
            "Records in the log that are not stored yet.",
            ["topic", "partition"],
            registry=registry,
        )
        self.outbox_pending = Gauge(
            "speed_outbox_pending", "Outbox entries not acknowledged yet.", registry=registry
        )
        self.paused = Gauge(
            "speed_paused", "1 while a partition waits for the store or broker.", registry=registry
        )
        self.partitions = Gauge(
            "speed_partitions", "Partitions this process owns.", registry=registry
        )
        self._start_at_zero()

    def _start_at_zero(self) -> None:
        """Expose known labels from the start: rate() does not see a counter's first increment."""
        for event_type in _LABELLED_TYPES | {"other"}:
            self.events.labels(event_type)
        for severity in SEVERITIES:
            self.threats.labels(severity)
        for name in SCORE_RANGES:
            self.anomalies.labels(name)
        for topic in DETECTION_TOPICS:
            self.duplicates.labels(topic)
            self.offsets_lost.labels(topic)
            for reason in get_args(Reason):
                self.dead_letters.labels(topic, reason)

    def forget(self, key: Key) -> None:
        """Stop reporting the lag of a partition that is no longer ours."""
        with suppress(KeyError):
            self.lag.remove(key[0], str(key[1]))

    def count(self, key: Key, processed: Processed, now_ms: float) -> None:
        """Count a micro-batch that was stored."""
        self.commits.inc()
        records, result, decoded = processed.records, processed.result, processed.decoded
        if records is None or result is None or decoded is None:
            return
        self.batch_records.observe([len(records.offsets)])
        self.latency.observe((now_ms - np.asarray(records.ingested_at, dtype=np.float64)) / 1000)
        for entry in pc.value_counts(decoded.events.column("event_type")).to_pylist():
            known = entry["values"] if entry["values"] in _LABELLED_TYPES else "other"
            self.events.labels(known).inc(entry["counts"])
        for reject in decoded.rejects:
            self.dead_letters.labels(key[0], reject.reason).inc()
        for alert in processed.alerts:
            self.threats.labels(alert.severity).inc()
        doubled = int(np.count_nonzero(result.duplicate))
        if doubled:
            self.duplicates.labels(key[0]).inc(doubled)
        self._count_scores(result.anomaly_score, result.is_anomaly)

    def _count_scores(self, score: NDArray[np.float64], is_anomaly: NDArray[np.bool_]) -> None:
        self.scores.observe(score)
        if is_anomaly.any():
            found = np.searchsorted(_SCORE_EDGES, score[is_anomaly], side="right")
            counts = np.bincount(found, minlength=len(SCORE_RANGES))
            for name, count in zip(SCORE_RANGES, counts.tolist(), strict=True):
                if count:
                    self.anomalies.labels(name).inc(count)
