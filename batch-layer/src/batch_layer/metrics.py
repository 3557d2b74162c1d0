"""Prometheus metrics of the security side; those of transactions lie with it."""

from prometheus_client import Counter, Gauge, Histogram

from contracts.topics import DETECTION_TOPICS

SECURITY_RUNS = Counter("batch_security_runs_total", "Security runs ended.", ["status"])
for _status in ("COMPLETED", "FAILED"):
    SECURITY_RUNS.labels(_status)  # from 0 on: increase() does not see a first increment
RUN_STAGE_SECONDS = Histogram(
    "batch_security_stage_seconds",
    "Duration of a security run's stage.",
    ["stage"],
    buckets=(0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
)
LAST_SUCCESS = Gauge(
    "batch_security_last_success_timestamp_seconds",
    "When the last security run completed, published or not. Unix seconds.",
)
PUBLISHED_AT = Gauge(
    "batch_security_published_timestamp_seconds", "When the served run was created. Unix seconds."
)
INGESTED_OFFSETS = Counter(
    "batch_ingested_offsets_total", "Offsets copied into the master dataset.", ["topic"]
)
for _topic in DETECTION_TOPICS:
    INGESTED_OFFSETS.labels(_topic)
EVENTS = Gauge("batch_view_events", "Events of the served batch view.", ["topic", "partition"])
DEAD_LETTERS = Gauge(
    "batch_view_dead_letters", "Unreadable records below the seam.", ["topic", "partition"]
)
DUPLICATES = Gauge(
    "batch_view_duplicates", "Repeated event ids below the seam.", ["topic", "partition"]
)
SEAM = Gauge(
    "batch_seam_offset", "First offset the batch view does not own.", ["topic", "partition"]
)
USERS = Gauge("batch_users", "Users of the served run.")
ANOMALOUS_USERS = Gauge("batch_anomalous_users", "Users the served run calls anomalous.")
FEATURE_DRIFT = Gauge(
    "batch_feature_drift",
    "Stability index of a feature against the training run it is compared with; 0.25 is large.",
    ["feature"],
)
INSIGHTS = Counter("batch_insights_total", "User patterns sent to analytics-insights.")
INSIGHTS_PENDING = Gauge(
    "batch_insights_pending", "User patterns of the served run that are still to be sent."
)
