#!/usr/bin/env bash
# Write requirements.lock anew (pins that still fit stay), or with --check say whether it is current.
set -euo pipefail
cd "$(dirname "$0")/../.."

uv="${UV:-.tools/uv/bin/uv}"
members=(contracts detection event-generator speed-layer batch-layer serving-layer genai-assistant local-stack cli monitoring)
skip=()
for member in "${members[@]}"; do
  skip+=(--no-emit-package "streamguard-${member}")
done

compile() { # $1: the file to bring up to date
  "$uv" pip compile --quiet --universal --generate-hashes --no-annotate --no-header "${skip[@]}" \
    pyproject.toml --group pyproject.toml:dev --group pyproject.toml:jre -o "$1" >/dev/null
}

if [[ "${1:-}" != "--check" ]]; then
  compile requirements.lock
  exit
fi

draft="$(mktemp -d)"
trap 'rm -rf "$draft"' EXIT
cp requirements.lock "$draft/requirements.lock"
compile "$draft/requirements.lock"
if ! diff -u requirements.lock "$draft/requirements.lock" >"$draft/difference"; then
  echo "requirements.lock does not fit the pyproject files: run \`make lock\` and commit it" >&2
  head -n 40 "$draft/difference" >&2
  exit 1
fi
