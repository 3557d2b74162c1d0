# The batch run's verdicts, and an answer that carries them.
# shellcheck shell=bash
check "report" "['anomalous_users', 'anomaly_rate', 'top_anomalies', 'total_users']" \
    "$(get "$SERVING/api/training-data/report" | json 'sorted(set(d) & {"total_users", "anomalous_users", "anomaly_rate", "top_anomalies"})')"
check "anomalies" 200 "$(status "$SERVING/api/training-data/anomalies")"
check "health" 200 "$(status "$SERVING/api/training-data/health")"
check "stats" 200 "$(status "$SERVING/api/training-data/stats")"
check "manager" manager "$(get "$SERVING/api/training-data/anomalies/manager" | json 'd["user"]')"
check "an unknown user is 404" 404 "$(status "$SERVING/api/training-data/anomalies/nobody-of-this-name")"
answer=$(post "$ASSISTANT/query" '{"question": "Is user manager anomalous?"}')
check "the answer carries the batch verdict" manager "$(json 'd["batch_anomaly"]["user"]' <<<"$answer")"
check "and names its source" True "$(json '"batch-ml" in d["sources_used"]' <<<"$answer")"
