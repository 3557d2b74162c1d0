# Tokens and cost are accounted, against a scripted OpenAI-compatible server on this machine.
# shellcheck shell=bash
free_port() { "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
model_port=$(free_port)
cost_port=$(free_port)
cost_data=$(mktemp -d)
"$PYTHON" -m genai_assistant.testing --port "$model_port" >"$cost_data/model.log" 2>&1 &
model_pid=$!
ASSISTANT_PORT=$cost_port ASSISTANT_SERVING_URL=$SERVING ASSISTANT_DATA_DIR=$cost_data/data ASSISTANT_ANALYST_ENABLED=false \
    OPENAI_API_KEY=scripted OPENAI_BASE_URL=http://127.0.0.1:$model_port/v1 OPENAI_MODEL=gpt-4o-mini \
    "$PYTHON" -m genai_assistant >"$cost_data/assistant.log" 2>&1 &
cost_pid=$!
cost_ready() { status "http://127.0.0.1:$cost_port/health"; }
eventually 90 "an assistant with a model is up" 200 cost_ready
answer=$(post "http://127.0.0.1:$cost_port/query" '{"question": "Is user manager anomalous?"}')
check "the answer names its mode" True "$(json 'd["mode"] != "evidence"' <<<"$answer")"
metric_positive() { get "http://127.0.0.1:$cost_port/metrics" | awk -v name="$1" 'index($1, name) == 1 && $1 !~ /_created/ && $2 > 0 {found = 1} END {print found ? "yes" : "no"}'; }
check "a request to the model was counted" yes "$(metric_positive genai_openai_requests_total)"
check "its tokens were counted" yes "$(metric_positive genai_openai_tokens_total)"
check "its cost was counted" yes "$(metric_positive genai_openai_cost_dollars)"
kill "$cost_pid" "$model_pid" 2>/dev/null
wait "$cost_pid" "$model_pid" 2>/dev/null
rm -rf "$cost_data"
