"""The decoder against bad records, and against the published pydantic models."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts import events as ev
from contracts.columns import EVENT_SCHEMA
from contracts.decoder import decode, decode_security_events, decode_user_events
from contracts.events import SecurityEvent
from contracts.topics import MAX_RECORD_BYTES

NOW = 1_750_000_000_000


def event(**changes) -> dict:
    base = {"event_id": "evt_0123456789ab", "timestamp": NOW, "event_type": "auth_attempt"}
    return {key: value for key, value in {**base, **changes}.items() if value is not ...}


def encoded(**changes) -> bytes:
    return json.dumps(event(**changes)).encode()


def only(value: bytes | None):
    return decode_security_events([7], [value])


BAD = [
    pytest.param(None, "empty", "no value", id="tombstone"),
    pytest.param(b"", "empty", "no value", id="empty"),
    pytest.param(b"\x00\xff\xfe", "undecodable", "", id="bytes"),
    pytest.param(b'{"event_id": "e"', "undecodable", "truncated", id="cut-off"),
    pytest.param(b"[" * 100_000, "invalid", "object", id="deep-array"),
    pytest.param(b'{"a":' * 100_000, "undecodable", "", id="deep-object"),
    pytest.param(b"[]", "invalid", "object", id="array"),
    pytest.param(encoded() + b"{}", "undecodable", "", id="two-objects"),
    pytest.param(encoded()[:-1] + b', "z": NaN}', "undecodable", "", id="nan"),
    pytest.param(encoded(event_id="\udc80"), "undecodable", "surrogate", id="lone-surrogate"),
    pytest.param(
        encoded().replace(b"evt_", b"\xff\xfe"), "undecodable", "utf-8", id="invalid-utf-8"
    ),
    pytest.param(encoded(event_id=...), "invalid", "event_id", id="no-event_id"),
    pytest.param(encoded(timestamp=...), "invalid", "timestamp", id="no-timestamp"),
    pytest.param(encoded(event_type=...), "invalid", "event_type", id="no-event_type"),
    pytest.param(encoded(event_id=None), "invalid", "event_id", id="null-event_id"),
    pytest.param(encoded(event_id=""), "invalid", "event_id", id="empty-event_id"),
    pytest.param(encoded(event_id="e" * 65), "invalid", "event_id", id="long-event_id"),
    pytest.param(encoded(timestamp=str(NOW)), "invalid", "timestamp", id="timestamp-text"),
    pytest.param(encoded(timestamp=NOW + 0.5), "invalid", "timestamp", id="timestamp-fraction"),
    pytest.param(encoded(timestamp=1), "invalid", "timestamp", id="far-past"),
    pytest.param(encoded(timestamp=10**13), "invalid", "timestamp", id="far-future"),
    pytest.param(encoded(timestamp=10**30), "invalid", "timestamp", id="huge-integer"),
    pytest.param(encoded(event_type="login"), "invalid", "event_type", id="unknown-type"),
    pytest.param(encoded(status="maybe"), "invalid", "status", id="unknown-status"),
    pytest.param(encoded(user=""), "invalid", "user", id="empty-user"),
    pytest.param(encoded(user="u" * 257), "invalid", "user", id="long-user"),
    pytest.param(encoded(user=5), "invalid", "user", id="user-number"),
    pytest.param(encoded(threat_score=1.1), "invalid", "threat_score", id="score-above-1"),
    pytest.param(encoded(metadata="x"), "invalid", "metadata", id="metadata-text"),
    pytest.param(encoded(metadata={"port": "443"}), "invalid", "metadata.port", id="port-text"),
    pytest.param(
        encoded(metadata={"port": 2**70}), "invalid", "metadata.port", id="port-over-int64"
    ),
    pytest.param(
        encoded(pad="x" * MAX_RECORD_BYTES), "too_large", str(MAX_RECORD_BYTES), id="too-large"
    ),
    pytest.param(b" " * 5_000_000, "too_large", "5000000 bytes", id="5-MB"),
]


@pytest.mark.parametrize(("value", "reason", "mention"), BAD)
def test_a_bad_record_is_refused_with_its_field(value, reason, mention):
    decoded = only(value)

    assert decoded.events.num_rows == 0
    (reject,) = decoded.rejects
    assert (reject.index, reject.reason) == (0, reason)
    assert mention in reject.error


def test_bad_records_cost_only_themselves():
    values = [part for bad in BAD for part in (bad.values[0], encoded())]

    decoded = decode_security_events(range(100, 100 + len(values)), values)

    assert [reject.index for reject in decoded.rejects] == list(range(0, len(values), 2))
    assert list(decoded.indexes) == list(range(1, len(values), 2))
    assert decoded.events.column("offset").to_pylist() == [100 + i for i in decoded.indexes]


@pytest.mark.parametrize(
    ("changes", "column", "expected"),
    [
        pytest.param({}, "user", "unknown", id="no-user"),
        pytest.param({"user": None}, "user", "unknown", id="null-user"),
        pytest.param({"source_ip": "vpn.example"}, "source_ip", "vpn.example", id="host-name"),
        pytest.param({"auth_details": {"status": "failed"}}, "status", "failed", id="auth-status"),
        pytest.param(
            {"status": "success", "auth_details": {"status": "failed"}},
            "status",
            "success",
            id="own-status-first",
        ),
        pytest.param({"auth_details": {"status": "odd"}}, "status", None, id="odd-auth-status"),
        pytest.param({"metadata": {"port": 443}}, "port", 443, id="metadata-port"),
        pytest.param(
            {"metadata": {"port": 1}, "network_details": {"destination_port": 2}},
            "port",
            1,
            id="metadata-port-first",
        ),
        pytest.param(
            {"network_details": {"destination_port": 0}}, "port", 0, id="details-port-zero"
        ),
        pytest.param({"dns_details": {"query_name": "a.b"}}, "domain", "a.b", id="dns-name"),
        pytest.param(
            {"file_details": {"file_size_bytes": 9}}, "bytes_transferred", 9, id="file-size"
        ),
        pytest.param({"metadata": None}, "hostname", None, id="null-metadata"),
        pytest.param({"threat_score": 1}, "threat_score", 1.0, id="integer-score"),
        pytest.param({"unheard": [{"of": 1}]}, "event_id", "evt_0123456789ab", id="unknown-key"),
    ],
)
def test_a_column_is_read_from_where_the_event_has_it(changes, column, expected):
    decoded = only(encoded(**changes))

    assert not decoded.rejects
    assert decoded.events.column(column).to_pylist() == [expected]


def test_a_repeated_key_counts_with_its_last_value():
    value = encoded(user="first")[:-1] + b', "user": "last"}'

    assert only(value).events.column("user").to_pylist() == ["last"]


def test_no_records_are_no_rows():
    decoded = decode_security_events([], [])

    assert decoded.events.schema == EVENT_SCHEMA
    assert decoded.events.num_rows == 0


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats(0, 2) | TEXT,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(TEXT, children, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["event_id", "timestamp", "event_type", "user", "status", "threat_score", "source_ip", "extra"]
)


@given(st.dictionaries(FIELDS, JSON | st.sampled_from([NOW, "dns_query", "failed"]), max_size=8))
def test_the_decoder_accepts_what_the_published_model_accepts(fields):
    """The hot path and the exported JSON Schema are one contract (strict, as JSON has types)."""
    value = msgspec.json.encode({**event(), **fields})
    try:
        SecurityEvent.model_validate_json(value, strict=True)
        valid = True
    except ValidationError:
        valid = False

    assert bool(only(value).events.num_rows) == valid


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_refused_or_read(value):
    decoded = only(value)

    assert decoded.events.num_rows + len(decoded.rejects) == 1


def activity(**changes) -> bytes:
    base = {"userId": "u1", "eventType": "USER_SEARCH", "timestamp": "2025-06-15T12:00:00"}
    return json.dumps({**base, **changes}).encode()


@pytest.mark.parametrize(
    ("event_type", "status"),
    [
        pytest.param(ev.USER_LOGIN, "success", id="login"),
        pytest.param(ev.USER_LOGIN_FAILED, "failed", id="failed-login"),
        pytest.param("USER_SEARCH", None, id="other"),
    ],
)
def test_user_activity_gets_its_coordinates_as_id(event_type, status):
    decoded = decode_user_events(3, [42], [activity(eventType=event_type)])

    (row,) = decoded.events.to_pylist()
    assert row["event_id"] == "user-events-3-42"
    assert (row["user"], row["event_type"], row["status"]) == ("u1", event_type, status)
    assert row["timestamp"] == 1_749_988_800_000


BAD_ACTIVITY = [
    pytest.param(None, "empty", "no value", id="tombstone"),
    pytest.param(b"\x00\xff\xfe", "undecodable", "", id="bytes"),
    pytest.param(b" " * 5_000_000, "too_large", "5000000 bytes", id="5-MB"),
    pytest.param(b'{"userId": "u1"}', "invalid", "eventType", id="no-type"),
    pytest.param(activity(userId=None), "invalid", "userId", id="null-user"),
    pytest.param(activity(eventType=7), "invalid", "eventType", id="type-number"),
    pytest.param(activity(timestamp=NOW), "invalid", "timestamp", id="timestamp-number"),
    pytest.param(activity(timestamp="2025-06-15 12:00"), "invalid", "timestamp", id="time-form"),
    pytest.param(activity(timestamp="1999-01-01T00:00:00"), "invalid", "timestamp", id="past"),
    pytest.param(activity(timestamp="9999-12-31T23:59:59"), "invalid", "timestamp", id="future"),
    pytest.param(activity(metadata={"k": 1}), "invalid", "metadata", id="metadata-number"),
]


@pytest.mark.parametrize(("value", "reason", "mention"), BAD_ACTIVITY)
def test_bad_user_activity_is_refused_with_its_field_and_alone(value, reason, mention):
    good = activity(unheard={"of": 1})
    decoded = decode_user_events(0, [4, 5, 6], [good, value, good])

    assert decoded.events.column("offset").to_pylist() == [4, 6]
    (reject,) = decoded.rejects
    assert (reject.index, reject.reason) == (1, reason)
    assert mention in reject.error


def test_a_topic_without_a_decoder_is_an_error():
    with pytest.raises(ValueError, match="transactions-stream"):
        decode("transactions-stream", 0, [], [])
