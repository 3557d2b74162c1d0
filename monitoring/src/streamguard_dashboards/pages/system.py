"""System performance: what each process costs and how fast it answers."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from streamguard_dashboards.layout import HEALTH, RUNS, page
from streamguard_dashboards.panels import RED, YELLOW, Panel, figure, graph


def system() -> Dashboard:
    """Return the dashboard."""
    return page(
        "streamguard-system",
        "StreamGuard: system performance",
        "CPU, memory and handles of each process; request times; micro-batches; batch stages.",
        [
            ("Now", HEALTH, _now()),
            ("Processes", HEALTH, _processes()),
            ("Requests", {"API": "${serving}/docs"}, _requests()),
            ("Work", RUNS, _work()),
        ],
    )


def _now() -> list[Panel]:
    return [
        figure(
            "Memory of all services",
            "Resident memory of the Python processes; Kafka's and Spark's JVM not counted.",
            "sum(process_resident_memory_bytes)",
            unit="bytes",
        ),
        figure(
            "Cores in use",
            "CPU seconds per second of the Python processes.",
            "sum(rate(process_cpu_seconds_total[$__rate_interval]))",
        ),
        figure(
            "Requests per second",
            "Answered by the serving layer.",
            "sum(rate(serving_request_duration_seconds_count[$__rate_interval]))",
            unit="reqps",
        ),
        figure(
            "Request time, p99",
            "Of all routes of the serving layer.",
            "histogram_quantile(0.99, sum by (le) "
            "(rate(serving_request_duration_seconds_bucket[$__rate_interval])))",
            unit="s",
            steps=[(0.1, YELLOW), (1, RED)],
        ),
        figure(
            "Server errors",
            "Answers of the serving layer with status 5xx, share of all.",
            'sum(rate(serving_request_duration_seconds_count{status=~"5.."}'
            "[$__rate_interval])) / "
            "sum(rate(serving_request_duration_seconds_count[$__rate_interval])) "
            "or vector(0)",
            unit="percentunit",
            steps=[(0.001, YELLOW), (0.01, RED)],
        ),
        figure(
            "Streaming queries up",
            "Queries of the batch layer that run.",
            "sum(batch_stream_up)",
        ),
    ]


def _processes() -> list[Panel]:
    return [
        graph(
            "CPU",
            "Cores used by each process.",
            {
                "{{job}} {{instance}}": "sum by (job, instance) "
                "(rate(process_cpu_seconds_total[$__rate_interval]))"
            },
        ),
        graph(
            "Memory",
            "Resident memory of each process.",
            {"{{job}} {{instance}}": "process_resident_memory_bytes"},
            unit="bytes",
        ),
        graph(
            "Open handles",
            "Files and sockets; a line that only rises is a leak.",
            {"{{job}} {{instance}}": "process_open_fds"},
        ),
        graph(
            "Restarts",
            "Age of each process; it falls to zero at a restart.",
            {"{{job}} {{instance}}": "time() - process_start_time_seconds"},
            unit="s",
        ),
    ]


def _requests() -> list[Panel]:
    return [
        graph(
            "Request time by route, p99",
            "Of the serving layer.",
            {
                "{{route}}": "histogram_quantile(0.99, sum by (le, route) "
                "(rate(serving_request_duration_seconds_bucket[$__rate_interval])))"
            },
            unit="s",
            steps=[(0.1, YELLOW), (1, RED)],
        ),
        graph(
            "Requests by route",
            "Answered per second by the serving layer.",
            {
                "{{route}} {{status}}": "sum by (route, status) "
                "(rate(serving_request_duration_seconds_count[$__rate_interval]))"
            },
            unit="reqps",
        ),
    ]


def _work() -> list[Panel]:
    return [
        graph(
            "Records per micro-batch",
            "It grows with the rate: small and quick at low rates, large at high ones.",
            {
                "mean": "sum(rate(speed_batch_records_sum[$__rate_interval])) / "
                "sum(rate(speed_batch_records_count[$__rate_interval]))"
            },
        ),
        graph(
            "Commits",
            "Transactions of the speed layer's stores per second.",
            {"commits": "sum(rate(speed_commits_total[$__rate_interval]))"},
            unit="ops",
        ),
        graph(
            "Stages of a security run",
            "Mean seconds of each stage over six hours.",
            {
                "{{stage}}": "sum by (stage) (increase(batch_security_stage_seconds_sum[6h])) "
                "/ sum by (stage) (increase(batch_security_stage_seconds_count[6h]))"
            },
            unit="s",
        ),
        graph(
            "Transaction batches running",
            "Now.",
            {"running": "sum(batch_transaction_batches_running)"},
        ),
    ]
