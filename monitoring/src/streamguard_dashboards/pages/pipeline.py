"""Pipeline overview: do events arrive, are they scored, how far behind is what can be queried."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from streamguard_dashboards.layout import CONSISTENCY, HEALTH, page
from streamguard_dashboards.panels import RED, YELLOW, Panel, figure, graph

_P99 = "histogram_quantile(0.99, sum by (le) (rate({}_bucket[$__rate_interval])))"
_P50 = "histogram_quantile(0.5, sum by (le) (rate({}_bucket[$__rate_interval])))"
_LATENCY = "streamguard_processing_latency_seconds"
_DELAY = "serving_realtime_delay_seconds"


def pipeline() -> Dashboard:
    """Return the dashboard."""
    return page(
        "streamguard-pipeline",
        "StreamGuard: pipeline overview",
        "From Kafka to an answer: rates, lag, delays, refused records.",
        [
            ("Now", HEALTH, _now()),
            ("Flow", HEALTH, _flow()),
            ("Refused and repeated", CONSISTENCY, _refused_and_repeated()),
        ],
    )


def _now() -> list[Panel]:
    return [
        figure(
            "Services that do not answer",
            "Scrape targets that are down. Alert ServiceDown: one, for a minute.",
            "count(up == 0) or vector(0)",
            steps=[(1, RED)],
        ),
        figure(
            "Events per second",
            "Events scored and stored by the speed layer.",
            "sum(rate(streamguard_events_processed_total[$__rate_interval]))",
            unit="eps",
        ),
        figure(
            "Records that wait",
            "In the log, not stored by the speed layer. Alert ProcessingLag: over 1,000.",
            "sum(speed_consumer_lag)",
            steps=[(1_000, YELLOW), (100_000, RED)],
        ),
        figure(
            "Until it can be queried, p99",
            "From the broker's time of a record until the serving layer answers with it.",
            _P99.format(_DELAY),
            unit="s",
            steps=[(1, YELLOW), (10, RED)],
        ),
        figure(
            "Partitions paused",
            "1 while a partition waits for its store or the broker. Nothing is dropped.",
            "sum(speed_paused)",
            steps=[(1, RED)],
        ),
        figure(
            "Offsets lost",
            "Records that retention deleted before they were read, in the last hour.",
            "sum(increase(speed_offsets_lost_total[1h]))",
            steps=[(1, RED)],
            links=CONSISTENCY,
        ),
    ]


def _flow() -> list[Panel]:
    return [
        graph(
            "Events by type",
            "Events scored and stored per second.",
            {
                "{{event_type}}": "sum by (event_type) "
                "(rate(streamguard_events_processed_total[$__rate_interval]))"
            },
            unit="eps",
        ),
        graph(
            "Records that wait, by topic",
            "In the log, not stored by the speed layer.",
            {"{{topic}}": "sum by (topic) (speed_consumer_lag)"},
            steps=[(1_000, YELLOW)],
        ),
        graph(
            "From the broker to the store",
            "From the broker's time of a record to its commit in the speed layer's store.",
            {"p50": _P50.format(_LATENCY), "p99": _P99.format(_LATENCY)},
            unit="s",
            steps=[(1, YELLOW), (10, RED)],
        ),
        graph(
            "From the broker to an answer",
            "From the broker's time of a record until it can be queried.",
            {"p50": _P50.format(_DELAY), "p99": _P99.format(_DELAY)},
            unit="s",
            steps=[(1, YELLOW), (10, RED)],
        ),
        graph(
            "Records that cannot be queried yet",
            "Behind the end of the log, by topic, as the serving layer sees it.",
            {"{{topic}}": "sum by (topic) (serving_tail_lag_records)"},
            steps=[(1_000, YELLOW)],
        ),
        graph(
            "Copied into the master dataset",
            "Offsets that the batch layer's stream copies per second.",
            {"{{topic}}": "sum by (topic) (rate(batch_ingested_offsets_total[$__rate_interval]))"},
            unit="ops",
        ),
    ]


def _refused_and_repeated() -> list[Panel]:
    return [
        graph(
            "Unreadable records",
            "Sent to the dead-letter topic with their coordinates and the field at fault.",
            {
                "{{topic}} {{reason}}": "sum by (topic, reason) "
                "(increase(speed_dead_letters_total[5m]))"
            },
            steps=[(1, YELLOW)],
        ),
        graph(
            "Repeated event ids",
            "Stored once; the repeats are counted.",
            {"{{topic}}": "sum by (topic) (increase(speed_duplicates_total[5m]))"},
        ),
        graph(
            "Errors of the store and of Kafka",
            "Each pauses the partition until the cause is gone.",
            {
                "store": "sum(increase(streamguard_storage_errors_total[5m]))",
                "Kafka": "sum(increase(streamguard_kafka_errors_total[5m]))",
            },
            steps=[(1, RED)],
        ),
        graph(
            "Alerts to be sent",
            "Entries of the outbox that Kafka has not acknowledged.",
            {"pending": "sum(speed_outbox_pending)"},
        ),
    ]
