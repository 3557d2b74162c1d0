# Follow-ups, figures, the event stream and the Model Context Protocol answer like /query.
# shellcheck shell=bash
first="What happened to alice in the last 24 hours?"
answer=$(post "$ASSISTANT/query" "{\"question\": \"and manager?\", \"conversation\": [{\"question\": \"$first\"}]}")
check "a follow-up keeps kind and window" "('user_activity', 'manager', '24h')" \
    "$(json '(d["kind"], d["understood"]["user"], d["understood"]["window"])' <<<"$answer")"
check "no sentence of it was dropped" 0 "$(json 'd["citation_check"]["dropped"]' <<<"$answer")"

for question in "Events by status in the last 4 weeks" "Compare manager with the usual" \
    "Did the batch and live layers disagree?" "Is the activity of manager rising?"; do
    answer=$(post "$ASSISTANT/query" "{\"question\": \"$question\"}")
    check "$question" "('evidence', 0, True)" \
        "$(json '(d["mode"], d["citation_check"]["dropped"], d["citation_check"]["valid"] > 0)' <<<"$answer")"
done

stream=$(get -N -H 'content-type: application/json' -d '{"question": "Is user manager anomalous?"}' "$ASSISTANT/query/stream")
check "a stream begins with what was understood" "event: understood" "$(head -n 1 <<<"$stream")"
check "a stream ends in the answer" manager \
    "$(grep -A 1 '^event: answer' <<<"$stream" | sed -n 's/^data: //p' | json 'd["batch_anomaly"]["user"]')"

mcp() {
    get -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' -d "$1" "$ASSISTANT/mcp"
}
check "tools are listed and only read" "(9, True)" \
    "$(mcp '{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}' |
        json '(len(d["result"]["tools"]), all(t["annotations"]["readOnlyHint"] for t in d["result"]["tools"]))')"
check "a tool gives the cited answer with structure" manager \
    "$(mcp '{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "ask", "arguments": {"question": "Is user manager anomalous?"}}}' |
        json 'd["result"]["structuredContent"]["batch_anomaly"]["user"]')"
check "without a model nothing is spent" "{}" "$(get "$ASSISTANT/spending" | json 'd["by_asker"]')"
