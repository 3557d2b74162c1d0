# Every service has its metrics, under the names dashboards rely on.
# shellcheck shell=bash
metric_names() { get "$1/metrics" | sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p'; }
has_metrics() { # SERVICE URL NAME...
    local service=$1 names name
    names=$(metric_names "$2")
    shift 2
    for name in "$@"; do
        check "$service: $name" yes "$(grep -qx -e "$name" -e "${name}_total" <<<"$names" && echo yes || echo no)"
    done
}
has_metrics "speed layer" "$SPEED" streamguard_events_processed_total streamguard_threats_detected_total \
    streamguard_anomalies_detected_total streamguard_storage_errors_total streamguard_kafka_errors_total \
    streamguard_processing_latency_seconds streamguard_anomaly_score
has_metrics "serving layer" "$SERVING" streamguard_events_total streamguard_anomalies_total streamguard_ai_analyses_total \
    training_data_users_total training_data_anomalies_total training_data_anomaly_rate training_data_available
has_metrics "assistant" "$ASSISTANT" genai_query_duration_seconds genai_queries_total genai_openai_requests_total \
    genai_openai_tokens_total genai_openai_cost_dollars genai_openai_duration_seconds genai_errors_total \
    genai_data_source_duration_seconds genai_data_source_requests_total genai_confidence_score \
    genai_supporting_events_count genai_threat_intel_count genai_service_up genai_dependency_health
check "batch layer" 200 "$(status "$BATCH/metrics")"
