# An sshd log goes in twice: its attempts are served, counted once, and raise their alert.
# shellcheck shell=bash
sshd_user="sshd-$RANDOM$RANDOM"
sshd_log=$(mktemp)
for second in 01 02 03 04; do
    printf '%s LabSZ sshd[77]: Failed password for invalid user %s from 2001:DB8::77 port 4711 ssh2\n' \
        "$(date -u +"%b %e %H:%M"):$second" "$sshd_user"
done >"$sshd_log"
printf 'not a line of syslog\n' >>"$sshd_log"
printf '%s LabSZ sshd[77]: message repeated 2 times: [ Failed password for invalid user %s from 2001:DB8::77 port 4711 ssh2]\n' \
    "$(date -u +"%b %e %H:%M"):05" "$sshd_user" >>"$sshd_log"

ingest() { "$PYTHON" -m streamguard_cli ingest sshd --broker "$BROKER" "$1" 2>&1; }
came=$(ingest "$sshd_log")
check "a bad line is named, the others arrive" \
    "streamguard: line 5: no syslog header (time, host, program)
6 lines: 6 events, 6 acknowledged, 0 failed; 1 bad lines" "$came"
sshd_count() { get "$SERVING/api/events/count?user=$sshd_user" | json 'd["count"]'; }
eventually 60 "six attempts are served" 6 sshd_count
check "they are failed logins from one address" "{('auth_attempt', 'failed', '2001:db8::77')}" \
    "$(get "$SERVING/api/events?user=$sshd_user" | json '{(e["event_type"], e["status"], e["source_ip"]) for e in d["data"]}')"
sshd_alerts() { get "$SERVING/api/alerts?user=$sshd_user" | json '"SUSPICIOUS_LOGIN_PATTERN" in {a["alert_type"] for a in d["data"]}'; }
eventually 60 "they raise the alert on failed logins" True sshd_alerts
duplicates() { get "$SERVING/consistency" | json 'sum(p["duplicates"] for p in d["partitions"])'; }
sshd_before=$(duplicates)
ingest "$sshd_log" >/dev/null
again() { [ "$(duplicates)" -ge $((sshd_before + 6)) ] && echo yes; }
eventually 60 "the same log again is six duplicates" yes again
check "nothing is counted twice" 6 "$(sshd_count)"
rm -f "$sshd_log"
