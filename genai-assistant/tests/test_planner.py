import re

import pytest

from genai_assistant.plan import Kind
from genai_assistant.planner import plan
from genai_assistant.windows import CLOCK_SKEW_MS, CONTEXT_WINDOW

NOW = 1_790_000_000_000
HOUR = 3_600_000


@pytest.mark.parametrize(
    ("question", "kind", "subject"),
    [
        ("Is user manager anomalous?", Kind.USER_ANOMALY, "manager"),
        ("Is manager anomalous and why?", Kind.USER_ANOMALY, "manager"),
        ("is the user bob.smith@corp.example risky?", Kind.USER_ANOMALY, "bob.smith@corp.example"),
        ("Why was alice flagged yesterday?", Kind.USER_ANOMALY, "alice"),
        ("Show me anomalies for user admin", Kind.USER_ANOMALY, "admin"),
        ("Has carol been acting strange?", Kind.USER_ANOMALY, "carol"),
        ("What happened to alice in the last 24 hours?", Kind.USER_ACTIVITY, "alice"),
        ("What did carol do in the last 3 days?", Kind.USER_ACTIVITY, "carol"),
        ("Tell me about user manager", Kind.USER_ACTIVITY, "manager"),
        ("Summarize alice's activity", Kind.USER_ACTIVITY, "alice"),
        ("Who is riskiest?", Kind.TOP_RISK, None),
        ("Which users are anomalous?", Kind.TOP_RISK, None),
        ("Show me the top anomalies", Kind.TOP_RISK, None),
        ("Which alerts are open and what should I do first?", Kind.OPEN_ALERTS, None),
        ("What should we handle first?", Kind.OPEN_ALERTS, None),
        ("Are there alerts for user bob?", Kind.OPEN_ALERTS, "bob"),
        ("Show failed logins from 10.0.0.1", Kind.FAILED_LOGINS, "10.0.0.1"),
        ("failed logins of bob today", Kind.FAILED_LOGINS, "bob"),
        ("How many failed login attempts were there?", Kind.FAILED_LOGINS, None),
        ("What happened from 2001:db8::1?", Kind.ADDRESS_ACTIVITY, "2001:db8::1"),
        ("Explain alert al_12ab34cd", Kind.EXPLAIN_ALERT, "al_12ab34cd"),
        ("Explain alert 3f9a0b1c2d", Kind.EXPLAIN_ALERT, "3f9a0b1c2d"),
        ("Explain event evt_0a1b2c", Kind.EXPLAIN_EVENT, "evt_0a1b2c"),
        ("What does T1110.003 mean here?", Kind.TECHNIQUE, "T1110.003"),
        ("What is credential stuffing?", Kind.TECHNIQUE, None),
        ("How do I detect DNS tunnelling?", Kind.TECHNIQUE, None),
        ("What are the indicators of a brute force attack?", Kind.TECHNIQUE, None),
        ("How healthy is the pipeline?", Kind.PIPELINE, None),
        ("Is anything missing or double?", Kind.PIPELINE, None),
        ("Did the batch and live layers disagree?", Kind.LAYERS, None),
        ("Do the layers agree?", Kind.LAYERS, None),
        ("Compare alice with her usual", Kind.COMPARE, "alice"),
        ("Is bob busier than usual?", Kind.COMPARE, "bob"),
        ("Top 5 source addresses today", Kind.TOPS, None),
        ("Failed logins by country", Kind.TOPS, None),
        ("Which hosts have the most events?", Kind.TOPS, None),
        ("Who are the most active users?", Kind.TOPS, None),
        ("How do failed logins change over time?", Kind.TREND, None),
        ("Is the activity of alice rising?", Kind.TREND, "alice"),
        ("Events per hour in the last 24 hours", Kind.TREND, None),
        ("How many DNS queries were there today?", Kind.COUNTS, None),
        ("Which region has the most fraud?", Kind.TRANSACTIONS, None),
        ("How much revenue by category?", Kind.TRANSACTIONS, None),
        ("How do I detect payment fraud?", Kind.TECHNIQUE, None),
        ("How many events do we have?", Kind.COUNTS, None),
        ("Are there any suspicious logins?", Kind.OVERVIEW, None),
        ("What threats were detected in the last hour?", Kind.OVERVIEW, None),
        ("What's the weather in Paris?", Kind.UNSUPPORTED, None),
        ("Write me a poem about cats", Kind.UNSUPPORTED, None),
    ],
)
def test_a_question_is_understood(question, kind, subject):
    made = plan(question, NOW)

    named = {made.user, made.address, made.alert_id, made.event_id, made.technique} - {None}
    assert made.kind is kind
    assert named == ({subject} if subject else set())


@pytest.mark.parametrize(
    ("question", "hours", "label"),
    [
        ("Is user bob anomalous?", 1, "1h"),
        ("What did bob do in the last 24 hours?", 24, "24h"),
        ("What did bob do in the past 2 weeks?", 336, "2w"),
        ("What did bob do in the last day?", 24, "1d"),
        ("What did bob do in the last month?", 720, "30d"),
    ],
)
def test_a_window_is_read_from_the_question(question, hours, label):
    window = plan(question, NOW).window

    assert (NOW - window.start_ms, window.label) == (hours * HOUR, label)
    assert window.end_ms == NOW + CLOCK_SKEW_MS


def test_yesterday_is_the_utc_day_before():
    window = plan("What did bob do yesterday?", NOW).window

    assert window.length_ms == 24 * HOUR
    assert window.end_ms % (24 * HOUR) == 0
    assert window.end_ms <= NOW


def test_the_clients_window_and_user_win():
    made = plan("What did bob do in the last 24 hours?", NOW, context_window="3d", user_id="eve")

    assert (made.user, made.window.label) == ("eve", "3d")


def test_an_absurd_window_reaches_back_to_the_beginning_only():
    assert plan("What did bob do?", NOW, context_window="9999999w").window.start_ms >= 0


@pytest.mark.parametrize(
    ("text", "is_good"), [("1h", True), ("90d", True), ("h", False), ("1m", False)]
)
def test_context_window_syntax(text, is_good):
    assert bool(re.match(CONTEXT_WINDOW, text)) is is_good
