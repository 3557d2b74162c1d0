#!/usr/bin/env bash
# Everything that can be checked without running the system. All checks run, then the result.
set -uo pipefail
cd "$(dirname "$0")/../.."

bin="${BIN:-.venv/bin}"
failed=()

run() { # $1: name; the rest: command
  local name="$1" output
  shift
  if output="$("$@" 2>&1)"; then
    echo "ok      $name"
  else
    echo "FAILED  $name: $*"
    printf '%s\n' "$output" | sed 's/^/        /'
    failed+=("$name")
  fi
}
skip() { echo "skipped $1: $2"; }

run lock local-stack/scripts/lock.sh --check
run lint "$bin/ruff" check .
run format "$bin/ruff" format --check .
run types "$bin/mypy" "$@"
run imports "$bin/lint-imports"
audit_status=0
audit="$(local-stack/scripts/audit.sh)" || audit_status=$?
case "$audit_status" in
  0) echo "ok      audit" ;;
  2) skip audit "$audit" ;;
  *) run audit local-stack/scripts/audit.sh ;;
esac
run sbom "$bin/cyclonedx-py" requirements requirements.lock --pyproject pyproject.toml --output-reproducible -o /dev/null
run yaml "$bin/yamllint" --strict -c .yamllint.yaml .

site="$(mktemp -d)"
run site local-stack/scripts/site.sh "$site"
rm -rf "$site"

if [[ -f docker-compose.yml ]]; then
  run compose-schema "$bin/check-jsonschema" --builtin-schema vendor.compose-spec docker-compose.yml
  run compose-config "$bin/docker-compose" --env-file .env.example -f docker-compose.yml --profile '*' config --quiet
fi
mapfile -t dockerfiles < <(git ls-files '*Dockerfile*' ':!*.dockerignore')
if ((${#dockerfiles[@]})); then run dockerfiles "$bin/hadolint" "${dockerfiles[@]}"; fi

if command -v promtool >/dev/null; then
  for config in monitoring/prometheus/prometheus*.yml; do
    if [[ -f "$config" ]]; then run "$(basename "$config")" promtool check config "$config"; fi
  done
  mapfile -t rule_tests < <(git ls-files 'monitoring/**/tests/*.yml')
  if ((${#rule_tests[@]})); then run alert-rules promtool test rules "${rule_tests[@]}"; fi
else
  skip prometheus-config "no promtool on this machine (Debian: apt-get install prometheus)"
fi

if command -v amtool >/dev/null; then
  run alertmanager amtool check-config monitoring/alertmanager/alertmanager.yml
else
  skip alertmanager "no amtool on this machine (Debian: apt-get install prometheus-alertmanager)"
fi

if ((${#failed[@]})); then
  echo "failed: ${failed[*]}"
  exit 1
fi
echo "all checks passed"
