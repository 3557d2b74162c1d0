"""2,000 lines of a real sshd log (Loghub, ISSRE 2023); they lie beside the repository."""

import json
import zlib
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from contracts.decoder import decode_security_events
from detection import Engine

LOG = Path(__file__).resolve().parents[3] / "shared" / "data" / "OpenSSH_2k.log"
MINUTE_MS = 60_000

pytestmark = pytest.mark.skipif(not LOG.exists(), reason=f"the real sshd log is absent: {LOG}")


@pytest.fixture(scope="module")
def values(adapter):
    one = adapter()
    return [event.value for line in LOG.read_bytes().splitlines() for event in one.events(line)]


@pytest.fixture(scope="module")
def alerts(values):
    decoded = decode_security_events(range(len(values)), [value.encode() for value in values])
    assert decoded.rejects == []
    return [alert for _, alert in Engine().process(decoded.events).alerts]


def test_attempts_of_the_real_log(values):
    events = [json.loads(value) for value in values]
    failed = [event for event in events if event["status"] == "failed"]
    by_source = Counter(event["source_ip"] for event in failed)

    assert len(failed) == 532
    assert by_source.most_common(1) == [("183.62.140.253", 286)]
    assert [event["user"] for event in events if event["status"] == "success"] == ["fztu"]
    assert len({event["event_id"] for event in events}) == 533


def test_the_sources_with_five_failures_in_a_minute_are_reported(values, alerts):
    times = defaultdict(list)
    for event in map(json.loads, values):
        if event["status"] == "failed":
            times[event["source_ip"]].append(event["timestamp"])
    bursts = {
        source
        for source, at in times.items()
        if any(fifth - first < MINUTE_MS for first, fifth in zip(at, at[4:], strict=False))
    }
    reported = [alert for alert in alerts if alert.rule_id == "brute-force-source"]

    assert len(bursts) == 11
    assert {ip for alert in reported for ip in alert.source_ips} == bursts


def test_they_are_reported_in_however_many_partitions(values):
    """Topics are keyed by user, so that a source's attempts lie in several partitions."""
    partitions = defaultdict(list)
    for value in map(str.encode, values):
        user = json.loads(value).get("user", "")
        partitions[zlib.crc32(user.encode()) % 4].append(value)
    reported = {
        ip
        for part in partitions.values()
        for _, alert in Engine()
        .process(decode_security_events(range(len(part)), part).events)
        .alerts
        if alert.rule_id == "brute-force-source"
        for ip in alert.source_ips
    }

    assert len(partitions) == 4
    assert len(reported) == 11


def test_the_accepted_login_raises_no_alert(alerts):
    assert alerts
    assert "119.137.62.142" not in {ip for alert in alerts for ip in alert.source_ips}
    assert "fztu" not in {alert.user_id for alert in alerts}
