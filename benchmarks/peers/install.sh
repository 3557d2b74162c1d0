#!/usr/bin/env bash
# Install what bench-speed compares with into .tools/bench-venv, once per list of versions.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=.tools/bench-venv
wanted="$(.venv/bin/python - <<'END'
import tomllib

with open("pyproject.toml", "rb") as file:
    print("\n".join(tomllib.load(file)["dependency-groups"]["bench"]))
END
)"
if [[ "$(cat "$venv/installed.txt" 2>/dev/null)" == "$wanted" ]]; then exit; fi

echo "installing the systems to compare with into $venv"
rm -rf "$venv"
"$(.venv/bin/python -c 'import sys; print(sys._base_executable)')" -m venv "$venv"
mapfile -t packages <<<"$wanted"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}"
printf '%s\n' "$wanted" >"$venv/installed.txt"
