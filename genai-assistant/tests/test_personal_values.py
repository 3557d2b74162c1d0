"""What a model on another machine is sent, whatever is asked: no value of a person."""

import pytest

from genai_assistant.clock import now_ms
from genai_assistant.plan import Kind
from genai_assistant.testing import ModelServer, alert_of, anomaly_of, event, user_row

USER, OTHER, UNREAD = "ada.lovelace", "grace-hopper", "zebedee"
CUSTOMER, HOST, ADDRESS = "CUST-004711", "ws-lovelace-07", "198.51.100.77"
VALUES = (USER, OTHER, UNREAD, CUSTOMER, HOST, ADDRESS)

# The name that stands at the end of each is not read as a user.
QUESTIONS = {
    Kind.USER_ANOMALY: [f"Is user {USER} anomalous, and {UNREAD}?"],
    Kind.USER_ACTIVITY: [f"What happened to {USER} beside {UNREAD}?"],
    Kind.ADDRESS_ACTIVITY: [f"What came from {ADDRESS}, asks {UNREAD}?"],
    Kind.TOP_RISK: [f"Who is riskiest beside {UNREAD}?"],
    Kind.OPEN_ALERTS: [f"Which alerts are open, asks {UNREAD}?"],
    Kind.EXPLAIN_ALERT: ["Explain alert al_00aa11bb22cc", f"Explain alert {UNREAD}-9"],
    Kind.EXPLAIN_EVENT: ["Explain event evt_000000000001", f"Explain event {UNREAD}-9"],
    Kind.FAILED_LOGINS: [f"Show failed logins, asks {UNREAD}"],
    Kind.TECHNIQUE: [f"What does T1110.003 mean here, asks {UNREAD}?"],
    Kind.PIPELINE: [f"How healthy is the pipeline, asks {UNREAD}?"],
    Kind.COUNTS: [f"How many events do we have, asks {UNREAD}?"],
    Kind.TOPS: ["Which users are busiest?", "Top hosts", "Top source addresses", "Top sessions"],
    Kind.TREND: [f"Is the activity of {USER} rising, asks {UNREAD}?", "Events by host over time"],
    Kind.COMPARE: [f"Compare {USER} with her usual, asks {UNREAD}"],
    Kind.LAYERS: [f"Did the batch and live layers disagree, asks {UNREAD}?"],
    Kind.TRANSACTIONS: [f"Which customers buy most, asks {UNREAD}?"],
    Kind.OVERVIEW: [f"What suspicious things happened, asks {UNREAD}?"],
}


@pytest.fixture
def people(serving):
    """Two people whose names, hosts, addresses and customer numbers are in every view."""
    now = now_ms()
    world = serving.world
    session = f"session-{USER}"
    details = {"hostname": HOST, "geo_location": "US-CA-SF", "session_id": session}
    failed = [
        event(
            number,
            USER,
            now - number * 1000,
            status="failed",
            source_ip=ADDRESS,
            metadata=details,
            anomaly_score=0.9,
            is_anomaly=True,
        )
        for number in range(1, 6)
    ]
    world.events = failed
    world.anomalies = [
        anomaly_of(one, f"address {ADDRESS} never seen for {USER}") for one in failed
    ]
    world.alerts = [alert_of("al_00aa11bb22cc", failed)]
    flagged = user_row(OTHER, 0.8, is_anomaly=True, last_seen=now)
    world.users = {OTHER: flagged, USER: user_row(USER, 0.1, is_anomaly=False, last_seen=now)}
    world.batches = [{"batchId": "batch-1", "analysisType": "customer_segmentation"}]
    bought = {"customer_id": CUSTOMER, "segment": "vip", "lifetime_value": 9.5}
    world.analysis_rows = {"batch-1": [bought | {"total_transactions": 3}]}
    return serving


@pytest.mark.usefixtures("people")
def test_no_question_of_any_kind_sends_a_personal_value(open_client):
    assert {Kind.UNSUPPORTED, *QUESTIONS} == set(Kind)  # a model is not asked to say what we can
    with ModelServer() as server:
        client = open_client(openai_base_url=server.base_url, pseudonyms="always")
        for kind, questions in QUESTIONS.items():
            for question in questions:
                server.recorded.clear()
                body = client.post("/query", json={"question": question}).json()
                assert (body["kind"], body["citation_check"]["dropped"]) == (kind.value, 0), body
                assert len(server.recorded) == 1, body["mode"]
                sent = server.recorded[0].decode().lower()
                assert [one for one in VALUES if one.lower() in sent] == [], question


def test_values_come_back_where_a_ranking_names_them(open_client, people):
    assert people.world.batches
    with ModelServer() as server:
        client = open_client(openai_base_url=server.base_url, pseudonyms="always")
        told = {
            question: client.post("/query", json={"question": question}).json()["answer"]
            for question in ("Which users are busiest?", "Top hosts", "Which customers buy most?")
        }

    assert f'Value "{USER}": 5 events' in told["Which users are busiest?"]
    assert f'Value "{HOST}": 5 events' in told["Top hosts"]
    assert f'customer_id "{CUSTOMER}"' in told["Which customers buy most?"]
