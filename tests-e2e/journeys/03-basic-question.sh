# A plain question gets a whole answer.
# shellcheck shell=bash
answer=$(post "$ASSISTANT/query" '{"question": "Which users are the riskiest right now?", "context_window": "24h"}')
check "every field of the answer is there" "[]" \
    "$(json 'sorted({"answer", "confidence", "supporting_events", "threat_intel", "recommended_actions", "query_time_ms", "sources_used", "batch_anomaly"} - set(d))' <<<"$answer")"
check "the answer has words" True "$(json 'len(d["answer"]) > 20' <<<"$answer")"
check "confidence is between 0 and 1" True "$(json '0 <= d["confidence"] <= 1' <<<"$answer")"
check "no citation is invalid" True "$(json 'd["citation_check"]["valid"] == d["citation_check"]["cited"] > 0' <<<"$answer")"
check "a question of 4 characters is refused" 422 "$(status -H 'content-type: application/json' -d '{"question": "Why?"}' "$ASSISTANT/query")"
