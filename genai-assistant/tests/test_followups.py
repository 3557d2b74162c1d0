import pytest

from genai_assistant.clock import now_ms
from genai_assistant.followups import plan_in_conversation
from genai_assistant.plan import Kind
from genai_assistant.testing import event

NOW = 1_790_000_000_000
ALICE = "What happened to alice in the last 24 hours?"


@pytest.mark.parametrize(
    ("earlier", "question", "kind", "user", "window"),
    [
        ([ALICE], "And yesterday?", Kind.USER_ACTIVITY, "alice", "yesterday"),
        ([ALICE], "and bob?", Kind.USER_ACTIVITY, "bob", "24h"),
        ([ALICE], "What about user carol?", Kind.USER_ACTIVITY, "carol", "24h"),
        ([ALICE], "Is she anomalous?", Kind.USER_ANOMALY, "alice", "24h"),
        ([ALICE], "only from outside the US", Kind.USER_ACTIVITY, "alice", "24h"),
        ([ALICE, "And yesterday?"], "only from Germany", Kind.USER_ACTIVITY, "alice", "yesterday"),
        (["Is user bob anomalous?"], "in the last 7 days?", Kind.USER_ANOMALY, "bob", "7d"),
        (["Is user bob anomalous?"], "Only from outside the US", Kind.USER_ACTIVITY, "bob", "1h"),
        (["Who is riskiest?"], "and manager?", Kind.USER_ANOMALY, "manager", "1h"),
        (["Show failed logins"], "and yesterday?", Kind.FAILED_LOGINS, None, "yesterday"),
        (["Show failed logins"], "only of user bob", Kind.FAILED_LOGINS, "bob", "1h"),
        ([ALICE], "How healthy is the pipeline?", Kind.PIPELINE, None, "1h"),
        ([ALICE], "Who is riskiest?", Kind.TOP_RISK, None, "1h"),
        ([], "And yesterday?", Kind.UNSUPPORTED, None, "yesterday"),
        (["Write me a poem"], "and yesterday?", Kind.UNSUPPORTED, None, "yesterday"),
    ],
)
def test_a_follow_up_keeps_what_it_does_not_name(earlier, question, kind, user, window):
    made = plan_in_conversation(question, NOW, earlier)

    assert (made.kind, made.user, made.window.label) == (kind, user, window)


def test_the_clients_window_wins_over_the_conversations():
    made = plan_in_conversation("And bob?", NOW, [ALICE], context_window="3d")

    assert (made.user, made.window.label) == ("bob", "3d")


def ask(client, question, *earlier):
    body = {"question": question, "conversation": [{"question": one} for one in earlier]}
    response = client.post("/query", json=body)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["citation_check"]["dropped"] == 0, answer["answer"]
    return answer


def test_a_place_narrows_the_answer_to_events_from_there(client, serving):
    now = now_ms()
    serving.world.events = [
        event(
            number,
            "alice",
            now - number * 1000,
            metadata={"geo_location": "RU-MOW-Moscow" if number % 3 == 0 else "US-CA-SF"},
        )
        for number in range(1, 10)
    ]

    body = ask(client, "Only from outside the US", "What happened to alice?")

    assert 'user "alice" from outside "US" has 3 events' in body["answer"]
    assert body["understood"]["place"] == {"outside_country": "US"}
    assert body["understood"]["user"] == "alice"
    assert len(body["supporting_events"]) == 3


def test_a_conversation_of_other_shape_is_refused(client):
    body = {"question": "And yesterday?", "conversation": ["Is alice ok?"]}

    assert client.post("/query", json=body).status_code == 422
