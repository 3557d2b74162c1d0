"""Lambda architecture: does the merge hold, where is the seam, how old is each view."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from streamguard_dashboards.layout import CONSISTENCY, HEALTH, RUNS, page
from streamguard_dashboards.panels import GREEN, RED, YELLOW, Panel, figure, graph


def lambda_architecture() -> Dashboard:
    """Return the dashboard."""
    return page(
        "streamguard-lambda",
        "StreamGuard: Lambda architecture",
        "Both views, the seam between them, and the proof that nothing is missing or held twice.",
        [
            ("Now", HEALTH, _now()),
            ("The two views", CONSISTENCY, _the_two_views()),
            ("Batch layer", RUNS, _batch_layer()),
        ],
    )


def _now() -> list[Panel]:
    return [
        figure(
            "Missing records",
            "Offsets of the log that neither layer accounts for. 0, or the merge is wrong.",
            "sum(serving_consistency_missing)",
            steps=[(1, RED)],
            links=CONSISTENCY,
        ),
        figure(
            "Records held twice",
            "Offsets that both layers hold. 0, or the merge is wrong.",
            "sum(serving_consistency_double)",
            steps=[(1, RED)],
            links=CONSISTENCY,
        ),
        figure(
            "Answers complete",
            "1 while both layers are there; 0 while an answer says complete: false.",
            "min(serving_complete)",
            base=RED,
            steps=[(1, GREEN)],
        ),
        figure(
            "Age of the batch view",
            "Since the served run was made. Alert StaleBatchView: over two hours.",
            "max(serving_run_age_seconds)",
            unit="s",
            steps=[(3_600, YELLOW), (7_200, RED)],
            links=RUNS,
        ),
        figure(
            "Since all partitions were in sync",
            "Age of the stalest partition of the realtime view.",
            "max(serving_freshness_seconds)",
            unit="s",
            steps=[(5, YELLOW), (60, RED)],
        ),
        figure(
            "Seams at which the proof failed",
            "Of the last 20 that were taken over.",
            "sum(serving_seams_inconsistent)",
            steps=[(1, RED)],
            links=CONSISTENCY,
        ),
    ]


def _the_two_views() -> list[Panel]:
    return [
        graph(
            "Events by layer",
            "Batch owns everything below the seam, realtime everything above.",
            {
                "batch": "sum(serving_batch_events)",
                "realtime": "sum(serving_realtime_events)",
            },
        ),
        graph(
            "Merged events",
            "What every list and count answers from.",
            {"merged": "sum(streamguard_events_total)"},
        ),
        graph(
            "Seam",
            "First offset that the batch view does not own, per partition.",
            {"{{topic}} {{partition}}": "max by (topic, partition) (batch_seam_offset)"},
        ),
        graph(
            "Runs taken over",
            "Published runs that were loaded, and those that could not be.",
            {
                "loaded": "sum(increase(serving_snapshot_swaps_total[5m]))",
                "refused": "sum(increase(serving_run_load_failures_total[5m])) or vector(0)",
            },
        ),
    ]


def _batch_layer() -> list[Panel]:
    return [
        graph(
            "Security runs ended",
            "Per hour, by outcome.",
            {"{{status}}": "sum by (status) (increase(batch_security_runs_total[1h]))"},
        ),
        graph(
            "Age of the last run",
            "Since the last run ended well, and since one was published.",
            {
                "success": "time() - max(batch_security_last_success_timestamp_seconds)",
                "published": "time() - max(batch_security_published_timestamp_seconds)",
            },
            unit="s",
            steps=[(3_600, YELLOW), (7_200, RED)],
        ),
        graph(
            "Records below the seam",
            "What the served run holds, and what it counted without holding it.",
            {
                "events": "sum(batch_view_events)",
                "duplicates": "sum(batch_view_duplicates)",
                "unreadable": "sum(batch_view_dead_letters)",
            },
        ),
        graph(
            "Restarts of streaming queries",
            "In an hour.",
            {
                "{{query}}": "sum by (query) (increase(batch_stream_restarts_total[1h])) "
                "or vector(0)"
            },
            steps=[(1, YELLOW)],
        ),
    ]
