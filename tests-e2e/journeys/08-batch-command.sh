# A batch job over 100 events: under 120 s, with report and Parquet; and what is scheduled.
# shellcheck shell=bash
output=$(mktemp -d)
started=$SECONDS
"$PYTHON" -m local_stack exec "$PYTHON" -m batch_layer security-run --max-events 100 --output "$output/run" >"$output/log" 2>&1
check "the command succeeds" 0 "$?"
check "within 120 s" yes "$([ $((SECONDS - started)) -lt 120 ] && echo yes || echo "$((SECONDS - started)) s")"
check "_SUCCESS is there" yes "$([ -f "$output/run/_SUCCESS" ] && echo yes || { tail -3 "$output/log"; ls "$output"; })"
check "the report has its fields" "['anomalous_users', 'anomaly_rate', 'top_anomalies', 'total_users']" \
    "$(json 'sorted(set(d) & {"total_users", "anomalous_users", "anomaly_rate", "top_anomalies"})' <"$output/run/anomaly_report.json")"
check "100 events are in the Parquet" 100 \
    "$("$PYTHON" -c 'import sys, duckdb; print(int(duckdb.sql("select sum(total_events) from read_parquet(?)", params=[sys.argv[1] + "/is_anomaly=*/*.parquet"]).fetchall()[0][0]))' "$output/run" 2>&1 | tail -1)"
rm -rf "$output"
check "the schedule says when each job is due" "['maintenance', 'security-run']" \
    "$(get "$BATCH/schedule" | json 'sorted(job["job"] for job in d["jobs"] if job["nextTime"])')"
