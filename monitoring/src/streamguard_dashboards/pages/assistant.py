"""Assistant: questions, what the check of citations removed, the model's time and cost."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from streamguard_dashboards.layout import ANALYSES, HEALTH, page
from streamguard_dashboards.panels import RED, YELLOW, Panel, figure, graph


def assistant() -> Dashboard:
    """Return the dashboard."""
    return page(
        "streamguard-assistant",
        "StreamGuard: assistant",
        "Questions and answers, the check of every sentence, sources, the language model and its cost.",
        [
            ("Now", HEALTH, _now()),
            ("Answers", ANALYSES, _answers()),
            ("Sources and model", HEALTH, _sources_and_model()),
        ],
    )


def _now() -> list[Panel]:
    return [
        figure(
            "Questions in the last hour",
            "Answered, with or without a model.",
            "sum(increase(genai_queries_total[1h]))",
        ),
        figure(
            "Time to answer, p95",
            "Of the last hour.",
            "histogram_quantile(0.95, sum by (le) (rate(genai_query_duration_seconds_bucket[1h])))",
            unit="s",
            steps=[(1, YELLOW), (10, RED)],
        ),
        figure(
            "Sentences removed",
            "Share of a model's sentences that the check did not find in the evidence.",
            'sum(increase(genai_sentences_total{verdict="dropped"}[1h])) / '
            "sum(increase(genai_sentences_total[1h])) or vector(0)",
            unit="percentunit",
            steps=[(0.1, YELLOW), (0.5, RED)],
        ),
        figure(
            "Dollars spent",
            "On the language model since the service started.",
            "sum(genai_openai_cost_dollars)",
            unit="currencyUSD",
        ),
        figure(
            "Dependencies that answer",
            "Serving layer, retrieval, model, training data.",
            "sum(genai_dependency_health)",
        ),
        figure(
            "Errors in the last hour",
            "By any cause; the question is answered from evidence all the same.",
            "sum(increase(genai_errors_total[1h])) or vector(0)",
            steps=[(1, YELLOW)],
        ),
    ]


def _answers() -> list[Panel]:
    return [
        graph(
            "Questions by kind",
            "Per minute.",
            {"{{kind}}": "sum by (kind) (rate(genai_queries_total[5m])) * 60"},
        ),
        graph(
            "How answers were worded",
            "From evidence alone or by a model, per minute.",
            {"{{mode}}": "sum by (mode) (rate(genai_queries_total[5m])) * 60"},
        ),
        graph(
            "Time to answer",
            "Half of the questions, and all but five in a hundred, took less.",
            {
                "p50": "histogram_quantile(0.5, sum by (le) "
                "(rate(genai_query_duration_seconds_bucket[5m])))",
                "p95": "histogram_quantile(0.95, sum by (le) "
                "(rate(genai_query_duration_seconds_bucket[5m])))",
            },
            unit="s",
            steps=[(1, YELLOW), (10, RED)],
        ),
        graph(
            "Confidence",
            "Mean confidence, from coverage, agreement and freshness of the evidence.",
            {
                "mean": "sum(rate(genai_confidence_score_sum[5m])) / "
                "sum(rate(genai_confidence_score_count[5m]))"
            },
            unit="percentunit",
        ),
        graph(
            "Evidence per answer",
            "Mean number of supporting events, and of techniques and rules.",
            {
                "events": "sum(rate(genai_supporting_events_count_sum[5m])) / "
                "sum(rate(genai_supporting_events_count_count[5m]))",
                "techniques": "sum(rate(genai_threat_intel_count_sum[5m])) / "
                "sum(rate(genai_threat_intel_count_count[5m]))",
            },
        ),
        graph(
            "Sentences by verdict",
            "What the check of citations said, in five minutes.",
            {"{{verdict}}": "sum by (verdict) (increase(genai_sentences_total[5m]))"},
        ),
    ]


def _sources_and_model() -> list[Panel]:
    return [
        graph(
            "Time of a data source, p95",
            "Calls to the serving layer, the batch layer and retrieval.",
            {
                "{{source}}": "histogram_quantile(0.95, sum by (le, source) "
                "(rate(genai_data_source_duration_seconds_bucket[5m])))"
            },
            unit="s",
            steps=[(1, YELLOW), (5, RED)],
        ),
        graph(
            "Calls to data sources",
            "Per minute, by outcome.",
            {
                "{{source}} {{status}}": "sum by (source, status) "
                "(rate(genai_data_source_requests_total[5m])) * 60"
            },
        ),
        graph(
            "Calls to the model",
            "Per minute, by outcome.",
            {"{{status}}": "sum by (status) (rate(genai_openai_requests_total[5m])) * 60"},
        ),
        graph(
            "Time of the model, p95",
            "Retry included.",
            {
                "p95": "histogram_quantile(0.95, sum by (le) "
                "(rate(genai_openai_duration_seconds_bucket[5m])))"
            },
            unit="s",
            steps=[(10, YELLOW), (30, RED)],
        ),
        graph(
            "Tokens",
            "Per minute, as reported or estimated.",
            {"{{type}}": "sum by (type) (rate(genai_openai_tokens_total[5m])) * 60"},
        ),
        graph(
            "Written analyses of alerts",
            "In five minutes, by outcome.",
            {"{{status}}": "sum by (status) (increase(genai_analyses_written_total[5m]))"},
        ),
    ]
