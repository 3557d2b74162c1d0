"""Prometheus metrics of the schedule."""

from prometheus_client import Counter, Gauge

JOB_RUNS = Counter("batch_job_runs_total", "Scheduled jobs ended.", ["job", "status"])
JOB_RUNNING = Gauge("batch_job_running", "Whether a scheduled job is running.", ["job"])
JOB_LAST_SUCCESS = Gauge(
    "batch_job_last_success_timestamp_seconds",
    "When a scheduled job last ended well. Unix seconds.",
    ["job"],
)
