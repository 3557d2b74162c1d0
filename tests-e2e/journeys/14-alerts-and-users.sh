# An alert's life, a suppression and its end, a user's page, an earlier run, a list as CSV.
# shellcheck shell=bash
alert=$(get "$SERVING/api/alerts?limit=1&suppressed=false" | json 'd["data"][0]["alert_id"]')
actions="$SERVING/api/alerts/$alert/actions"
check "acknowledged by dana" "['acknowledged', 'dana']" \
    "$(post "$actions" '{"action": "acknowledge", "by": "dana"}' | json '[d["status"], d["assignee"]]')"
check "a false positive is resolved" "[True, 'false_positive']" \
    "$(post "$actions" '{"action": "false_positive", "by": "dana"}' | json '[d["resolved"], d["verdict"]]')"
check "who did what" "['acknowledge', 'false_positive']" \
    "$(get "$SERVING/api/alerts/$alert/history" | json '[step["action"] for step in d["steps"]][-2:]')"
like="{\"alert_id\": \"$alert\", \"match\": [\"user\"]"
check "a preview says what it would silence" True \
    "$(post "$SERVING/api/suppressions/preview?days=365" "$like}" | json 'd["would_have_silenced"] >= 1')"
suppression=$(post "$SERVING/api/suppressions" "$like, \"by\": \"dana\", \"reason\": \"journey 14\"}" | json 'd["id"]')
check "the alert names what silences it" "$suppression" \
    "$(get "$SERVING/api/alerts/$alert" | json 'd["suppressed_by"]')"
check "a revoked suppression silences nothing" None \
    "$(curl -s -X DELETE "$SERVING/api/suppressions/$suppression?by=dana" >/dev/null; get "$SERVING/api/alerts/$alert" | json 'd["suppressed_by"]')"
check "reopened" open "$(post "$actions" '{"action": "reopen", "by": "dana"}' | json 'd["status"]')"

user=$(get "$SERVING/api/users?sort=risk&limit=1" | json 'd["data"][0]["user"]')
page=$(get "$SERVING/api/users/$user")
check "a user's page names its sources" "['batch', 'speed', 'merged']" \
    "$(json '[d[part]["source"] for part in ("batch", "live", "profile")]' <<<"$page")"

run=$(get "$SERVING/api/runs?limit=100" | json 'd["runs"][-1]["run_id"]')
check "an earlier run answers alone" 0 "$(get "$SERVING/api/events/count?as_of_run=$run" | json 'd["realtime"]')"
check "a list as CSV" event_id "$(curl -s -H 'Accept: text/csv' "$SERVING/api/anomalies?limit=5" | head -1 | cut -d, -f1)"

anomaly=$(get "$SERVING/api/anomalies?limit=1" | json 'd["data"][0]["event_id"]')
check "an anomaly explains what each layer says" "['batch', 'realtime']" \
    "$(get "$SERVING/api/anomalies/$anomaly?explain=true" | json 'sorted(set(d["explain"]) & {"batch", "realtime"})')"
check "a page of another origin may not write" 403 \
    "$(status -H 'Origin: https://elsewhere.example' -H 'content-type: application/json' -d '{}' "$actions")"
backtest=$(post "$SERVING/api/backtests" '{"threshold": 0.9}' | json 'd["id"]')
backtest_status() { get "$SERVING/api/backtests/$backtest" | json 'd["status"]'; }
eventually 60 "a backtest of another threshold" completed backtest_status
rule=$("$PYTHON" -c 'import json, pathlib; print(json.dumps({"rule": pathlib.Path("detection/src/detection/rule_files/failed-login-burst.yml").read_text()}))')
backtest=$(post "$SERVING/api/backtests" "$rule" | json 'd["id"]')
eventually 120 "a backtest of a rule, run by the batch layer" completed backtest_status
check "the same rule raises nothing that was not raised" 0 \
    "$(get "$SERVING/api/backtests/$backtest" | json 'd["result"]["verdicts"]["like_no_alert"]')"
