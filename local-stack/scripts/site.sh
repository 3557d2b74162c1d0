#!/usr/bin/env bash
# Build the documentation as a site, strictly: a page outside the navigation, a link or an anchor
# that leads nowhere ends it. Its argument is the folder to write (default: site).
set -euo pipefail
cd "$(dirname "$0")/../.."

bin="${BIN:-.venv/bin}"
SITE_PAGES="$(mktemp -d)"
SITE_DIR="$(realpath -m "${1:-site}")"
export SITE_PAGES SITE_DIR
trap 'rm -rf "$SITE_PAGES"' EXIT
# What git knows and what is about to be added, without what was deleted but not yet committed.
git ls-files -z --cached --others --exclude-standard |
  while IFS= read -r -d '' file; do [[ -f "$file" ]] && printf '%s\0' "$file"; done |
  xargs -0 cp --parents -t "$SITE_PAGES"
NO_MKDOCS_2_WARNING=1 "$bin/mkdocs" build --strict
