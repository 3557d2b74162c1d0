# Journeys 3, 4, 7 and 9 once more, asked of an assistant whose words come from a scripted model.
# shellcheck shell=bash disable=SC1090,SC2154
start_assistant_with_model
without_model=$ASSISTANT
ASSISTANT=$with_model
for again in 03-basic-question 04-threat-intelligence 07-retrieval 09-training-data; do
    printf '  %s, with a model\n' "$again"
    . "tests-e2e/journeys/$again.sh"
done
check "its answers are worded by the model" gpt-4o-mini \
    "$(post "$ASSISTANT/query" '{"question": "Is user manager anomalous?"}' | json 'd["mode"]')"
ASSISTANT=$without_model
stop_assistant_with_model
