# A batch with bad offsets fails alone.
# shellcheck shell=bash
refused=$(post "$BATCH/batch/run" '{"topic": "transactions-stream", "startOffset": {"0": 10}, "endOffset": {"0": 999999999}, "analysisType": "revenue_by_category"}')
if [ "$(json '"batchId" in d' <<<"$refused")" = True ]; then
    bad_id=$(json 'd["batchId"]' <<<"$refused")
    bad_status() { get "$BATCH/batch/status/$bad_id" | json 'd["status"]'; }
    eventually 120 "the bad batch fails" FAILED bad_status
    check "its status holds the error" True "$(get "$BATCH/batch/status/$bad_id" | json 'bool(d["errorMessage"])')"
else
    check "the bad offsets are refused by name" True "$(json 'd["error"] == "INVALID_REQUEST" and "endOffset" in d["message"]' <<<"$refused")"
fi
check "the stream goes on" True "$(get "$BATCH/stream/status" | json 'd["active"]')"
check "the stream stops" stopped "$(post "$BATCH/stream/stop" '{}' | json 'd["status"]')"
