# kill -9 of each service while events come in loses nothing.
# shellcheck shell=bash
before=$(merged_count)
"$PYTHON" -m event_generator security --broker "$BROKER" --count 20000 --seed "$RANDOM" --rate 400 >/dev/null 2>&1 &
generator=$!
ready() { status "$1"; }
for service in speed-layer serving-layer genai-assistant batch-layer kafka; do
    "$PYTHON" -m local_stack kill "$service" >/dev/null 2>&1
    check "$service was killed" 0 "$?"
    sleep 2 # let the supervisor see it before asking
    eventually 120 "speed layer ready after $service was killed" 200 ready "$SPEED/health"
    eventually 120 "serving layer ready after $service was killed" 200 ready "$SERVING/api/health/ready"
    eventually 120 "batch layer ready after $service was killed" 200 ready "$BATCH/health"
    eventually 120 "assistant ready after $service was killed" 200 ready "$ASSISTANT/health"
done
wait "$generator"
check "the generator delivered everything" 0 "$?"
eventually 120 "every event is in the merged view" "$((before + 20000))" merged_count
eventually 60 "missing 0, double 0, complete" "(0, 0, True)" consistency
