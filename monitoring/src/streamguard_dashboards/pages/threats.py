"""Threat detection: alerts, anomalies, scores, what the models say of users."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from streamguard_dashboards.layout import ANALYSES, RUNS, page
from streamguard_dashboards.panels import RED, YELLOW, Panel, figure, graph

_QUEUE = {"alert queue": "${serving}/api/alerts?status=open"}
_ANOMALIES = {"anomalies": "${serving}/api/anomalies"}
_USERS = {"users": "${serving}/api/users?sort=risk"}


def threats() -> Dashboard:
    """Return the dashboard."""
    return page(
        "streamguard-threats",
        "StreamGuard: threat detection",
        "Alerts and anomalous events as they happen, and anomalous users by the batch models.",
        [
            ("Now", _ANOMALIES, _now()),
            ("Over time", _ANOMALIES, _over_time()),
            ("Users and models", _USERS, _users_and_models()),
        ],
    )


def _now() -> list[Panel]:
    return [
        figure(
            "Alerts in the last hour",
            "Raised by rules and the scorer.",
            "sum(increase(streamguard_threats_detected_total[1h]))",
            links=_QUEUE,
        ),
        figure(
            "High and critical in the last hour",
            "Alert SuspiciousLoginActivity: more than 10 in five minutes.",
            'sum(increase(streamguard_threats_detected_total{severity=~"HIGH|CRITICAL"}'
            "[1h])) or vector(0)",
            steps=[(1, YELLOW), (120, RED)],
            links=_QUEUE,
        ),
        figure(
            "Anomalous events in the last hour",
            "Scored at or above the threshold by the speed layer.",
            "sum(increase(streamguard_anomalies_detected_total[1h]))",
        ),
        figure(
            "Anomalous share",
            "Of the events of the last hour.",
            "sum(increase(streamguard_anomalies_detected_total[1h])) / "
            "sum(increase(streamguard_events_processed_total[1h]))",
            unit="percentunit",
            steps=[(0.05, YELLOW), (0.2, RED)],
        ),
        figure(
            "Anomalous users",
            "Of the served run, by its models.",
            "max(training_data_anomalies_total)",
            links=_USERS,
        ),
        figure(
            "Written analyses",
            "Explanations of alerts by the assistant.",
            "sum(streamguard_ai_analyses_total)",
            links=ANALYSES,
        ),
    ]


def _over_time() -> list[Panel]:
    return [
        graph(
            "Alerts by severity",
            "Per minute.",
            {
                "{{severity}}": "sum by (severity) "
                "(rate(streamguard_threats_detected_total[5m])) * 60"
            },
            links=_QUEUE,
        ),
        graph(
            "Anomalous events by score",
            "Per minute, by range of the score.",
            {
                "{{score_range}}": "sum by (score_range) "
                "(rate(streamguard_anomalies_detected_total[5m])) * 60"
            },
        ),
        graph(
            "Scores",
            "Of all scored events: half, and the highest in a hundred, lie above.",
            {
                "p50": "histogram_quantile(0.5, sum by (le) "
                "(rate(streamguard_anomaly_score_bucket[5m])))",
                "p99": "histogram_quantile(0.99, sum by (le) "
                "(rate(streamguard_anomaly_score_bucket[5m])))",
            },
            unit="percentunit",
        ),
        graph(
            "Events by type",
            "Share of each type; an attack often shows as a change of the mix.",
            {
                "{{event_type}}": "sum by (event_type) "
                "(rate(streamguard_events_processed_total[5m])) / ignoring (event_type) "
                "group_left sum(rate(streamguard_events_processed_total[5m]))"
            },
            unit="percentunit",
        ),
    ]


def _users_and_models() -> list[Panel]:
    return [
        graph(
            "Users of the served run",
            "All, and those called anomalous.",
            {
                "users": "max(training_data_users_total)",
                "anomalous": "max(training_data_anomalies_total)",
            },
        ),
        graph(
            "Drift of the features",
            "Stability index against the training run; above 0.25 a feature has moved.",
            {"{{feature}}": "topk(10, max by (feature) (batch_feature_drift))"},
            steps=[(0.25, YELLOW)],
            links=RUNS,
        ),
        graph(
            "Alerts sent by webhook",
            "Attempts in five minutes; dead ones are kept in the dead-letter list.",
            {
                "{{target}} {{outcome}}": "sum by (target, outcome) "
                "(increase(serving_webhook_attempts_total[5m]))"
            },
            links={"dead letters": "${serving}/api/webhooks/dead-letters"},
        ),
        graph(
            "User patterns sent",
            "To the topic analytics-insights in five minutes.",
            {"sent": "sum(increase(batch_insights_total[5m]))"},
        ),
    ]
