"""What an undisturbed run makes of good, bad, repeated and aborted records."""

import json

import pytest

from contracts.topics import dead_letter_topic

pytestmark = pytest.mark.integration

TOPIC = "security-events"


def test_every_offset_is_accounted_for(reference, hard_topic):
    assert [p["partition"] for p in reference.positions] == [0, 1]
    for position in reference.positions:
        accounted = sum(
            position[name] for name in ("rows", "dead_letters", "duplicates", "skipped")
        )
        assert position["first_offset"] == 0
        assert position["next_offset"] == hard_topic.ends[TOPIC, position["partition"]]
        assert accounted == position["next_offset"]
        assert position["lost"] == 0


def test_counts_are_those_of_what_was_produced(reference, events):
    total = {
        name: sum(position[name] for position in reference.positions)
        for name in ("rows", "dead_letters", "duplicates", "skipped")
    }

    # 500 aborted records, 2 at the end; per partition markers of three transactions
    assert total == {
        "rows": len(events) + 1,
        "dead_letters": 8,
        "duplicates": 50,
        "skipped": 502 + 6,
    }


def test_rows_carry_the_record_as_read(reference, events):
    rows = [row for store in reference.stores.values() for row in store["rows"]]
    stored = {row["event_id"]: row for row in rows if row["kind"] == 0}

    assert {row["raw"] for row in stored.values()} >= set(events)
    assert json.loads(stored["evt_unknown"]["raw"])["colour"] == {"deep": [1]}
    assert all(row["raw"] is None and row["user"] is None for row in rows if row["kind"] != 0)


def test_dead_letters_say_where_they_came_from(reference, read_topic):
    letters = {}
    for message in read_topic(dead_letter_topic(TOPIC)):
        headers = {name: value.decode() for name, value in message.headers()}
        letters[headers["source-offset"]] = (headers, message.value())

    assert len(letters) == 8
    assert sorted(headers["reason"] for headers, _ in letters.values()) == [
        "empty",
        "empty",
        "invalid",
        "invalid",
        "invalid",
        "invalid",
        "too_large",
        "undecodable",
    ]
    largest = max(letters.values(), key=lambda letter: len(letter[1] or b""))
    assert len(largest[1]) > 5_000_000
    assert largest[0]["error"].startswith(f"{len(largest[1])} bytes")
    assert largest[0]["source-topic"] == TOPIC
    assert largest[0]["source-partition"] == "0"
    named = [headers["error"].split(":")[0] for headers, _ in letters.values()]
    assert [named.count(field) for field in ("timestamp", "event_id")] == [3, 1]
    assert b"\xff\xfe no json" in {value for _, value in letters.values()}


def test_alerts_and_notifications_are_published(reference, read_topic):
    raised = [
        json.loads(body) for store in reference.stores.values() for *_, body in store["alerts"]
    ]
    published = {
        json.loads(message.value())["alertId"] for message in read_topic("security-alerts")
    }
    notified = {json.loads(message.value())["alertId"] for message in read_topic("notifications")}

    assert raised
    assert published == {alert["alert_id"] for alert in raised}
    assert notified == {
        alert["alert_id"] for alert in raised if alert["severity"] in ("HIGH", "CRITICAL")
    }
    assert all(store["outbox"] == [] for store in reference.stores.values())


def test_metrics_count_what_was_stored(reference, events):
    samples = dict(
        line.rsplit(" ", 1)
        for line in reference.metrics.splitlines()
        if line and not line.startswith("#")
    )
    processed = sum(
        float(value)
        for name, value in samples.items()
        if name.startswith("streamguard_events_processed_total{")
    )

    assert processed == len(events) + 1 + 50
    assert float(samples["streamguard_processing_latency_seconds_count"]) > len(events)
    assert samples['speed_dead_letters_total{reason="too_large",topic="security-events"}'] == "1.0"
    assert samples["streamguard_storage_errors_total"] == "0.0"
    assert samples['speed_consumer_lag{partition="0",topic="security-events"}'] == "0.0"
