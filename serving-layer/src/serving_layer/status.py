"""What the layer says of itself: status, live figures, gauges."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

from serving_layer.metrics import counter, gauge
from serving_layer.services import Services
from serving_layer.views.accounts import consistency
from serving_layer.views.query import EventFilter
from serving_layer.views.reads import count, summary
from serving_layer.views.streams import topic_partition


def status_body(services: Services) -> dict[str, Any]:
    """Return what is served, what is not, and why."""
    views, failure = services.views, run_failure(services)
    loaded = views.loaded
    complete = loaded is not None and loaded.complete
    return {
        "status": "healthy" if views.ready and complete and failure is None else "degraded",
        "ready": views.ready,
        "complete": complete,
        "incomplete_reason": loaded.incomplete_reason if loaded else None,
        "run_id": loaded.batch.run_id if loaded else None,
        "run_failure": failure,
        "freshness_seconds": services.tail.freshness_seconds(),
        "speed": [
            {
                "topic": topic_partition(stream)[0],
                "partition": topic_partition(stream)[1],
                "instance": partition.owner.url if partition.owner else None,
                "failure": partition.failure,
            }
            for stream, partition in sorted(services.tail.partitions.items())
        ],
    }


def run_failure(services: Services) -> dict[str, str] | None:
    """Return which file keeps the published run from being served, and why; None if it is."""
    failure = services.watcher.failure
    return None if failure is None else {"file": failure.path, "reason": failure.detail}


def live_figures(services: Services) -> dict[str, Any]:
    """Return totals, shares, freshness and the seam as plain values."""
    snapshot = services.views.current()
    totals = summary(snapshot, services.analyses.count())
    batch = snapshot.batch
    return {
        "events": {
            "total": totals.totalEvents,
            "batch": totals.batchEvents,
            "realtime": totals.realtimeEvents,
        },
        "anomalies": totals.totalAnomalies,
        "alerts": len(batch.alerts) + len(snapshot.realtime.alerts),
        "analyses": totals.totalAnalyses,
        "high_threat_events": totals.highThreatEvents,
        "average_threat_score": totals.averageThreatScore,
        "complete": totals.complete,
        "freshness_seconds": services.tail.freshness_seconds(),
        "lag_records": sum(services.tail.lag().values()),
        "swaps": services.views.swaps,
        "changed_minds": services.changed_minds.total,
        "run": {
            "run_id": batch.run_id,
            "age_seconds": run_age_seconds(services),
            "users": len(batch.users),
            "anomalous_users": batch.users.anomalous_count,
        },
        "partitions": [
            {
                "topic": topic_partition(stream)[0],
                "partition": topic_partition(stream)[1],
                "seam": covered.first_offset,
                "next_offset": covered.next_offset,
            }
            for stream, covered in sorted(snapshot.realtime.coverage.items())
        ],
    }


def run_age_seconds(services: Services) -> float | None:
    """Return the age of the served run, None before the first."""
    manifest = services.views.current().batch.manifest
    return None if manifest is None else max(0.0, time.time() - manifest.created_at / 1000)


def collector(services: Services) -> Callable[[], Iterator[Metric]]:
    """Return what Prometheus scrapes from the views."""

    def collect() -> Iterator[Metric]:
        yield gauge("serving_ready", "1 once both views were loaded.", services.views.ready)
        yield from _tail_metrics(services)
        failed = services.watcher.failure
        damaged = GaugeMetricFamily(
            "serving_run_failure", "1 for the file that keeps a run from loading.", labels=["file"]
        )
        if failed is not None:
            damaged.add_metric([failed.path], 1)
        yield damaged
        if services.views.loaded is not None:
            yield from _view_metrics(services)

    return collect


def _tail_metrics(services: Services) -> Iterator[Metric]:
    freshness = services.tail.freshness_seconds()
    yield gauge("serving_freshness_seconds", "Since the stalest partition was in sync.", freshness)
    lag = GaugeMetricFamily(
        "serving_tail_lag_records",
        "Records of the log that cannot be queried yet.",
        labels=["topic", "partition"],
    )
    for stream, records in services.tail.lag().items():
        lag.add_metric(_labels(stream), records)
    yield lag
    yield counter(
        "serving_snapshot_swaps", "Published runs that were loaded.", services.views.swaps
    )


def _view_metrics(services: Services) -> Iterator[Metric]:
    snapshot = services.views.current()
    batch = snapshot.batch
    events = count(snapshot, EventFilter())
    anomalies = count(snapshot, EventFilter(anomalies_only=True))
    users, anomalous = len(batch.users), batch.users.anomalous_count
    yield counter("streamguard_events", "Events in the merged view.", events.count)
    yield counter("streamguard_anomalies", "Anomalous events in it.", anomalies.count)
    yield counter("streamguard_ai_analyses", "Written analyses.", services.analyses.count())
    yield gauge("training_data_users_total", "Users of the served run.", users)
    yield gauge("training_data_anomalies_total", "Anomalous users of it.", anomalous)
    yield gauge("training_data_anomaly_rate", "Their share.", anomalous / users if users else 0.0)
    yield gauge("training_data_available", "1 when a run is served.", batch.manifest is not None)
    yield gauge("serving_batch_events", "Events from the batch view.", events.batch)
    yield gauge("serving_realtime_events", "Events from the realtime view.", events.realtime)
    yield gauge("serving_complete", "0 while a part of the data is missing.", snapshot.complete)
    changed = services.changed_minds.total
    yield counter(
        "serving_changed_minds", "Events that a newly served run judged otherwise.", changed
    )
    age = run_age_seconds(services)
    if age is not None:
        yield gauge("serving_run_age_seconds", "Since the served run was made.", age)
    yield from _account_metrics(services)


def _account_metrics(services: Services) -> Iterator[Metric]:
    account = consistency(services.views.current(), services.tail.positions())
    labels = ["topic", "partition"]
    seam = GaugeMetricFamily("serving_seam_offset", "Batch owns offsets below.", labels=labels)
    following = GaugeMetricFamily(
        "serving_next_offset", "Everything below can be queried.", labels=labels
    )
    missing = GaugeMetricFamily(
        "serving_consistency_missing", "Offsets that nothing accounts for.", labels=labels
    )
    double = GaugeMetricFamily(
        "serving_consistency_double", "Offsets that are held twice.", labels=labels
    )
    for each in account.partitions:
        names = [each.topic, str(each.partition)]
        seam.add_metric(names, each.seam)
        following.add_metric(names, each.next_offset)
        missing.add_metric(names, each.missing)
        double.add_metric(names, each.double)
    yield from (seam, following, missing, double)
    failed = sum(1 for each in services.seams.newest_first() if each["missing"] or each["double"])
    yield gauge(
        "serving_seams_inconsistent",
        "Of the last 20 seams taken over, those at which the proof did not hold.",
        failed,
    )


def _labels(stream: int) -> list[str]:
    topic, partition = topic_partition(stream)
    return [topic, str(partition)]
