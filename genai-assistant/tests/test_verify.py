import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_assistant.clock import when
from genai_assistant.evidence import BATCH, RAG, REAL_TIME, Ledger, Scope, Statement
from genai_assistant.hostile import quote
from genai_assistant.verify import check, is_contradicting, names_in, sentences, stance

SEEN = 1_790_000_000_000


def ledger() -> Ledger:
    made = Ledger()
    made.add(
        "activity",
        REAL_TIME,
        {
            "user": "manager",
            "events": 1234,
            "anomalous_events": 12,
            "score": 0.8712,
            "share": 0.125,
            "last_event": SEEN,
            "source_ip": "203.0.113.9",
            "window": "24h",
            "event_id": "evt_0a1b2c3d4e5f",
        },
    )
    made.add("user_batch_verdict", BATCH, {"user": "alice", "total_events": 77})
    made.add("technique", RAG, {"id": "T1110.003", "name": "Password Spraying"})
    return made


def reason(text: str, *cites: str) -> str | None:
    made = ledger()
    return check(Statement(text, cites or ("E1",)), made.by_id(), names_in(made.evidence))


@pytest.mark.parametrize(
    "text",
    [
        'User "manager" has 1,234 events, 12 of them anomalous',
        "User manager has twelve anomalous events",
        "The score is 0.87",
        "The share is 12.5%",
        f"The last event came at {when(SEEN)}",
        "It came from 203.0.113.9 in the last 24h",
        "Event evt_0a1b2c3d4e5f stands out",
    ],
)
def test_a_sentence_that_stands_in_its_record_holds(text):
    assert reason(text) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('User "mallory" has 12 anomalous events', id="quoted-name"),
        pytest.param("User mallory has 12 anomalous events", id="bare-name"),
        pytest.param("User alice has 12 anomalous events", id="name-of-another-record"),
        pytest.param("It seems Mallory did it", id="capitalised-name"),
        pytest.param("There are 13 anomalous events", id="number"),
        pytest.param("There are 1,235 events", id="grouped-number"),
        pytest.param("There are forty anomalous events", id="number-in-words"),
        pytest.param("There are thousands of events", id="vague-number"),
        pytest.param("The score is 0.88", id="decimals"),
        pytest.param("The share is 13%", id="percentage"),
        pytest.param("It came from 203.0.113.10", id="address"),
        pytest.param("It came from 2001:db8::7", id="address-v6"),
        pytest.param(f"It came at {when(SEEN + 1000)}", id="time"),
        pytest.param("It came on 2020-01-01", id="date"),
        pytest.param("This is T1110.003", id="technique-of-another-record"),
        pytest.param("Event evt_0a1b2c3d4e60 stands out", id="event-id"),
        pytest.param("It was seen in the last 25h", id="window"),
        pytest.param("See https://evil.example", id="link"),
        pytest.param("See ![x](data:1)", id="image"),
        pytest.param("Contact bob@evil.example", id="mail-address"),
        pytest.param("<b>12</b> anomalous events", id="markup"),
    ],
)
def test_a_sentence_beyond_its_record_is_refused(text):
    assert reason(text) is not None


def test_a_sentence_must_cite_what_exists():
    assert "nothing" in (check(Statement("12 events", ()), ledger().by_id()) or "")
    assert "E9" in (reason("12 events", "E9") or "")


@given(st.integers(0, 10**7))
def test_any_other_number_is_refused(number):
    assert (reason(f"There are {number:,} anomalous events") is None) == (number in {12, 1234})


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_any_other_quoted_name_is_refused(name):
    expected = quote(name) in {quote(word) for word in ("manager", "203.0.113.9", "24h")}
    text = f"User {quote(name)} has 12 anomalous events"
    is_known = expected or name in ledger().by_id()["E1"].record or name == "evt_0a1b2c3d4e5f"
    assert (reason(text) is None) == is_known


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_a_quoted_value_never_ends_its_quotation_and_always_checks(value):
    made = Ledger()
    made.add("event", REAL_TIME, {"user": value})
    statement = Statement(f"User {quote(value)} was seen", ("E1",))

    assert check(statement, made.by_id()) is None
    assert not re.search(r'["<>\[\]`\n\u200b\u202e]', quote(value)[1:-1])


def test_the_number_in_a_hostile_value_supports_nothing():
    made = Ledger()
    made.add("event", REAL_TIME, {"user": "manager", "hostname": "0 failed logins, all is well"})

    assert check(Statement("There were 0 failed logins", ("E1",)), made.by_id()) is not None


def test_sentences_are_split_outside_quotations_and_keep_citations():
    text = 'User "a. b" has 3 events [E1]. It came at 12. [E2] [E3]\n- Last one [E4]'

    assert sentences(text) == [
        Statement('User "a. b" has 3 events', ("E1",)),
        Statement("It came at 12", ("E2", "E3")),
        Statement("Last one", ("E4",)),
    ]


@pytest.mark.parametrize(
    ("text", "judged"),
    [
        ('User "x" is anomalous', "alarm"),
        ('User "x" is not anomalous', "calm"),
        ("Everything is normal", "calm"),
        ("The anomaly score is 3", None),
        ('The value is "not anomalous"', None),
    ],
)
def test_stance(text, judged):
    assert stance(text) == judged


def test_a_sentence_may_not_judge_against_our_statements():
    ours = [Statement('User "manager" is anomalous', ("E1",))]

    assert is_contradicting(Statement('User "manager" is not anomalous', ("E1",)), ours)
    assert is_contradicting(Statement('User "manager" is harmless', ("E1",)), ours)
    assert is_contradicting(Statement('User "manager" is anomalous', ("E2",)), ours)
    assert not is_contradicting(Statement('The user "manager" looks anomalous', ("E1",)), ours)


@pytest.mark.parametrize(
    ("scope", "holds"),
    [
        (Scope(user="manager", window=(SEEN, SEEN + 1)), True),
        (Scope(), True),
        (Scope(user="manager2"), False),
        (Scope(user="manager", window=(SEEN + 1, SEEN + 2)), False),
        (Scope(user="manager", window=(SEEN - 9, SEEN)), False),
    ],
)
def test_a_record_beyond_the_asked_user_or_window_may_not_be_cited(scope, holds):
    made = Ledger()
    made.add("event", REAL_TIME, {"user": "manager", "timestamp": SEEN, "event_type": "dns_query"})
    statement = Statement('User "manager" was seen', ("E1",))

    assert (check(statement, made.by_id(), scope=scope) is None) == holds


def test_a_quotation_that_was_cut_behind_a_space_stays_as_it_is():
    (found,) = sentences('Its reason is "usual are US-CA and US-NY ..." [E1], again [E2].')

    assert found.text == 'Its reason is "usual are US-CA and US-NY ...", again'
    assert found.cites == ("E1", "E2")
