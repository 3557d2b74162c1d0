"""Whatever line stands in a log: events come out or a LineError, and nothing else."""

import json
from contextlib import suppress
from datetime import UTC, datetime

from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts.decoder import decode_security_events
from streamguard_cli.errors import LineError
from streamguard_cli.sshd.adapter import SshdAdapter
from streamguard_cli.sshd.dates import Years

TIMES = st.text(max_size=20) | st.sampled_from(
    (
        "Dec 10 06:55:46",
        "Dec  1 24:00:00",
        "Feb 29 00:00:00",
        "Feb 30 00:00:00",
        "Xyz 99 99:99:99",
        "2025-12-10T06:55:46+05:30",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59.999999-12:00",
        "<38>1 2025-12-10T06:55:46Z",
        "2025-13-40T25:61:61Z",
    )
)
MESSAGES = st.sampled_from(
    (
        "Failed password for {} from {} port {} ssh2",
        "Failed password for invalid user {} from {} port {} ssh2",
        "Accepted publickey for {} from {} port {} ssh2",
        "Invalid user {} from {} port {}",
        "message repeated {} times: [ Failed password for {} from {} port 22 ssh2]",
        "{}{}{}",
    )
)
WORDS = st.text(max_size=30) | st.sampled_from(
    ["root", "192.0.2.7", "::1", "fe80::1%eth0", "99999", "-1", "999999999999", "", "\udc80", "\0"]
)
PROGRAMS = st.sampled_from(["sshd[24200]:", "sshd:", "sshd-session[x]:", "sshd 1 - -", "cron[1]:"])


def adapter() -> SshdAdapter:
    return SshdAdapter(Years(datetime(2026, 3, 1, tzinfo=UTC)), UTC)


def lines() -> st.SearchStrategy[bytes]:
    message = st.builds(str.format, MESSAGES, WORDS, WORDS, WORDS)
    parts = st.tuples(TIMES, st.just("host"), PROGRAMS, message)
    return parts.map(lambda found: " ".join(found).encode(errors="surrogateescape"))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=100) | lines(), max_size=4))
@example(
    [b"Dec 10 06:55:46 h sshd[1]: message repeated 9999999999 times: [ Failed password for a]"]
)
def test_any_lines_give_events_or_are_refused(found):
    sshd = adapter()
    for line in found:
        with suppress(LineError):
            events = sshd.events(line)
            values = [event.value.encode() for event in events]
            assert decode_security_events(range(len(values)), values).rejects == []
            assert all(json.loads(event.value)["event_id"] and event.key for event in events)
