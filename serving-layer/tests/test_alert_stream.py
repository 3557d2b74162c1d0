"""Live alerts: as they are raised, and every one of them after a disconnect or a restart."""

import json
from contextlib import contextmanager

import pytest

from serving_layer.alert_stream import Sent, format_positions, parse_positions
from serving_layer.errors import ParameterError
from serving_layer.testing import RunPartition, alert_record, event_record, publish_run, wait_until
from serving_layer.views.streams import stream_code

TOPIC = "security-events"


def first_id(stack, **params):
    """Return what a stream says before its first alert; it is broken off then."""
    with stack.http.stream("GET", "/api/alerts/stream", params=params) as response:
        lines = response.iter_lines()
        message = [next(lines), next(lines)]
    name, _, value = message[0].partition(": ")
    assert (name, message[1]) == ("id", "")  # without data, EventSource keeps it and shows nothing
    return value


@contextmanager
def connected(stack, last_event_id=None, **params):
    """Yield a function that reads the next alert as (id, offset)."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    with stack.http.stream("GET", "/api/alerts/stream", params=params, headers=headers) as response:
        assert response.status_code == 200
        lines = response.iter_lines()

        def following():
            fields = {}
            for line in lines:
                name, _, value = line.partition(": ")
                if name == "data":
                    fields["offset"] = json.loads(value)["offset"]
                elif name in ("id", "event"):
                    fields[name] = value
                elif not line and "offset" in fields:
                    return fields["id"], fields["offset"]
            raise AssertionError("the stream ended")

        yield following


def raise_alerts(part, *offsets, **values):
    part.alerts.extend(alert_record(TOPIC, 0, offset, **values) for offset in offsets)
    part.append([event_record(offset) for offset in range(part.next_offset, max(offsets) + 1)])


def test_a_new_alert_is_sent_at_once(stack):
    part = stack.speed.partition(TOPIC, 0)
    raise_alerts(part, 1)
    stack.start()

    with connected(stack) as following:
        raise_alerts(part, 4)
        assert following() == ("security-events/0@4+1", 4)


def test_a_client_that_comes_back_gets_what_it_missed_once(stack):
    part = stack.speed.partition(TOPIC, 0)
    stack.start()
    with connected(stack) as following:
        raise_alerts(part, 1)
        last, _ = following()
    raise_alerts(part, 2, 5)
    publish_run(
        stack.lake, "r1",
        [RunPartition(TOPIC, 0, part.records[:4], 4, alerts=part.alerts[:2])],
    )  # fmt: skip
    stack.wait("/api/events/count", lambda body: body["batch"] == 4)
    stack.stop()
    stack.start()

    with connected(stack, last) as following:
        assert [following()[1] for _ in range(2)] == [2, 5]
        raise_alerts(part, 7)
        assert following()[1] == 7


def test_a_stream_that_breaks_before_its_first_alert_is_taken_up_again(stack):
    part = stack.speed.partition(TOPIC, 0)
    raise_alerts(part, 1)
    stack.start()
    last = first_id(stack)
    assert last == "security-events/0@2"
    raise_alerts(part, *range(3, 9))
    stack.wait("/api/alerts/count", lambda body: body["count"] == 7)

    with connected(stack, last) as following:
        assert [following()[1] for _ in range(6)] == list(range(3, 9))


def test_a_stream_of_nothing_yet_can_be_taken_up_again(stack):
    stack.start(ready=False)
    stack.wait("/api/health/status", lambda body: body["run_id"] is None)
    wait_until(lambda: stack.get("/api/events").status_code == 200, "an empty view")
    last = first_id(stack)
    assert last == "beginning"
    raise_alerts(stack.speed.partition(TOPIC, 0), 1)
    stack.wait("/api/alerts/count", lambda body: body["count"] == 1)

    with connected(stack, last) as following:
        assert following()[1] == 1


def test_alerts_of_one_event_are_told_apart(stack):
    part = stack.speed.partition(TOPIC, 0)
    part.alerts += [alert_record(TOPIC, 0, 1, alert_id=name) for name in "ab"]
    part.append([event_record(0), event_record(1)])
    stack.start()

    with connected(stack, "security-events/0@1+1") as following:
        assert following() == ("security-events/0@1+2", 1)


def test_filters_apply_to_the_stream(stack):
    part = stack.speed.partition(TOPIC, 0)
    raise_alerts(part, 1, severity="LOW")
    raise_alerts(part, 3, severity="HIGH")
    stack.start()

    with connected(stack, "security-events/0@0", severity="HIGH") as following:
        assert following()[1] == 3


@pytest.mark.parametrize("text", ["x", "security-events/0", "nothing/0@1", "security-events/0@-1"])
def test_a_wrong_last_event_id_is_refused(text):
    with pytest.raises(ParameterError, match="Last-Event-ID"):
        parse_positions(text)


def test_a_wrong_last_event_id_is_named_over_http(stack):
    stack.start()
    wait_until(lambda: stack.get("/api/health").status_code == 200, "alive")

    response = stack.http.get("/api/alerts/stream", headers={"Last-Event-ID": "x"})

    assert response.status_code == 422
    assert response.json()["errors"][0]["parameter"] == "Last-Event-ID"


def test_positions_survive_their_text():
    positions = {stream_code(TOPIC, 3): Sent(7, 2), stream_code("user-events", 0): Sent(0)}

    assert parse_positions(format_positions(positions)) == positions
    assert parse_positions(format_positions({})) == {}
