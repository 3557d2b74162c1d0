# A stream starts, reports and stops; three batches run at once while it goes on.
# shellcheck shell=bash
if [ "$(get "$BATCH/stream/status" | json 'd["active"]')" = True ]; then post "$BATCH/stream/stop" '{}' >/dev/null; fi
KAFKA_BOOTSTRAP_SERVERS=$BROKER "$PYTHON" -m event_generator transactions --count 500 --seed "$RANDOM" >/dev/null 2>&1
check "the stream starts" started "$(post "$BATCH/stream/start" '{"topic": "transactions-stream"}' | json 'd["status"]')"
check "a second start is refused" STREAM_ALREADY_RUNNING "$(post "$BATCH/stream/start" '{"topic": "transactions-stream"}' | json 'd["error"]')"
ids=""
for _ in 1 2 3; do
    ids="$ids $(post "$BATCH/batch/run" '{"topic": "transactions-stream", "startOffset": "earliest", "endOffset": "latest", "analysisType": "revenue_by_category"}' | json 'd["batchId"]')"
done
for id in $ids; do
    batch_status() { get "$BATCH/batch/status/$id" | json 'd["status"]'; }
    eventually 240 "$id completes" COMPLETED batch_status
done
check "the stream goes on meanwhile" True "$(get "$BATCH/stream/status" | json 'd["active"]')"
scored=$(post "$BATCH/batch/run" '{"topic": "transactions-stream", "analysisType": "fraud_scoring"}' | json 'd["batchId"]')
scored_status() { get "$BATCH/batch/status/$scored" | json 'd["status"]'; }
eventually 240 "fraud scoring completes" COMPLETED scored_status
check "its rows are suspicious purchases with reasons" True "$(get "$BATCH/batch/data/$scored/aggregated" | json 'all(row["risk"] >= 0.5 and row["reasons"] for row in d["data"])')"
