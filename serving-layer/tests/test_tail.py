"""The merged answers of a running serving layer, whatever the speed layer does."""

from contracts import service_key
from contracts.views import RecordKind
from serving_layer.testing import (
    RunPartition,
    SpeedServer,
    alert_record,
    event_record,
    publish_run,
    removed_record,
)

TOPIC = "security-events"


def published(stack, run_id, records, next_offset, **values):
    publish_run(stack.lake, run_id, [RunPartition(TOPIC, 0, records, next_offset, **values)])


def offsets(body):
    return [event["offset"] for event in body["data"]]


def test_batch_rows_below_the_seam_and_realtime_rows_from_it_on(stack):
    records = [event_record(offset) for offset in range(20)]
    published(stack, "r1", records[:12], 12)
    stack.speed.partition(TOPIC, 0).append(records)
    stack.start()

    body = stack.json("/api/events", limit=50)

    assert offsets(body) == list(range(19, -1, -1))
    assert body["sources"] == {"batch": 12, "realtime": 8}
    assert body["complete"] is True
    assert {event["source"] for event in body["data"][8:]} == {"batch"}


def test_a_speed_layer_that_asks_for_the_service_key_is_read_with_it(stack, monkeypatch):
    monkeypatch.setenv("SERVICE_KEY", "k-0123456789abcdef")
    service_key.service_key.cache_clear()
    try:
        stack.speed.key = "k-0123456789abcdef"
        stack.speed.partition(TOPIC, 0).append([event_record(offset) for offset in range(3)])
        stack.start()

        assert stack.json("/api/events/count")["count"] == 3
    finally:
        service_key.service_key.cache_clear()


def test_without_a_run_everything_comes_from_the_speed_layer(stack):
    stack.speed.partition(TOPIC, 0).append([event_record(offset) for offset in range(3)])
    stack.start()

    assert stack.json("/api/events/count") == {
        "count": 3, "batch": 0, "realtime": 3, "complete": True,
    }  # fmt: skip
    assert stack.get("/api/training-data/report").status_code == 404
    assert stack.get("/api/training-data/health").status_code == 503


def test_empty_topics_are_complete_answers(stack):
    for number in (0, 1):
        stack.speed.partition(TOPIC, number)
    stack.start()

    for path in ("/api/events", "/api/anomalies", "/api/alerts"):
        page = stack.json(path)
        assert (page["data"], page["next_cursor"], page["complete"]) == ([], None, True)
    assert stack.json("/api/events/count")["count"] == 0
    summary = stack.json("/api/stats/summary")
    assert (summary["totalEvents"], summary["averageThreatScore"]) == (0, 0.0)
    account = stack.json("/consistency")
    assert (account["missing"], account["double"], account["complete"]) == (0, 0, True)
    assert [each["next_offset"] for each in account["partitions"]] == [0, 0]
    assert "streamguard_events_total 0.0" in stack.get("/metrics").text


def test_a_new_run_moves_the_seam_and_nothing_is_counted_twice(stack):
    records = [event_record(offset) for offset in range(20)]
    published(stack, "r1", records[:5], 5)
    stack.speed.partition(TOPIC, 0).append(records)
    stack.start()

    published(stack, "r2", records[:15], 15)

    body = stack.wait("/api/events/count", lambda count: count["batch"] == 15)
    assert body == {"count": 20, "batch": 15, "realtime": 5, "complete": True}
    assert stack.json("/consistency")["run_id"] == "r2"


def test_a_run_that_is_taken_back_is_tailed_again(stack):
    records = [event_record(offset) for offset in range(20)]
    published(stack, "r1", records[:5], 5)
    published(stack, "r2", records[:15], 15)
    stack.speed.partition(TOPIC, 0).append(records)
    stack.start()

    publish_run(stack.lake, "r1", [RunPartition(TOPIC, 0, records[:5], 5)])

    body = stack.wait("/api/events/count", lambda count: count["batch"] == 5 and count["complete"])
    assert body["count"] == 20


def test_new_events_and_their_alerts_become_visible(stack):
    part = stack.speed.partition(TOPIC, 0)
    stack.start()

    part.alerts.append(alert_record(TOPIC, 0, 1))
    part.append([event_record(0), event_record(1)])

    stack.wait("/api/events/count", lambda count: count["count"] == 2)
    alerts = stack.json("/api/alerts", user="alice")["data"]
    assert [alert["offset"] for alert in alerts] == [1]
    assert stack.json(f"/api/alerts/{alerts[0]['alert_id']}")["source"] == "realtime"


def test_an_instance_that_goes_down_leaves_what_is_held_and_says_so(stack):
    part = stack.speed.partition(TOPIC, 0)
    part.append([event_record(0)])
    stack.start()

    stack.speed.stop()
    body = stack.wait("/api/events", lambda page: not page["complete"])
    assert offsets(body) == [0]
    assert stack.speed.url in body["incomplete_reason"]
    assert stack.get("/api/health/ready").status_code == 200

    part.append([event_record(1)])
    stack.speed.start()
    body = stack.wait("/api/events", lambda page: page["complete"] and len(page["data"]) == 2)
    assert offsets(body) == [1, 0]


def test_a_partition_that_moves_to_another_instance_is_followed(stack):
    part = stack.speed.partition(TOPIC, 0)
    part.append([event_record(0)])
    with SpeedServer() as other:
        stack.start(speed_urls=f"{stack.speed.url},{other.url}")
        other.partitions[TOPIC, 0] = stack.speed.partitions.pop((TOPIC, 0))
        part.append([event_record(1)])

        body = stack.wait("/api/events", lambda page: page["complete"] and len(page["data"]) == 2)

    assert offsets(body) == [1, 0]


def test_a_partition_that_nobody_serves_makes_answers_incomplete(stack):
    stack.speed.partition(TOPIC, 0).append([event_record(0)])
    stack.start()

    del stack.speed.partitions[TOPIC, 0]

    body = stack.wait("/api/events", lambda page: not page["complete"])
    assert "security-events/0" in body["incomplete_reason"]
    assert offsets(body) == [0]


def test_a_partition_that_cannot_be_read_holds_up_no_other(stack):
    bad, good = stack.speed.partition(TOPIC, 0), stack.speed.partition(TOPIC, 1)
    bad.append([event_record(0)])
    bad.segments_from = 1  # pruned, and no run has it
    stack.start(ready=False)

    good.append([event_record(offset) for offset in range(3)])
    body = stack.wait("/api/events", lambda page: len(page.get("data", ())) == 3)
    assert body["complete"] is False

    bad.segments_from = 0
    stack.wait("/api/events", lambda page: page["complete"] and len(page["data"]) == 4)


def test_a_partition_that_comes_later_is_tailed_beside_one_that_rests(stack):
    stack.speed.partition(TOPIC, 0).append([event_record(0)])
    stack.start()

    stack.speed.partition(TOPIC, 1).append([event_record(7)])

    stack.wait("/api/events", lambda page: page["complete"] and len(page["data"]) == 2)


def test_a_speed_store_that_is_rebuilt_repeats_nothing(stack):
    records = [event_record(offset) for offset in range(10)]
    stack.speed.partition(TOPIC, 0).append(records)
    stack.start()

    stack.speed.partitions[TOPIC, 0].records[:] = []
    rebuilt = stack.speed.partitions[TOPIC, 0]
    rebuilt.next_offset = 0
    stack.wait("/consistency", lambda _: True)
    rebuilt.append(records[:4])
    rebuilt.append([*records[4:], event_record(10)])

    body = stack.wait("/api/events/count", lambda count: count["count"] > 10)
    assert body["count"] == 11
    assert stack.json("/consistency")["double"] == 0


def test_pruned_rows_are_taken_from_the_newer_run(stack):
    records = [event_record(offset) for offset in range(20)]
    published(stack, "r1", records[:5], 5)
    part = stack.speed.partition(TOPIC, 0)
    part.append(records)
    part.segments_from = 15
    stack.start(ready=False)

    body = stack.wait("/api/health/status", lambda status: "pruned" in str(status))
    assert body["ready"] is False
    published(stack, "r2", records[:15], 15)

    body = stack.wait("/api/events/count", lambda count: count.get("complete") is True)
    assert body["count"] == 20


def test_every_offset_is_accounted_for(stack):
    records = [
        event_record(0),
        removed_record(1, RecordKind.DEAD_LETTER),
        event_record(2),
        removed_record(4, RecordKind.DUPLICATE),
        event_record(5),
        removed_record(6, RecordKind.DEAD_LETTER),
        event_record(9),
    ]
    published(stack, "r1", records[:3], 4)
    stack.speed.partition(TOPIC, 0).append(records, next_offset=11)
    stack.start()

    account = stack.json("/consistency")

    assert (account["missing"], account["double"]) == (0, 0)
    assert account["partitions"] == [
        {
            "topic": TOPIC,
            "partition": 0,
            "first_offset": 0,
            "seam": 4,
            "next_offset": 11,
            "batch_rows": 2,
            "realtime_rows": 2,
            "dead_letters": 2,
            "duplicates": 1,
            "skipped": 4,
            "missing": 0,
            "double": 0,
        }
    ]


def test_serving_restarts_from_its_copies_and_the_speed_layer(stack):
    records = [event_record(offset) for offset in range(8)]
    published(stack, "r1", records[:5], 5)
    stack.speed.partition(TOPIC, 0).append(records)
    before = stack.start().json("/api/events")
    stack.stop()

    assert stack.start().json("/api/events") == before
