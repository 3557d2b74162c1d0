# The threat corpus answers by meaning.
# shellcheck shell=bash
found=$(post "$ASSISTANT/rag/query" '{"event_context": "many failed logins for one account within minutes", "top_k": 5}')
check "brute force is among the first five" True "$(json '"T1110" in json.dumps(d)' <<<"$found")"
check "top_k 21 is refused" 422 "$(status -H 'content-type: application/json' -d '{"event_context": "x", "top_k": 21}' "$ASSISTANT/rag/query")"
check "the corpus can be seeded again" 200 "$(status -X POST "$ASSISTANT/rag/seed")"
found=$(post "$ASSISTANT/rag/query" '{"event_context": "one address tried a password on many users, which alert is that", "top_k": 5}')
check "so is our rule for it" True "$(json '"PASSWORD_SPRAY" in json.dumps(d)' <<<"$found")"
check "past analyses stand beside them" True "$(json 'isinstance(d["past_analyses"], list)' <<<"$found")"
