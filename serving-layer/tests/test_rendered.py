"""Rows rendered before are sent again, and only for as long as they are right."""

from serving_layer.testing import RunPartition, event_record, publish_run
from serving_layer.views.rendered import GENERATION_ROWS, RenderedRows

TOPIC = "security-events"


def test_a_row_that_a_run_took_over_is_rendered_anew(stack):
    part = stack.speed.partition(TOPIC, 0)
    part.append([event_record(offset) for offset in range(4)])
    stack.start()
    before = stack.json("/api/events")
    assert stack.json("/api/events") == before
    taken = [event_record(0), event_record(1, is_anomaly=True, anomaly_score=0.75)]

    publish_run(stack.lake, "r1", [RunPartition(TOPIC, 0, taken, 2)])
    body = stack.wait("/api/events", lambda body: body["sources"]["batch"] == 2)

    rows = [(each["offset"], each["source"], each["anomaly_score"]) for each in body["data"]]
    assert rows == [
        (3, "realtime", None), (2, "realtime", None), (1, "batch", 0.75), (0, "batch", None),
    ]  # fmt: skip


def test_few_rows_are_kept_and_the_newest_among_them():
    rendered = RenderedRows()
    for offset in range(3 * GENERATION_ROWS):
        rendered.put(("event", 0, offset), b"{}")
    kept = [o for o in range(3 * GENERATION_ROWS) if rendered.get(("event", 0, o)) is not None]

    assert kept[-1] == 3 * GENERATION_ROWS - 1
    assert len(kept) <= 2 * GENERATION_ROWS
