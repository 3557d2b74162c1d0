import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from contracts.decoder import decode_security_events
from contracts.events import MAX_USER_LENGTH
from streamguard_cli.errors import LineError

FAILED = "Failed password for root from 192.0.2.7 port 38926 ssh2"


def line(message=FAILED, time="Dec 10 06:55:46", program="sshd[24200]"):
    return f"{time} LabSZ {program}: {message}".encode()


def events(adapter, *lines):
    return [json.loads(event.value) for each in lines for event in adapter.events(each)]


def moment(event):
    return datetime.fromtimestamp(event["timestamp"] / 1000, UTC).isoformat()


def test_a_failed_password(adapter):
    [event] = events(adapter(), line())

    assert event.pop("event_id").startswith("evt_")
    assert event == {
        "timestamp": 1_765_349_746_000,
        "event_type": "auth_attempt",
        "source_ip": "192.0.2.7",
        "user": "root",
        "status": "failed",
        "metadata": {
            "hostname": "LabSZ",
            "protocol": "ssh",
            "log_source": "sshd",
            "auth_method": "password",
            "invalid_user": False,
            "source_port": 38926,
            "process_id": 24200,
        },
        "auth_details": {
            "status": "failed",
            "auth_type": "password",
            "failure_reason": "invalid_password",
        },
    }


@pytest.mark.parametrize(
    ("message", "user", "source", "status"),
    [
        pytest.param(
            "Failed password for invalid user webmaster from 2001:DB8::1 port 1 ssh2",
            "webmaster",
            "2001:db8::1",
            "failed",
            id="ipv6-and-invalid-user",
        ),
        pytest.param(
            "Failed none for git from ::ffff:192.0.2.1 port 1 ssh2",
            "git",
            "192.0.2.1",
            "failed",
            id="ipv4-mapped",
        ),
        pytest.param(
            "Failed password for root from fe80::1%eth0 port 1 ssh2",
            "root",
            "fe80::1%eth0",
            "failed",
            id="link-local",
        ),
        pytest.param(
            "Failed password for root from ns.example.com port 1 ssh2",
            "root",
            "ns.example.com",
            "failed",
            id="host-name",
        ),
        pytest.param(
            "Accepted publickey for git from 192.0.2.1 port 1 ssh2: RSA SHA256:abc",
            "git",
            "192.0.2.1",
            "success",
            id="accepted-key",
        ),
        pytest.param(
            "Failed password for invalid user  0101 from 192.0.2.1 port 1 ssh2",
            " 0101",
            "192.0.2.1",
            "failed",
            id="name-with-a-space",
        ),
        pytest.param(
            "Failed password for invalid user a from 8.8.8.8 port 1 ssh2 from 192.0.2.1 port 2 ssh2",
            "a from 8.8.8.8 port 1 ssh2",
            "192.0.2.1",
            "failed",
            id="name-that-imitates-the-message",
        ),
    ],
)
def test_who_and_from_where(adapter, message, user, source, status):
    [event] = events(adapter(), line(message))

    assert (event["user"], event["source_ip"], event["status"]) == (user, source, status)


def test_no_name_is_no_user(adapter):
    [event] = adapter().events(line("Failed password for invalid user  from 192.0.2.1 port 1 ssh2"))

    assert event.key == "unknown"
    assert "user" not in json.loads(event.value)


@pytest.mark.parametrize(
    "text",
    [
        b"Dec 10 06:55:46 LabSZ CRON[1]: Failed password for root from 192.0.2.1 port 1 ssh2",
        line("Invalid user webmaster from 192.0.2.1"),
        line("pam_unix(sshd:auth): authentication failure; rhost=192.0.2.1  user=root"),
        line("PAM 5 more authentication failures; rhost=192.0.2.1  user=root"),
        line("message repeated 2 times: [ Connection closed by 192.0.2.1 [preauth]]"),
        b"",
        b"  ",
    ],
)
def test_lines_that_are_no_attempt(adapter, text):
    assert adapter().events(text) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"\x00\xff not a log", "no syslog header"),
        (line(time="Feb 30 06:55:46"), "no such time"),
        (line(time="Foo 10 06:55:46"), "'Foo' is no month"),
        (line(time="Dec 10 26:55:46"), "no such time"),
        (line("Failed password for root from"), "cannot be read"),
        (line(f"message repeated 99999999 times: [ {FAILED}]"), "not between 1 and"),
        (line(time="2016-12-10T06:55:46Z"), "lies outside"),
    ],
)
def test_lines_that_cannot_be_read(adapter, text, reason):
    with pytest.raises(LineError, match=reason):
        adapter().events(text)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("Feb  3 06:55:46", "2026-02-03T06:55:46+00:00"),
        ("Dec 31 23:59:59", "2025-12-31T23:59:59+00:00"),
        ("Mar  2 00:00:00", "2026-03-02T00:00:00+00:00"),  # clocks differ
        ("Mar  3 00:00:00", "2025-03-03T00:00:00+00:00"),
        ("Feb 29 12:00:00", "2024-02-29T12:00:00+00:00"),
        ("2022-05-01T12:00:00.250+02:00", "2022-05-01T10:00:00.250000+00:00"),
        ("2022-05-01T12:00:00+0200", "2022-05-01T10:00:00+00:00"),
    ],
)
def test_the_year_that_a_line_leaves_out_is_the_latest_one(adapter, time, expected):
    [event] = events(adapter(), line(time=time))

    assert moment(event) == expected


def test_a_given_year_is_that_of_the_first_line(adapter):
    days = ["Jul  1", "Dec 31", "Jan  1", "Dec 31", "Feb 29", "Sep  1", "Jan  5"]
    found = events(
        adapter(2022), *(line(time=f"{day} 12:00:00") for day in days if "29" not in day)
    )

    assert [moment(event)[:10] for event in found] == [
        "2022-07-01",
        "2022-12-31",
        "2023-01-01",
        "2022-12-31",  # late
        "2023-09-01",
        "2024-01-05",
    ]


def test_times_without_a_zone_are_in_the_given_one(adapter):
    [event] = events(adapter(zone=ZoneInfo("Europe/Berlin")), line(time="Feb  3 06:55:46"))

    assert moment(event) == "2026-02-03T05:55:46+00:00"


@pytest.mark.parametrize(
    "text",
    [
        f"<38>Dec 10 06:55:46 LabSZ sshd[24200]: {FAILED}",
        f"Dec 10 06:55:46 LabSZ sshd-session[24200]: {FAILED}",
        f"<38>1 2025-12-10T06:55:46.000Z LabSZ sshd 24200 - - {FAILED}",
        f'<38>1 2025-12-10T06:55:46.000Z LabSZ sshd 24200 - [a@1 b="c"] {FAILED}',
    ],
)
def test_forms_of_syslog(adapter, text):
    [event] = events(adapter(), text.encode())

    assert (event["timestamp"], event["metadata"]["process_id"]) == (1_765_349_746_000, 24200)


def test_a_repeated_message_is_that_many_attempts(adapter):
    found = events(adapter(), line(), line(f"message repeated 5 times: [ {FAILED}]"))

    assert len({event["event_id"] for event in found}) == 6


def test_ids_follow_from_the_lines(adapter):
    lines = [line(), line(), line(time="Dec 10 06:55:47"), line()]

    first = [event["event_id"] for event in events(adapter(), *lines)]
    again = [
        event["event_id"] for event in events(adapter(2024), *(each + b"\r" for each in lines))
    ]
    assert again == first
    assert len(set(first[:3])) == 3
    assert first[3] == first[0]  # an equal line of another second is a copy


def test_events_keep_the_contract(adapter):
    lines = [line(), line(f"Failed password for invalid user {'x' * 999} from ::1 port 1 ssh2")]
    values = [event.value.encode() for each in lines for event in adapter().events(each)]
    decoded = decode_security_events(range(len(values)), values)

    assert decoded.rejects == []
    assert decoded.events.column("user").to_pylist() == ["root", "x" * MAX_USER_LENGTH]
