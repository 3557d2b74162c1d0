# A person of the user-activity stream: counted exactly, served beside security events, alerted.
# shellcheck shell=bash
activity_user="activity-$RANDOM$RANDOM"
activity_before=$(get "$SERVING/consistency" | json 'sum(p["next_offset"] for p in d["partitions"] if p["topic"] == "user-events")')
"$PYTHON" - "$BROKER" "$activity_user" <<'PY'
import json, sys, time
from confluent_kafka import Producer

producer = Producer({"bootstrap.servers": sys.argv[1]})
for number in range(51):
    event = {
        "userId": sys.argv[2],
        "eventType": "USER_LOGIN_FAILED" if number < 3 else "USER_SEARCH",
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()),
        "ipAddress": "203.0.113.9",
        "sessionId": "journey",
        "metadata": {"browser": "Firefox"},
    }
    producer.produce("user-events", key=event["userId"], value=json.dumps(event))
raise SystemExit(producer.flush(30))
PY

activity_count() { get "$SERVING/api/events/count?user=$activity_user" | json 'd["count"]'; }
eventually 60 "51 events of the user-activity stream are served" 51 activity_count
activity_read() { get "$SERVING/consistency" | json 'sum(p["next_offset"] for p in d["partitions"] if p["topic"] == "user-events")'; }
eventually 60 "/consistency covers their offsets" $((activity_before + 51)) activity_read
eventually 60 "nothing is missing or double" "(0, 0, True)" consistency
check "an event keeps its own keys" "('user-events', 'failed', '203.0.113.9', 'journey')" \
    "$(get "$SERVING/api/events?user=$activity_user&event_type=USER_LOGIN_FAILED" |
        json '{(e["topic"], e["status"], e["source_ip"], e["sessionId"]) for e in d["data"]}.pop()')"
activity_alerts() { get "$SERVING/api/alerts?user=$activity_user" | json 'sorted({a["alert_type"] for a in d["data"]})'; }
eventually 60 "failed logins and haste raise their alerts" "['RAPID_ACTIVITY', 'SUSPICIOUS_LOGIN_PATTERN']" activity_alerts
