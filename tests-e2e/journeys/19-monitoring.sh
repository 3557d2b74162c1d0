# A real Prometheus finds data behind every panel and every alert rule.
# shellcheck shell=bash
if command -v prometheus >/dev/null; then
    said=$("$PYTHON" -m streamguard_dashboards.live \
        "speed-layer=127.0.0.1:$STACK_SPEED_PORT" "batch-layer=127.0.0.1:$STACK_BATCH_PORT" \
        "serving-layer=127.0.0.1:$STACK_SERVING_PORT" "genai-assistant=127.0.0.1:$STACK_ASSISTANT_PORT" 2>&1)
    code=$?
    if [ "$code" -ne 0 ]; then printf '%s\n' "$said" | sed 's/^/          /'; fi
    check "no query is silent or refused" 0 "$code"
else
    echo "  skipped: no prometheus on this machine (Debian: apt-get install prometheus)"
fi
