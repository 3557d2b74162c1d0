"""What the assistant counts; the ``genai_*`` names are fixed by existing dashboards."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

DURATION_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5, 10, 30, 60)
SHARE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
TOKEN_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)
COUNT_BUCKETS = (0, 1, 2, 5, 10, 20, 50)


class Metrics:
    """One application's metrics, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.query_duration = Histogram(
            "genai_query_duration_seconds",
            "Time to answer a question.",
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self.queries = Counter(
            "genai_queries_total",
            "Questions answered, by kind of question and how they were worded.",
            ["kind", "mode"],
            registry=registry,
        )
        self.model_requests = Counter(
            "genai_openai_requests_total",
            "Calls to the language model, by outcome.",
            ["status"],
            registry=registry,
        )
        self.model_tokens = Counter(
            "genai_openai_tokens_total",
            "Tokens as the model's server reported them (estimated when it did not).",
            ["type"],
            registry=registry,
        )
        # A Counter would be exposed as ..._dollars_total; existing dashboards read this name.
        self.model_cost = Gauge(
            "genai_openai_cost_dollars",
            "Dollars spent on the language model since start; it only rises.",
            registry=registry,
        )
        self.model_duration = Histogram(
            "genai_openai_duration_seconds",
            "Time of a call to the language model, retry included.",
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        # OpenTelemetry's names for generative AI, as Prometheus spells them.
        self.token_usage = Histogram(
            "gen_ai_client_token_usage",
            "Tokens per call to the language model (OpenTelemetry gen_ai.client.token.usage).",
            ["gen_ai_operation_name", "gen_ai_request_model", "gen_ai_token_type"],
            buckets=TOKEN_BUCKETS,
            registry=registry,
        )
        self.operation_duration = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "Time of a call to the language model (gen_ai.client.operation.duration).",
            ["gen_ai_operation_name", "gen_ai_request_model", "status"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self.errors = Counter(
            "genai_errors_total", "Failures, by where they arose.", ["type"], registry=registry
        )
        self.source_duration = Histogram(
            "genai_data_source_duration_seconds",
            "Time of a call to a data source.",
            ["source"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self.source_requests = Counter(
            "genai_data_source_requests_total",
            "Calls to data sources, by outcome.",
            ["source", "status"],
            registry=registry,
        )
        self.confidence = Histogram(
            "genai_confidence_score",
            "Confidence of answers.",
            buckets=SHARE_BUCKETS,
            registry=registry,
        )
        self.supporting_events = Histogram(
            "genai_supporting_events_count",
            "Supporting events per answer.",
            buckets=COUNT_BUCKETS,
            registry=registry,
        )
        self.threat_intel = Histogram(
            "genai_threat_intel_count",
            "Techniques and rules per answer.",
            buckets=COUNT_BUCKETS,
            registry=registry,
        )
        self.service_up = Gauge("genai_service_up", "1 while the service runs.", registry=registry)
        self.dependency_health = Gauge(
            "genai_dependency_health",
            "1 when a dependency answered at the last look.",
            ["dependency"],
            registry=registry,
        )
        self.sentences = Counter(
            "genai_sentences_total",
            "Sentences by what the citation check said.",
            ["verdict"],
            registry=registry,
        )
        for verdict in ("valid", "dropped"):
            self.sentences.labels(verdict)  # from 0 on: increase() does not see a first increment
        self.analyses = Counter(
            "genai_analyses_written_total",
            "Analyses of alerts by outcome.",
            ["status"],
            registry=registry,
        )
