# Where services ask for a key of each other, nobody else is answered by the speed and batch layers.
# shellcheck shell=bash
if [ -n "$service_key" ]; then
    asked=401
else
    echo "  the stack has no SERVICE_KEY: nothing is asked for"
    asked=200
fi
bare() { curl -sS --max-time 60 -o /dev/null -w '%{http_code}' "$@"; }
for url in "$SPEED/positions" "$BATCH/batch/list" "$BATCH/schedule"; do
    check "${url##*/} without a key" "$asked" "$(bare "$url")"
    check "${url##*/} with the key" 200 "$(status "$url")"
done
for url in "$SPEED/health" "$SPEED/metrics" "$BATCH/health" "$BATCH/metrics"; do
    check "$url needs none" 200 "$(bare "$url")"
done
if [ -n "$service_key" ]; then
    check "a wrong key" 401 "$(bare -H "Authorization: Bearer not-$service_key" "$BATCH/batch/list")"
    check "what is asked for" UNAUTHORIZED "$(curl -sS --max-time 60 "$BATCH/batch/list" | json 'd["error"]')"
fi
eventually 60 "services that know the key answer whole" "(0, 0, True)" consistency
