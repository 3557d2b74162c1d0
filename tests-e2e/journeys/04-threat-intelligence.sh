# Threat intelligence stands in the answer when asked for, and not otherwise.
# shellcheck shell=bash
answer=$(post "$ASSISTANT/query" '{"question": "What does technique T1110 brute force mean here?"}')
check "threat intelligence is in it" True "$(json 'any("T1110" in json.dumps(item) for item in d["threat_intel"])' <<<"$answer")"
check "its source is named" True "$(json '"rag" in d["sources_used"]' <<<"$answer")"
answer=$(post "$ASSISTANT/query" '{"question": "Is user alice anomalous?", "include_threat_intel": false}')
check "it can be left out" "[]" "$(json 'd["threat_intel"]' <<<"$answer")"
