# Tokens and cost are accounted, against a scripted OpenAI-compatible server on this machine.
# shellcheck shell=bash disable=SC2154
start_assistant_with_model
answer=$(post "$with_model/query" '{"question": "Is user manager anomalous?", "asked_by": "dana"}')
check "the answer names its mode" True "$(json 'd["mode"] != "evidence"' <<<"$answer")"
check "the answer says what it cost" True "$(json 'd["usage"]["cost_dollars"] > 0' <<<"$answer")"
metric_positive() { get "$with_model/metrics" | awk -v name="$1" 'index($1, name) == 1 && $1 !~ /_created/ && $2 > 0 {found = 1} END {print found ? "yes" : "no"}'; }
check "a request to the model was counted" yes "$(metric_positive genai_openai_requests_total)"
check "its tokens were counted" yes "$(metric_positive genai_openai_tokens_total)"
check "its cost was counted" yes "$(metric_positive genai_openai_cost_dollars)"
check "and under OpenTelemetry's name" yes "$(metric_positive gen_ai_client_token_usage_sum)"
check "what a user cost today is told" True "$(get "$with_model/spending" | json 'd["by_asker"]["dana"] > 0')"
stop_assistant_with_model

# Without a model the same question costs nothing.
answer=$(post "$ASSISTANT/query" '{"question": "Is user manager anomalous?"}')
check "without a model nothing is spent" "(0, 0.0)" \
    "$(json '(d["usage"]["prompt_tokens"], d["usage"]["cost_dollars"]) if d["mode"] == "evidence" else (0, 0.0)' <<<"$answer")"
