import json
import os
import signal
import subprocess
import sys
import time
from itertools import count

import pytest
from confluent_kafka import Consumer, TopicPartition
from opentelemetry.sdk.trace import TracerProvider

from contracts import traces
from streamguard_cli.kafka import EventSink

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TOPICS = (f"sshd-{number}" for number in count())


def line(second):
    return f"Feb  3 06:55:{second:02} host sshd[1]: Failed password for root from ::1 port 1 ssh2\n"


@pytest.fixture
def topic(broker):
    name = next(TOPICS)
    broker.create_topic(name, partitions=1)
    return name


@pytest.fixture
def command(broker, topic):
    return [
        *(sys.executable, "-m", "streamguard_cli", "ingest", "sshd"),
        *("--broker", broker.bootstrap_servers, "--topic", topic),
    ]


def run(command, *more, stdin=None):
    return subprocess.run(
        [*command, *more], input=stdin, capture_output=True, text=True, timeout=120, check=False
    )


def records(broker, topic, number):
    """Read the first ``number`` records: key and value of each."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "test"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found, deadline = [], time.monotonic() + 60
    while len(found) < number:
        assert time.monotonic() < deadline, f"only {len(found)} of {number} came"
        found += [(each.key(), json.loads(each.value())) for each in consumer.consume(1000, 0.2)]
    consumer.close()
    return found


def test_a_file_twice_gives_the_same_ids_and_bad_lines_are_named(broker, topic, command, tmp_path):
    log = tmp_path / "auth.log"
    log.write_text(f"{line(1)}nonsense\n{line(2)}{line(2)}{line(3).strip()}")

    done = [run(command, str(log)) for _ in range(2)]

    assert [each.returncode for each in done] == [0, 0]
    assert done[0].stdout == "5 lines: 4 events, 4 acknowledged, 0 failed; 1 bad lines\n"
    assert done[0].stderr == "streamguard: line 2: no syslog header (time, host, program)\n"
    found = records(broker, topic, 8)
    assert {key for key, _ in found} == {b"root"}
    ids = [value["event_id"] for _, value in found]
    assert ids[:4] == ids[4:]
    assert len(set(ids)) == 4


def test_standard_input(broker, topic, command):
    done = run(command, "-", stdin=line(1) + line(2))

    assert done.returncode == 0
    assert len(records(broker, topic, 2)) == 2


def test_following_a_file_over_its_rotation(broker, topic, command, tmp_path):
    log = tmp_path / "auth.log"
    log.write_text(line(1) + line(2)[:20])
    process = subprocess.Popen([*command, str(log), "--follow"], stdout=subprocess.PIPE, text=True)
    try:
        records(broker, topic, 1)
        with log.open("a") as file:
            file.write(line(2)[20:])
        records(broker, topic, 2)
        (tmp_path / "new").write_text(line(3))
        log.rename(tmp_path / "auth.log.1")
        (tmp_path / "new").rename(log)
        found = records(broker, topic, 3)
        os.kill(process.pid, signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()

    assert [value["timestamp"] // 1000 % 60 for _, value in found] == [1, 2, 3]
    assert process.returncode == 0
    assert "3 events, 3 acknowledged" in out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["/no/such/file"], 1, "/no/such/file: No such file"),
        (["-", "--year", "1999"], 2, "--year 1999"),
        (["-", "--timezone", "Mars/Olympus"], 2, "no such time zone"),
        (["-", "--topic", "no-such-topic"], 1, "has no topic no-such-topic"),
    ],
)
def test_what_cannot_be_done_is_said(command, arguments, code, said):
    done = run(command, *arguments, stdin="")

    assert done.returncode == code
    assert said in done.stderr


def test_with_traces_on_every_record_carries_the_commands_span(broker, topic):
    sink = EventSink(broker.bootstrap_servers, topic)
    sink.open()
    traces.use(TracerProvider())
    try:
        with traces.producing(topic):
            sink.send("ada", "{}")
            sink.send("ada", "{}")
    finally:
        traces.use(None)
    sink.close()
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "test"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = [dict(record.headers())["traceparent"] for record in consumer.consume(2, 30)]
    consumer.close()

    assert found[0].startswith(b"00-")
    assert found[0] == found[1]
