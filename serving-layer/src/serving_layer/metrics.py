"""Prometheus metrics: names of the specification, and ``serving_*``."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_DELAY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0, 300.0)


class Metrics:
    """What the process counts itself, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Histogram(
            "serving_request_duration_seconds",
            "Time to answer, by route template.",
            ["method", "route", "status"],
            buckets=_REQUEST_BUCKETS,
            registry=self.registry,
        )
        self.delay = Histogram(
            "serving_realtime_delay_seconds",
            "From the broker's time of a record until it can be queried.",
            buckets=_DELAY_BUCKETS,
            registry=self.registry,
        )
        self.run_load_failures = Counter(
            "serving_run_load_failures_total",
            "Published runs that could not be loaded; the previous one stayed.",
            ["reason"],
            registry=self.registry,
        )
        self.webhooks = Counter(
            "serving_webhook_attempts_total",
            "Attempts to send an alert: delivered, failed, dead (given up).",
            ["target", "outcome"],
            registry=self.registry,
        )

    def observe(self, collect: Callable[[], Iterator[Metric]]) -> None:
        """Add metrics that are read from the views at each scrape."""
        self.registry.register(_Collector(collect))


class _Collector:
    """Adapts a function to what the registry expects."""

    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self.collect = collect

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering does not read the views."""
        return []


def gauge(name: str, text: str, value: float) -> Metric:
    """Return a gauge without labels."""
    return GaugeMetricFamily(name, text, value=value)


def counter(name: str, text: str, value: float) -> Metric:
    """Return a counter without labels; ``name`` without ``_total``."""
    return CounterMetricFamily(name, text, value=value)
