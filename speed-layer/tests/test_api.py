"""Interactive queries over a partition that commits beside them."""

import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from contracts.views import SEGMENT_SCHEMA
from speed_layer.api import create_app
from speed_layer.metrics import Metrics
from speed_layer.partition import Partition
from speed_layer.status import Status
from speed_layer.testing import wait_for

TOPIC = "security-events"
SEGMENTS = f"/segments?topic={TOPIC}&partition=0"


@pytest.fixture
def status():
    return Status("test")


@pytest.fixture
def partition(settings, status, feed):
    partition = Partition((TOPIC, 0), settings, 0)
    for first in range(0, 3000, 1000):
        feed(partition, first, first + 1000)
    status.publish(partition, 3500)
    yield partition
    partition.close()


@pytest.fixture
def client(status, partition):
    with TestClient(create_app(status, Metrics())) as client:
        yield client


def rows(response):
    return pa.ipc.open_stream(io.BytesIO(response.content)).read_all()


def test_positions(client):
    assert client.get("/positions").json() == {
        "instance": "test",
        "partitions": [
            {
                "topic": TOPIC,
                "partition": 0,
                "first_offset": 0,
                "segments_from": 0,
                "next_offset": 3000,
                "high_watermark": 3500,
                "rows": 3000,
                "dead_letters": 0,
                "duplicates": 0,
                "skipped": 0,
                "lost": 0,
            }
        ],
    }


def test_segments_are_joined_into_one_stream(client, events):
    response = client.get(f"{SEGMENTS}&from_offset=0")
    table = rows(response)

    assert response.headers["X-First-Offset"] == "0"
    assert response.headers["X-Next-Offset"] == "3000"
    assert table.schema == SEGMENT_SCHEMA
    assert table.column("raw").to_pylist() == events[:3000]


def test_segments_start_inside_a_micro_batch(client):
    table = rows(client.get(f"{SEGMENTS}&from_offset=1234"))

    assert table.column("offset").to_pylist() == list(range(1234, 3000))


def test_segments_stop_at_max_bytes_but_give_one_micro_batch(client):
    response = client.get(f"{SEGMENTS}&from_offset=0&max_bytes=1")

    assert response.headers["X-Next-Offset"] == "1000"
    assert rows(response).num_rows == 1000


def test_segments_counts_the_alerts_of_the_range(client, partition):
    raised = [offset for offset, *_ in partition.store.alerts()]
    assert raised
    response = client.get(f"{SEGMENTS}&from_offset=0&max_bytes=1")

    assert int(response.headers["X-Alerts"]) == sum(offset < 1000 for offset in raised)


def test_nothing_new_is_204_after_the_wait(client):
    begin = time.monotonic()
    path, given = f"{SEGMENTS}&from_offset=3000&wait_ms=300", {"X-Request-ID": "ticket-17"}
    answer = client.get(path, headers=given)
    assert answer.status_code == 204
    assert answer.headers["x-request-id"] == "ticket-17"
    assert 0.25 < time.monotonic() - begin < 5


def test_waiting_requests_are_woken_by_a_commit(client, partition, status, feed):
    with ThreadPoolExecutor(20) as pool:
        path = f"{SEGMENTS}&from_offset=3000&wait_ms=10000"
        waiting = [pool.submit(client.get, path) for _ in range(20)]
        assert client.get("/health").status_code == 503  # answered while twenty wait
        threading.Event().wait(0.3)
        feed(partition, 3000, 3100)
        begin = time.monotonic()
        status.publish(partition, 3100)
        status.announce()
        answers = [future.result() for future in waiting]

    assert time.monotonic() - begin < 5
    assert {answer.headers["X-Next-Offset"] for answer in answers} == {"3100"}


def test_pruned_offsets_are_gone(client, partition, status):
    partition.prune(2000)
    status.publish(partition, 3000)
    response = client.get(f"{SEGMENTS}&from_offset=10")

    assert (response.status_code, response.json()) == (410, {"segments_from": 2000})


def test_a_partition_of_another_process_is_not_found(client, status):
    assert client.get(f"/segments?topic={TOPIC}&partition=5&from_offset=0").status_code == 404
    status.forget((TOPIC, 0))
    assert client.get(f"{SEGMENTS}&from_offset=0").status_code == 404


def test_an_empty_range_moves_the_reader_on(client, partition, status):
    partition.write(partition.skip(3002).commit)
    status.publish(partition, 3002)
    response = client.get(f"{SEGMENTS}&from_offset=3000")

    assert response.headers["X-Next-Offset"] == "3002"
    assert rows(response).num_rows == 0


def tailed(response):
    """Return the ranges of an answer, each with its rows."""
    ranges, start, found = json.loads(response.headers["X-Ranges"]), 0, []
    for each in ranges:
        end = start + each.get("bytes", 0)
        part = response.content[start:end]
        table = pa.ipc.open_stream(io.BytesIO(part)).read_all() if part else None
        found.append((each, table))
        start = end
    assert start + int(response.headers["X-Alerts-Bytes"]) == len(response.content)
    return found


def tailed_alerts(response):
    """Return the alerts of an answer."""
    return json.loads(response.content[-int(response.headers["X-Alerts-Bytes"]) :])


@pytest.fixture
def other(settings, status, feed):
    partition = Partition((TOPIC, 1), settings, 0)
    feed(partition, 0, 500)
    status.publish(partition, 500)
    yield partition
    partition.close()


def test_many_partitions_are_tailed_at_once(client, other, events):
    answer = client.get(f"/tail?after={TOPIC}:0:2500&after={TOPIC}:1:0")

    (first, rows_0), (second, rows_1) = tailed(answer)
    assert (first["partition"], first["first_offset"], first["next_offset"]) == (0, 2500, 3000)
    assert (second["partition"], second["first_offset"], second["next_offset"]) == (1, 0, 500)
    assert rows_0.schema == SEGMENT_SCHEMA
    assert rows_0.column("raw").to_pylist() == events[2500:3000]
    assert rows_1.column("raw").to_pylist() == events[:500]


def test_the_tail_brings_the_alerts_of_its_rows(client, partition, other):
    def listed(number, first):
        query = f"topic={TOPIC}&partition={number}&from_offset={first}"
        return client.get(f"/alerts?{query}").json()["alerts"]

    newest = partition.store.recent[-1].first_offset
    for first in (0, newest):  # from the file, and from memory
        answer = client.get(f"/tail?after={TOPIC}:0:{first}&after={TOPIC}:1:0")

        ranges = {each["partition"]: each for each, _ in tailed(answer)}
        expected = listed(0, first), listed(1, 0)
        assert tailed_alerts(answer) == [*expected[0], *expected[1]]
        assert [ranges[number]["alerts"] for number in (0, 1)] == [*map(len, expected)]
    assert len(listed(0, 0)) > len(listed(0, newest)) > 0


def test_the_tail_says_at_once_what_is_not_ours_and_what_is_pruned(
    client, partition, status, other
):
    partition.prune(2000)
    status.publish(partition, 3000)
    begin = time.monotonic()
    path = f"/tail?after={TOPIC}:0:10&after={TOPIC}:1:500&after={TOPIC}:5:0&wait_ms=10000"
    found = [each for each, _ in tailed(client.get(path))]

    assert time.monotonic() - begin < 5
    assert found == [
        {"topic": TOPIC, "partition": 0, "segments_from": 2000},
        {"topic": TOPIC, "partition": 5, "owned": False},
    ]


def test_the_tail_waits_for_any_of_its_partitions(client, partition, status, other, feed):
    path = f"/tail?after={TOPIC}:0:3000&after={TOPIC}:1:500"
    assert client.get(f"{path}&wait_ms=200").status_code == 204
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.get, f"{path}&wait_ms=10000")
        wait_for("the request", lambda: status.waiting)
        feed(other, 500, 600)
        status.publish(other, 600)
        feed(partition, 3000, 3100)
        status.publish(partition, 3100)
        status.announce()
        ranges = [each for each, _ in tailed(waiting.result())]

    assert [each["next_offset"] for each in ranges] == [3100, 600]


def test_memory_and_file_answer_alike(client, partition, status, feed):
    for first in range(3000, 3060, 10):
        feed(partition, first, first + 10)
        status.publish(partition, first + 10)
    kept = {each.first_offset for each in status.partition((TOPIC, 0)).recent}
    assert kept == {3020, 3030, 3040, 3050}

    answers = {first: client.get(f"{SEGMENTS}&from_offset={first}") for first in (3010, 3020)}

    assert rows(answers[3010]).slice(10).equals(rows(answers[3020]))
    assert {answer.headers["X-Next-Offset"] for answer in answers.values()} == {"3060"}


@pytest.mark.parametrize("after", ["other:0:1", f"{TOPIC}:0", f"{TOPIC}:0:-1", f"{TOPIC}:x:1"])
def test_a_bad_position_is_named(client, after):
    response = client.get("/tail", params={"after": after})

    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"][:2] == ["query", "after"]


def test_alerts_by_offset(client, partition):
    found = client.get(f"/alerts?topic={TOPIC}&partition=0&from_offset=0&to_offset=3000").json()

    assert [alert["offset"] for alert in found["alerts"]] == [
        offset for offset, *_ in partition.store.alerts()
    ]
    assert {"alert_id", "user_id", "severity", "event_ids"} <= found["alerts"][0].keys()


def test_features_of_a_user(client, partition):
    found = client.get("/features/admin").json()

    assert found["user"] == "admin"
    assert found["total_events"] > 0
    assert client.get("/features/nobody").status_code == 404


def test_bad_parameters_are_named(client):
    response = client.get(f"{SEGMENTS}&from_offset=-1")

    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["query", "from_offset"]


def test_health(client, status):
    status.set_problem("paused", "store: full")
    response = client.get("/health")
    assert response.status_code == 503
    assert response.json()["status"] == "paused"
    assert response.json()["reason"] == "store: full"

    status.set_healthy()
    assert client.get("/health").json() == {"status": "healthy"}
