#!/usr/bin/env bash
# Ask for known weaknesses of what requirements.lock pins. Exit 1 when there are some, 2 when no
# advisories could be reached: then nothing was audited.
set -euo pipefail
cd "$(dirname "$0")/../.."

bin="${BIN:-.venv/bin}"
report="$(mktemp)"
trap 'rm -f "$report"' EXIT
status=0
"$bin/pip-audit" -r requirements.lock --disable-pip --no-deps --timeout 5 --progress-spinner off \
  --format json --output "$report" >/dev/null 2>&1 || status=$?

"$bin/python" - "$report" "$status" <<'PYTHON'
import json
import sys
from pathlib import Path

text = Path(sys.argv[1]).read_text(encoding="utf-8")
found = json.loads(text)["dependencies"] if text else []
audited = [each for each in found if "skip_reason" not in each]
if not audited:
    print("no advisories could be reached: nothing was audited")
    sys.exit(2)
weak = [each for each in audited if each["vulns"]]
for each in weak:
    for vulnerability in each["vulns"]:
        fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
        print(f"{each['name']} {each['version']}: {vulnerability['id']}, fixed in {fixed}")
print(f"{len(audited)} of {len(found)} packages audited, {len(weak)} with known weaknesses")
sys.exit(1 if weak else 0)
PYTHON
