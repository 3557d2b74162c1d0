"""Both layers over one log of bad input: one account of it, merged without a hole or a double."""

import socket
from contextlib import ExitStack
from datetime import timedelta

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition

from batch_layer.security.run import RunOptions, new_run_id, published_run
from contracts.topics import ALL_TOPICS, SECURITY_EVENTS, USER_EVENTS, dead_letter_topic
from serving_layer.app import create_app
from serving_layer.settings import Settings as ServingSettings
from serving_layer.testing import Server
from speed_layer.testing import SpeedProcess, wait_for

pytestmark = pytest.mark.integration

FIVE_MB = b"x" * 5_000_000
ACCOUNT = ("first_offset", "next_offset", "rows", "dead_letters", "duplicates", "skipped")


@pytest.fixture
def speed(topics, settings, tmp_path):
    for topic in ALL_TOPICS:
        topics.create(topic.name, 2 if topic.name == SECURITY_EVENTS else 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    values = {
        "SPEED_KAFKA_BOOTSTRAP_SERVERS": topics.bootstrap_servers,
        "SPEED_STORE_DIR": str(tmp_path / "speed"),
        "SPEED_LAKE_DIR": str(settings.lake_dir),
    }
    with SpeedProcess(tmp_path, port, values) as process:
        yield process


@pytest.fixture
def serving(speed, settings, tmp_path):
    values = {
        "speed_urls": f"http://127.0.0.1:{speed.port}",
        "lake_dir": settings.lake_dir,
        "data_dir": tmp_path / "serving",
        "run_check_interval": timedelta(milliseconds=50),
        "positions_interval": timedelta(milliseconds=50),
    }
    with ExitStack() as stack:
        server = Server(create_app(ServingSettings(_env_file=None, **values)))
        stack.callback(server.stop)
        yield stack.enter_context(httpx.Client(base_url=server.url, trust_env=False))


def test_both_layers_account_alike_for_bad_input(spark, settings, topics, event, speed, serving):
    settings = settings.model_copy(update={"kafka_bootstrap_servers": topics.bootstrap_servers})
    good = [event(number, f"user{number % 3}") for number in range(120)]
    topics.produce(SECURITY_EVENTS, [*good[:60], b"\xff\xfe", FIVE_MB, good[0], None], 0)
    topics.commit(SECURITY_EVENTS, [good[60]], 0)
    unknown = event(200, "nobody", colour="red").replace(b'"nobody"', b"null")
    odd = [unknown, event(201, "eve", timestamp=1)]
    topics.produce(SECURITY_EVENTS, [*good[61:], *odd], 1)

    speed.wait_until({(SECURITY_EVENTS, 0): 66, (SECURITY_EVENTS, 1): 61})
    live = merged(serving, rows=121)
    assert dead_letters(live) == {(SECURITY_EVENTS, 0): 3, (SECURITY_EVENTS, 1): 1}
    manifest = published_run(spark, settings, new_run_id(), RunOptions()).manifest
    positions = speed.json("/positions")["partitions"]
    assert [account(seam.model_dump()) for seam in manifest.seam] == [
        account(position) for position in positions if position["topic"] == SECURITY_EVENTS
    ]

    served = merged(serving, rows=121, run_id=manifest.run_id)
    assert dead_letters(served) == dead_letters(live)
    assert serving.get("/api/events/count").json()["batch"] == 121
    assert published_run(spark, settings, new_run_id(), RunOptions()).manifest is None

    topics.produce(SECURITY_EVENTS, [FIVE_MB, event(300, "user0"), event(201, "eve")], 1)
    both = merged(serving, rows=123, run_id=manifest.run_id)
    assert dead_letters(both) == {(SECURITY_EVENTS, 0): 3, (SECURITY_EVENTS, 1): 2}
    assert sizes_of_dead_letters(topics.bootstrap_servers, 5)[-2:] == [len(FIVE_MB)] * 2


def test_both_layers_skip_what_transactions_leave_in_the_log(
    spark, settings, topics, event, speed, serving
):
    """Also at the end of the log, where no record follows that would tell how far it reaches."""
    settings = settings.model_copy(update={"kafka_bootstrap_servers": topics.bootstrap_servers})
    numbers = iter(range(100))

    def events(count):
        return [event(next(numbers), "ada") for _ in range(count)]

    topics.commit(SECURITY_EVENTS, events(10))
    topics.abort(SECURITY_EVENTS, events(5))
    topics.commit(SECURITY_EVENTS, events(1))
    topics.abort(SECURITY_EVENTS, events(3))
    end = 19 + 4  # each transaction ends with a marker
    live = reaching(serving, end)
    assert (live["realtime_rows"], live["skipped"]) == (11, end - 11)
    first = published_run(spark, settings, new_run_id(), RunOptions()).manifest
    served = reaching(serving, end, run_id=first.run_id)
    assert (served["batch_rows"], served["realtime_rows"], served["seam"]) == (11, 0, end)
    assert served["skipped"] == end - 11

    unfinished = topics.begin(SECURITY_EVENTS, events(2))
    assert published_run(spark, settings, new_run_id(), RunOptions()).manifest is None
    unfinished.abort_transaction(60)
    end += 2 + 1
    behind = reaching(serving, end, run_id=first.run_id)
    assert (behind["realtime_rows"], behind["skipped"]) == (0, end - 11)
    second = published_run(spark, settings, new_run_id(), RunOptions()).manifest
    assert reaching(serving, end, run_id=second.run_id)["seam"] == end

    speed.kill()
    speed.start()
    topics.commit(SECURITY_EVENTS, events(1))
    again = reaching(serving, end + 2, run_id=second.run_id)
    assert (again["batch_rows"], again["realtime_rows"], again["skipped"]) == (11, 1, end - 11 + 1)
    positions = speed.json("/positions")["partitions"]
    assert account(positions[0])[2:] == (0, end + 2, 12, 0, 0, end - 11 + 1)


def reaching(serving, offset, run_id=None):
    """Wait until partition 0 is held up to an offset; return its account: nothing amiss."""

    def probe():
        found = serving.get("/consistency").json()
        each = {(p["topic"], p["partition"]): p for p in found.get("partitions", [])}
        here = each.get((SECURITY_EVENTS, 0), {}).get("next_offset")
        return (here, found.get("run_id"), found.get("complete")) == (offset, run_id, True) and (
            each[SECURITY_EVENTS, 0]
        )

    found = wait_for(f"offset {offset} of run {run_id}", probe)
    assert (found["missing"], found["double"]) == (0, 0), found
    return found


def merged(serving, rows, run_id=None):
    """Wait until ``/consistency`` shows so many rows, and return it: missing 0, double 0."""

    def probe():
        found = serving.get("/consistency").json()
        each = found.get("partitions", [])
        held = sum(partition["batch_rows"] + partition["realtime_rows"] for partition in each)
        return (held, found.get("run_id"), found.get("complete")) == (rows, run_id, True) and found

    found = wait_for(f"{rows} merged rows", probe)
    assert (found["missing"], found["double"]) == (0, 0), found
    assert {each["topic"] for each in found["partitions"]} == {SECURITY_EVENTS, USER_EVENTS}
    return found


def dead_letters(body):
    return {
        (each["topic"], each["partition"]): each["dead_letters"]
        for each in body["partitions"]
        if each["topic"] == SECURITY_EVENTS
    }


def account(body):
    return (body["topic"], body["partition"], *(body[name] for name in ACCOUNT))


def sizes_of_dead_letters(servers, count):
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "reader"})
    consumer.assign([TopicPartition(dead_letter_topic(SECURITY_EVENTS), 0, 0)])
    values = [consumer.poll(60).value() for _ in range(count)]
    consumer.close()
    return sorted(len(value or b"") for value in values)
