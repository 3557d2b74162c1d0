# Every service says how it is.
# shellcheck shell=bash
check "speed layer" healthy "$(get "$SPEED/health" | json 'd["status"]')"
check "batch layer" "('healthy', True)" "$(get "$BATCH/health" | json '(d["status"], d["spark"])')"
check "serving layer is alive" 200 "$(status "$SERVING/api/health")"
check "serving layer is ready" 200 "$(status "$SERVING/api/health/ready")"
check "assistant names its services" "['openai', 'rag_service', 'serving_api', 'training_data']" "$(get "$ASSISTANT/health" | json 'sorted(d["services"])')"
check "assistant names the layers" "['batch_layer', 'serving_layer', 'speed_layer']" "$(get "$ASSISTANT/health" | json 'sorted(d["lambda_architecture"])')"

# A request's id comes back from each service, which has it in its log lines.
returned_id() { curl -sS --max-time 60 -o /dev/null -D - -H "X-Request-ID: journey-5" "$1" | tr -d '\r' | awk 'tolower($1) == "x-request-id:" {print $2}'; }
for url in "$SPEED/health" "$BATCH/health" "$SERVING/api/health" "$ASSISTANT/health"; do
    check "$url returns the request's id" journey-5 "$(returned_id "$url")"
done
