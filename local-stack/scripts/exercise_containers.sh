#!/usr/bin/env bash
# Start the whole system from its images, look at each container, drive the journeys through the
# published ports, stop it and delete its data. It is a Compose project of its own, so another one
# keeps its volumes; their ports must differ (.env). Needs Docker with Compose, and `make setup`.
#
#   local-stack/scripts/exercise_containers.sh                 build, start, journeys, delete
#   SERVICES="kafka speed-layer" ... [NUMBERS OF JOURNEYS]     some services, some journeys
#   BUILD=no ...                                               with images that are there
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 2

work="$(mktemp -d)"
# The speed layer is published for the journeys only.
cat >"$work/published.yml" <<'YAML'
services:
  speed-layer:
    ports: ["127.0.0.1:${STACK_SPEED_PORT:-9101}:9101"]
YAML
compose=(docker compose --project-directory . -p streamguard-exercise -f docker-compose.yml -f "$work/published.yml")
cleanup() {
  "${compose[@]}" --profile '*' down --volumes --timeout 30 >/dev/null 2>&1
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

passed=0
failed=0
check() { # $1: what is expected; the rest: a command that says whether it is so
  local name="$1"
  shift
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAILED  $name"; fi
}

read -ra services <<<"${SERVICES:-}"
if [[ "${BUILD:-yes}" == yes ]]; then "${compose[@]}" build "${services[@]}" || exit 1; fi
started=$SECONDS
"${compose[@]}" up --detach --no-build "${services[@]}" || { "${compose[@]}" logs --tail 20; exit 1; }
deadline=$((SECONDS + ${WAIT_SECONDS:-300}))
while "${compose[@]}" ps --format '{{.Health}}' | grep -q starting && ((SECONDS < deadline)); do
  sleep 2 # Compose has no command that waits for running containers alone
done
echo "healthy after $((SECONDS - started)) s:"
"${compose[@]}" ps --all --format 'table {{.Service}}\t{{.Status}}'

for id in $("${compose[@]}" ps --all --quiet); do
  read -r name health status exit_code read_only privileges memory < <(docker inspect --format \
    '{{index .Config.Labels "com.docker.compose.service"}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.State.Status}} {{.State.ExitCode}} {{.HostConfig.ReadonlyRootfs}} {{json .HostConfig.SecurityOpt}} {{.HostConfig.Memory}}' "$id")
  if [[ "$health" == none ]]; then
    check "$name ended with 0" [ "$status $exit_code" = "exited 0" ]
  else
    check "$name is healthy" [ "$health" = healthy ]
    uids="$(docker top "$id" -eo uid | tail -n +2 | sort -u | tr -d ' \n')"
    [[ "$name" == language-model ]] || check "no process of $name is root's ($uids)" [ "$uids" != 0 ]
  fi
  if [[ "$name" != kafka && "$name" != kafka-ui ]]; then check "$name has a read-only root" [ "$read_only" = true ]; fi
  check "$name cannot gain privileges" [ "$privileges" = '["no-new-privileges:true"]' ]
  check "$name has a limit of memory" [ "$memory" -gt 0 ]
done
printf 'containers: %d passed, %d failed\n' "$passed" "$failed"

# Journeys 08 and 12 start and kill processes of the local stack.
journeys=("$@")
if ((!${#journeys[@]})); then
  mapfile -t journeys < <(basename -a tests-e2e/journeys/*.sh | cut -c1-2 | grep -vxE '08|12')
fi
tests-e2e/run.sh "${journeys[@]}"
status=$?
((failed == 0 && status == 0))
