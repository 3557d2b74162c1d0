"""``streamguard dead-letters`` over a real broker."""

import json

import pytest
from confluent_kafka import Producer

from contracts.topics import ALL_TOPICS
from streamguard_cli.__main__ import main

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def refuse(producer, topic, offset, value, reason="not_json", error="not JSON", key="alice"):
    """Write a dead letter as the speed layer does."""
    headers = [
        ("reason", reason),
        ("source-topic", topic),
        ("source-partition", "2"),
        ("source-offset", str(offset)),
        ("error", error),
    ]
    when = 1_700_000_000_000 + offset
    producer.produce(f"{topic}.dead-letter", value, key, headers=headers, timestamp=when)


@pytest.fixture(scope="module")
def refused(broker):
    """Dead letters of two topics; the others have none."""
    for topic in ALL_TOPICS:
        if topic.name.endswith(".dead-letter"):
            broker.create_topic(topic.name, partitions=1)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for offset in range(30):
        refuse(producer, "security-events", offset, b"no\x1b[2Jpe %d" % offset)
    error = "timestamp: not a number"
    refuse(producer, "user-events", 7, b'{"timestamp": "\xff"}', "bad_field", error)
    refuse(producer, "user-events", 100, None, key=None)
    assert not producer.flush(30)
    return broker.bootstrap_servers


def answered(capsys, *flags):
    code = main(["dead-letters", *flags])
    out, err = capsys.readouterr()
    return code, out, err


def test_newest_come_first_with_coordinates_and_the_field_at_fault(refused, capsys):
    code, out, err = answered(capsys, "--broker", refused, "--limit", "3")
    lines = out.splitlines()
    assert code == 0
    assert [line.split()[2] for line in lines[1:]] == [
        "user-events/2@100",
        "security-events/2@29",
        "security-events/2@28",
    ]
    assert "2023-11-14 22:13:20" in lines[1]
    assert "newest 3" in err


def test_one_topic_whole_as_json(refused, capsys):
    code, out, err = answered(capsys, "user-events", "--broker", refused, "--json")
    newest, oldest = json.loads(out)
    assert (code, err) == (0, "")
    assert (newest["key"], newest["bytes"], newest["text"]) == (None, 0, "")
    assert oldest == {
        "refused_at": 1_700_000_000_007,
        "topic": "user-events",
        "partition": "2",
        "offset": "7",
        "reason": "bad_field",
        "error": "timestamp: not a number",
        "key": "alice",
        "bytes": 18,
        "text": '{"timestamp": "\ufffd"}',
    }


def test_what_others_wrote_cannot_steer_the_terminal(refused, capsys):
    _, out, _ = answered(capsys, "security-events", "--broker", refused)
    assert "\x1b" not in out
    assert "no\\x1b[2Jpe 29" in out


def test_none_is_said(refused, capsys):
    code, out, err = answered(capsys, "transactions-batch", "--broker", refused)
    assert (code, out) == (0, "")
    assert "no record was refused" in err


def test_a_topic_that_is_not_there_is_named(refused, capsys):
    code, out, err = answered(capsys, "nonsense", "--broker", refused)
    assert (code, out) == (1, "")
    assert "no topic nonsense.dead-letter" in err


def test_a_limit_below_one_is_refused(refused, capsys):
    with pytest.raises(SystemExit) as exit_code:
        main(["dead-letters", "--broker", refused, "--limit", "0"])
    assert exit_code.value.code == 2
