#!/usr/bin/env bash
# Install everything a checkout needs, from Python 3.11+ alone: uv, the packages of the lock,
# the workspace members, then (python -m local_stack setup) Java, jars, class archive.
set -euo pipefail
cd "$(dirname "$0")/../.."

python="${PYTHON:-python3}"
tools=.tools
uv="$tools/uv/bin/uv"
members=(contracts detection event-generator speed-layer batch-layer serving-layer genai-assistant local-stack cli monitoring)

say() { printf '%s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

command -v "$python" >/dev/null || fail "no $python found: install Python 3.11 or newer, or set PYTHON"
version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
"$python" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' ||
  fail "$python is Python $version; 3.11 or newer is needed (set PYTHON to one: make setup PYTHON=python3.12)"

# shellcheck source=local-stack/scripts/index.sh
source local-stack/scripts/index.sh

if ! "$uv" --version 2>/dev/null | grep -q "^uv $(sed -n 's/^uv==\([0-9.]*\).*/\1/p' local-stack/scripts/uv.txt)\b"; then
  say "installing uv into $tools/uv"
  rm -rf "$tools/uv"
  "$python" -m venv "$tools/uv" ||
    fail "$python cannot make a virtual environment (on Debian: apt-get install python3-venv)"
  "$tools/uv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
    -r local-stack/scripts/uv.txt
fi

if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' 2>/dev/null; then
  say "creating .venv with Python $version"
  "$uv" venv --quiet --clear --python "$("$python" -c 'import sys; print(sys.executable)')" .venv
fi

say "installing the packages of requirements.lock"
editable=()
for member in "${members[@]}"; do
  editable+=(-e "./$member")
done
quiet=(--quiet)
if [[ -t 2 ]]; then quiet=(); fi
VIRTUAL_ENV="$PWD/.venv" "$uv" pip install "${quiet[@]}" -c requirements.lock --group dev "${editable[@]}"

.venv/bin/python -m local_stack setup

say "compiling detection (about a minute the first time)"
.venv/bin/python -c "import speed_layer.warmed"
