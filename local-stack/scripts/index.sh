# Sourced by scripts that run uv: gives it the package index and certificates that pip has.
# uv does not read pip's configuration; a machine that needs a mirror has it there.
from_pip() { "${PYTHON:-python3}" -m pip config get "$1" 2>/dev/null || true; }
if [[ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]]; then
  index="${PIP_INDEX_URL:-$(from_pip global.index-url)}"
  if [[ -n "$index" ]]; then export UV_DEFAULT_INDEX="$index"; fi
fi
certificates="${PIP_CERT:-$(from_pip global.cert)}"
if [[ -z "${SSL_CERT_FILE:-}" && -n "$certificates" ]]; then export SSL_CERT_FILE="$certificates"; fi
