# Every page of the dashboard is served, and the command answers the daily questions.
# shellcheck shell=bash
for page in / /alerts /users /users/manager /runs /transactions /rules /seams /ask /system; do
    check "page $page" 200 "$(status "$SERVING$page")"
done
check "an unknown API path is no page" 404 "$(status "$SERVING/api/nothing")"

export STREAMGUARD_URL="$SERVING" STREAMGUARD_ASSISTANT_URL="$ASSISTANT" STREAMGUARD_BATCH_URL="$BATCH"
streamguard() { "$PYTHON" -m streamguard_cli "$@"; }
check "streamguard status" healthy "$(streamguard status --json | json 'd["health"]["status"]')"
check "streamguard consistency" "(0, 0)" "$(streamguard consistency --json | json '(d["missing"], d["double"])')"
check "streamguard events" True "$(streamguard events --limit 3 --json | json 'len(d["data"]) == 3')"
check "streamguard anomalies" True "$(streamguard anomalies --limit 3 --json | json 'all(row["reasons"] for row in d["data"])')"
check "streamguard alerts --count" True "$(streamguard alerts --all --count --json | json 'd["count"] == d["batch"] + d["realtime"] > 0')"
check "streamguard alerts" True "$(streamguard alerts --all --limit 3 --json | json 'len(d["data"]) > 0')"
check "streamguard users" True "$(streamguard users --json | json 'd["data"][0]["risk"] >= d["data"][-1]["risk"]')"
check "streamguard runs" True "$(streamguard runs --json | json 'd["current"] in [run["run_id"] for run in d["runs"]]')"
check "streamguard ask" manager "$(streamguard ask "Is user manager anomalous?" --json | json 'd["batch_anomaly"]["user"]')"
check "a refusal names the field" 1 "$(streamguard events --status bad 2>&1 | grep -c 'status: ')"
