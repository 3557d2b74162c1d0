# Only the asked user's events come back.
# shellcheck shell=bash
page=$(get "$SERVING/api/events?user=alice&limit=200")
check "events come back" True "$(json 'len(d["data"]) > 0' <<<"$page")"
check "all are alice's" "['alice']" "$(json 'sorted({row["user"] for row in d["data"]})' <<<"$page")"
check "the count is of alice's alone" True "$(get "$SERVING/api/events/count?user=alice" | json "0 < d['count'] < $(merged_count)")"
check "an unknown user has none" "[]" "$(get "$SERVING/api/events?user=nobody-of-this-name" | json 'd["data"]')"
check "a misspelt filter is refused" 422 "$(status "$SERVING/api/events?usr=alice")"
