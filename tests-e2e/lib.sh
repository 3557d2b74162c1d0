# What the journeys share: where the services are, how to ask them, how to say what came.
# shellcheck shell=bash

: "${STACK_BATCH_PORT:=8080}" "${STACK_SERVING_PORT:=8081}" "${STACK_ASSISTANT_PORT:=8002}" "${STACK_SPEED_PORT:=9101}"
: "${STACK_KAFKA_PORT:=9092}" "${STACK_DIR:=.stack}" "${STACK_TOOLS_DIR:=.tools}"
export SPEED="http://127.0.0.1:$STACK_SPEED_PORT"
export BATCH="http://127.0.0.1:$STACK_BATCH_PORT"
export SERVING="http://127.0.0.1:$STACK_SERVING_PORT"
export ASSISTANT="http://127.0.0.1:$STACK_ASSISTANT_PORT"
export BROKER="127.0.0.1:$STACK_KAFKA_PORT"
PYTHON="${PYTHON:-.venv/bin/python}"

passed=0
failed=0

# Where services ask for a key of each other (SERVICE_KEY), calls of the speed and batch layers carry it.
service_key=${SERVICE_KEY:-}
if [ -z "$service_key" ] && [ -n "${SERVICE_KEY_FILE:-}" ]; then service_key=$(cat "$SERVICE_KEY_FILE"); fi
keyed() { # SECONDS CURL-ARGUMENTS...
    local seconds=$1 key=()
    shift
    case " $*" in
    *" $SPEED/"* | *" $BATCH/"*) if [ -n "$service_key" ]; then key=(-H "Authorization: Bearer $service_key"); fi ;;
    esac
    curl -sS --max-time "$seconds" ${key[@]+"${key[@]}"} "$@"
}
get() { keyed 60 "$@"; }
status() { keyed 60 -o /dev/null -w '%{http_code}' "$@"; }
post() { # URL JSON
    keyed 120 -H 'content-type: application/json' -d "$2" "$1"
}

# json EXPRESSION: evaluate a Python expression over `d`, the JSON on standard input.
json() {
    "$PYTHON" -c 'import json, sys
try:
    d = json.load(sys.stdin)
except ValueError as error:
    print(f"not JSON: {error}")
    raise SystemExit(0)
try:
    print(eval(sys.argv[1]))
except Exception as error:
    print(f"{type(error).__name__}: {error} in {json.dumps(d)[:300]}")' "$1"
}

# check NAME EXPECTED ACTUAL
check() {
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
        printf '  ok      %s\n' "$1"
    else
        failed=$((failed + 1))
        printf '  FAILED  %s\n          expected: %s\n          came:     %s\n' "$1" "$2" "$3"
    fi
}

# eventually SECONDS NAME EXPECTED COMMAND...: poll until the command prints what is expected.
eventually() {
    local deadline=$((SECONDS + $1)) name=$2 expected=$3 came
    shift 3
    while [ "$SECONDS" -lt "$deadline" ]; do
        came=$("$@" 2>/dev/null)
        if [ "$came" = "$expected" ]; then
            check "$name" "$expected" "$came"
            return
        fi
        sleep 1 # between two looks at a running system
    done
    check "$name" "$expected" "${came:-nothing} (after waiting)"
}

consistency() { get "$SERVING/consistency" | json '(d["missing"], d["double"], d["complete"])'; }
merged_count() { get "$SERVING/api/events/count" | json 'd["count"]'; }
generate() { # COUNT SEED
    "$PYTHON" -m event_generator security --broker "$BROKER" --count "$1" --seed "$2" --rate 0 >/dev/null
}

# An assistant of its own over the same serving layer, with a scripted OpenAI-compatible server on
# this machine as its model: $with_model is its URL until stop_assistant_with_model.
free_port() { "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
start_assistant_with_model() {
    local model_port port
    model_port=$(free_port)
    port=$(free_port)
    with_model=http://127.0.0.1:$port
    with_model_data=$(mktemp -d)
    "$PYTHON" -m genai_assistant.testing --port "$model_port" >"$with_model_data/model.log" 2>&1 &
    with_model_pids=$!
    ASSISTANT_PORT=$port ASSISTANT_SERVING_URL=$SERVING ASSISTANT_BATCH_URL=$BATCH ASSISTANT_DATA_DIR=$with_model_data/data ASSISTANT_ANALYST_ENABLED=false \
        OPENAI_API_KEY=scripted OPENAI_BASE_URL=http://127.0.0.1:$model_port/v1 OPENAI_MODEL=gpt-4o-mini \
        "$PYTHON" -m genai_assistant >"$with_model_data/assistant.log" 2>&1 &
    with_model_pids="$with_model_pids $!"
    eventually 180 "an assistant with a model is up" 200 status "$with_model/health"
}
stop_assistant_with_model() {
    # shellcheck disable=SC2086
    kill $with_model_pids 2>/dev/null
    # shellcheck disable=SC2086
    wait $with_model_pids 2>/dev/null
    rm -rf "$with_model_data"
}
