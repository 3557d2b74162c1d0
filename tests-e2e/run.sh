#!/usr/bin/env bash
# Drives the running system from the outside, as a client would. Each journey is a file in
# journeys/; each check says what was expected and what came.
#
#   tests-e2e/run.sh            all journeys
#   tests-e2e/run.sh 03 12      some of them
set -u
cd "$(dirname "$0")/.." || exit 2
# shellcheck disable=SC1091
if [ -f .env ]; then
    set -a # as in the services' own environment
    . ./.env
    set +a
fi
# shellcheck source=tests-e2e/lib.sh
. tests-e2e/lib.sh

if [ "$(status "$SERVING/api/health/ready")" != 200 ]; then
    echo "the serving layer at $SERVING is not ready: start the stack with 'make up'" >&2
    exit 2
fi

for journey in tests-e2e/journeys/*.sh; do
    name=$(basename "$journey" .sh)
    if [ $# -gt 0 ] && ! printf '%s\n' "$@" | grep -qx "${name%%-*}"; then
        continue
    fi
    printf '%s\n' "$name"
    # shellcheck disable=SC1090
    . "$journey"
done

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
