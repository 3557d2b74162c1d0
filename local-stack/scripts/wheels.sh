#!/usr/bin/env bash
# Build a wheel of every member (into dist/, or the folder given), then install the command from
# them into a clean environment and have it check the rules that come with it.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=local-stack/scripts/index.sh
source local-stack/scripts/index.sh

uv="$PWD/.tools/uv/bin/uv"
dist="$(realpath -m "${1:-dist}")"
for member in */pyproject.toml; do
  "$uv" build --quiet --wheel --out-dir "$dist" "${member%/*}"
done

clean="$(mktemp -d)"
trap 'rm -rf "$clean"' EXIT
"$uv" venv --quiet --python .venv/bin/python "$clean/venv"
VIRTUAL_ENV="$clean/venv" "$uv" pip install --quiet -c requirements.lock --find-links "$dist" \
  "$dist"/streamguard_cli-*.whl "$dist"/streamguard_contracts-*.whl "$dist"/streamguard_detection-*.whl
cd "$clean"
unset PYTHONPATH
echo "streamguard $(venv/bin/streamguard --version)"
venv/bin/streamguard rules check
echo "wheels: $(cd "$dist" && echo *.whl)"
