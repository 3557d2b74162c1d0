# Something to look at: events in the merged view, and a published batch run.
# shellcheck shell=bash
if [ "$(merged_count)" -lt 5000 ]; then
    generate 5000 "$RANDOM"
fi
enough() { [ "$(merged_count)" -ge 5000 ] && echo yes; }
eventually 60 "at least 5,000 events are merged" yes enough
if [ "$(get "$SERVING/consistency" | json 'd["run_id"] is None')" = True ]; then
    run_id=$(post "$BATCH/security/run" '{}' | json 'd["runId"]')
    run_status() { get "$BATCH/security/runs/$run_id" | json 'd["status"]'; }
    eventually 240 "a security run is published" COMPLETED run_status
fi
