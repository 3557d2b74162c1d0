"""Counts, tops, trends, comparisons, disagreement, transactions: figures told exactly."""

import pytest

from genai_assistant.clock import now_ms
from genai_assistant.testing import World, alert_of, event, user_row

HOUR = 3_600_000


@pytest.fixture
def many(serving):
    """40 events of alice in the last hour, 14 of them failed, and 5 in each hour before."""
    now = now_ms()
    recent = [
        event(
            number,
            "alice",
            now - (number + 1) * 60_000,
            source_ip="203.0.113.9" if number % 4 == 0 else "10.0.0.5",
            status="failed" if number % 3 == 0 else "success",
            event_type="dns_query" if number % 10 == 0 else "auth_attempt",
        )
        for number in range(40)
    ]
    before = [
        event(100 + number, "alice", now - HOUR - 70_000 - number * 12 * 60_000)
        for number in range(40)
    ]
    serving.world = World(
        events=[*recent, *before],
        users={"alice": user_row("alice", 0.1, is_anomaly=False, last_seen=now)},
    )
    return serving


def ask(client, question):
    answer = client.post("/query", json={"question": question}).json()
    assert answer["citation_check"]["dropped"] == 0, answer["answer"]
    return answer


def test_counts_within_what_the_question_names(client, many):
    body = ask(client, "How many failed events does user alice have?")

    assert 'there are 14 events with status "failed" of user "alice"' in body["answer"]
    assert "there are 4 events" in ask(client, "How many DNS queries were there?")["answer"]


def test_the_most_frequent_values_of_a_field(client, many):
    body = ask(client, "Top source addresses")

    assert body["kind"] == "tops"
    assert 'Value "10.0.0.5": 30 events [E1].\nValue "203.0.113.9": 10 events' in body["answer"]


def test_tops_of_a_field_with_known_values_are_exact_beyond_what_is_examined(client, serving):
    now = now_ms()
    serving.world = World(
        events=[
            event(n, "alice", now - n, status="failed" if n % 2 else "success")
            for n in range(1, 1501)
        ]
    )

    answer = ask(client, "Events by status")["answer"]

    assert 'Value "failed": 750 events' in answer
    assert "newest" not in answer
    assert "looks at the newest 500" in ask(client, "Events by host")["answer"]


def test_a_trend_counts_every_slice(client, many):
    body = ask(client, "Is the activity of alice rising in the last 2 hours?")

    assert 'events of user "alice" is rising' in body["answer"]
    record = body["evidence"][0]["record"]
    assert sum(one["events"] for one in record["slices"]) == record["events"] == 45
    assert record["earlier_half"] + record["later_half"] == 45


def test_a_trend_by_a_field_is_told_by_its_values(client, many):
    body = ask(client, "Failed logins by source address over time")

    assert (body["kind"], body["understood"]["field"]) == ("trend", "source_ip")
    assert 'Value "10.0.0.5" is' in body["answer"]
    record = body["evidence"][-1]["record"]
    assert record["field"] == "source_ip"
    told = sum(one["earlier_half"] + one["later_half"] for one in record["top"])
    assert told == body["evidence"][0]["record"]["events"]


def test_a_trend_of_too_many_events_says_that_it_is_not_split(client, many, monkeypatch):
    monkeypatch.setattr("genai_assistant.questions.trend.EXAMINED", 3)

    answer = ask(client, "Failed logins by country over time")["answer"]

    assert 'It is not split by the field "country"' in answer
    assert "the newest 3 were read" in answer


def test_a_comparison_with_the_usual(client, many):
    body = ask(client, "Compare alice with her usual")

    assert 'there are 40 events of user "alice"; usual is 5' in body["answer"]
    assert '1 of them new: "203.0.113.9"' in body["answer"]


def test_layers_that_disagree_are_told_by_user(client, serving):
    serving.world.users["alice"]["is_anomaly"] = True
    serving.world.users["manager"]["is_anomaly"] = False

    body = ask(client, "Did the batch and live layers disagree?")

    assert (body["verdict"], body["confidence"]) == ("mixed", 1.0)
    assert 'Only the batch layer flags 1 user: "alice"' in body["answer"]
    assert 'Only the live layer flags 1 user: "manager"' in body["answer"]


def test_layers_that_agree(client):
    body = ask(client, "Do the layers agree?")

    assert body["verdict"] is None
    assert body["confidence"] == 1.0
    assert "Both flag 1 user" in body["answer"]


def test_beyond_the_flagged_users_that_were_read_a_disagreement_is_a_least(
    client, serving, monkeypatch
):
    monkeypatch.setattr("genai_assistant.questions.layers.FLAGGED_PAGE", 2)
    serving.world.users = {
        name: user_row(name, 0.9, is_anomaly=True, last_seen=now_ms())
        for name in ("alice", "bob", "manager")
    }

    answer = ask(client, "Did the batch and live layers disagree?")["answer"]

    assert "The layers disagree about at least 2 users" in answer
    assert "Both flag at least 0 users" in answer
    assert "the 2 of the highest scores were compared" in answer
    assert "Only the live layer" not in answer  # manager is flagged by both, further down


def test_open_alerts_are_counted_exactly_beyond_those_listed(client, serving, monkeypatch):
    monkeypatch.setattr("genai_assistant.questions.alerts.PAGE", 4)
    monkeypatch.setattr("genai_assistant.questions.alerts.SERIOUS_PAGE", 2)
    failed = serving.world.events[:2]
    severities = ["LOW"] * 30 + ["HIGH"] * 9 + ["CRITICAL"] * 3
    serving.world.alerts = [
        alert_of(f"al_{number:04d}", failed, severity=severity)
        for number, severity in enumerate(severities)
    ]

    body = ask(client, "Which alerts are open?")

    assert "Open: 42 alerts (3 CRITICAL, 9 HIGH, 30 LOW)" in body["answer"]
    assert "at least" not in body["answer"]
    assert "The newest and most severe 8 were looked at" in body["answer"]
    record = body["evidence"][0]["record"]
    assert record["by_severity"] == {"CRITICAL": 3, "HIGH": 9, "MEDIUM": 0, "LOW": 30}


def test_without_a_count_what_was_listed_is_a_least(client, serving, monkeypatch):
    monkeypatch.setattr("genai_assistant.questions.alerts.PAGE", 4)
    failed = serving.world.events[:2]
    serving.world.alerts = [alert_of(f"al_{n:04d}", failed, severity="LOW") for n in range(9)]
    plainly = serving.answer
    serving.answer = lambda path, params: (
        None if path[1:] == ["alerts", "count"] else plainly(path, params)
    )

    answer = ask(client, "Which alerts are open?")["answer"]

    assert "Open: at least 4 alerts (at least 4 LOW), the last seen at" in answer


FRAUD = [
    {"category": "toys", "region": "north", "fraud_count": 4, "fraud_total_amount": 100.5},
    {"category": "electronics", "region": "east", "fraud_count": 9, "fraud_total_amount": 2000.25},
]


@pytest.mark.parametrize("kind", ["fraud_analysis", "full_report"])
def test_fraud_is_answered_from_the_newest_finished_analysis(client, serving, kind):
    done = {"rowCount": 5000, "endTime": "2026-01-02T03:04:05Z"}
    serving.world.batches = [
        {"batchId": "batch-20260102-00000003", "analysisType": "channel_performance", **done},
        {"batchId": "batch-20260102-00000002", "analysisType": kind, **done},
        {"batchId": "batch-20260102-00000001", "analysisType": kind, **done},
    ]
    rows = FRAUD if kind == "fraud_analysis" else {"fraud_analysis": FRAUD}
    serving.world.analysis_rows = {"batch-20260102-00000002": rows}

    body = ask(client, "Where is the most fraud?")

    assert "fraud_count 13, fraud_total_amount 2,100.75" in body["answer"]
    assert 'Number 1: category "electronics", region "east", with fraud_count 9' in body["answer"]
    assert "2026-01-02 03:04:05 UTC" in body["answer"]
    assert body["action_details"][0]["runbook"] == "payment-fraud"


def test_fraud_without_a_finished_batch_is_not_guessed(client):
    body = ask(client, "How much fraud is there?")

    assert "not enough evidence" in body["answer"]
    assert (body["verdict"], body["action_details"][0]["runbook"]) == ("unknown", "widen")


def test_where_only_purchases_were_scored_a_question_about_fraud_is_answered_from_them(
    client, serving
):
    serving.world.batches = [{"batchId": "batch-1", "analysisType": "fraud_scoring"}]
    row = {"transaction_id": "TXN-1", "customer_id": "CUST-1", "total_amount": 5.0, "risk": 0.75}
    serving.world.analysis_rows = {"batch-1": [{**row, "reasons": ["city Oslo is new"]}]}

    answer = ask(client, "Where is the most fraud?")["answer"]

    assert "It finds 1 transaction" in answer
    assert 'transaction_id "TXN-1", customer_id "CUST-1", with risk 0.75' in answer
