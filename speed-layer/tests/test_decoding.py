"""The compiled scanner reads what the decoder reads, whatever the bytes."""

import json
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contracts import decoder
from contracts.events import EVENT_TYPES
from event_generator.clock import EventClock
from event_generator.security.stream import SecurityScenario, SecurityStream
from speed_layer.decoding import _Scan, _sizes, decode

TOPIC = "security-events"
PLAIN = b'{"event_id":"e1","timestamp":1700000000000,"event_type":"dns_query"}'


def generated() -> list[bytes]:
    stream = SecurityStream(SecurityScenario(1, EventClock.at_rate(1_700_000_000_000, 100)))
    return [value.encode() for value in stream.batch(0).values]


EVENTS = generated()


def assert_same(values: list[bytes | None]) -> None:
    offsets = [7 * number for number in range(len(values))]
    expected = decoder.decode(TOPIC, 0, offsets, values)
    found = decode(TOPIC, 0, offsets, values)
    found.events.validate(full=True)
    assert found.events.equals(expected.events)
    assert list(found.indexes) == list(expected.indexes)
    assert found.rejects == expected.rejects


def is_plain(value: bytes) -> bool:
    return bool(_Scan([value], _sizes([value])).plain[0])


def test_every_generated_event_is_plain():
    assert _Scan(EVENTS, _sizes(EVENTS)).plain.all()
    assert_same(EVENTS)


FIELDS = ("threat_score", "user", "status", "source_ip", "event_type", "timestamp", "event_id")
NESTED = {
    "metadata": ("port", "process_name", "bytes_transferred", "domain", "file_path", "other"),
    "auth_details": ("status", "failure_reason", "attempts_count"),
    "network_details": ("destination_port", "bytes_sent"),
    "file_details": ("file_path", "file_size_bytes"),
    "process_details": ("process_name", "command_line", "process_id"),
    "dns_details": ("query_name", "resolved_ips"),
}
ODD_NUMBERS = (
    "-0",
    "0.0",
    "1",
    "1.0",
    "-1",
    "01",
    "1.",
    ".5",
    "5e-1",
    "1E400",
    "9" * 19,
    "0.30000000000000004",
)
ODD_WORDS = ("true", "null", "nul", "[]", "[[1,{}],{}]", "{}", '{"a":[]}', "NaN", "[1,]", "1 2", "")
ODD_TEXTS = (
    '""',
    '"success"',
    '"\\u0041"',
    '"a\\\\b\\"c\\/"',
    '"é"',
    '"\\ud800"',
    '"a\tb"',
    '"open',
    '"\x7f"',
)

scalars = st.one_of(
    st.sampled_from(ODD_NUMBERS + ODD_WORDS + ODD_TEXTS + tuple(f'"{t}"' for t in EVENT_TYPES)),
    st.text(max_size=70).map(json.dumps),
    st.text(max_size=70).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.floats(0, 1).map(json.dumps),
    st.integers(-(2**65), 2**65).map(json.dumps),
)
spaces = st.sampled_from(("", "", "", " ", "\n\t", "\r"))


def members(draw, keys: tuple[str, ...], values) -> str:
    chosen = draw(st.lists(st.sampled_from(keys), max_size=4))
    space = draw(spaces)
    return f",{space}".join(f'{space}"{key}"{space}:{space}{draw(values)}{space}' for key in chosen)


@st.composite
def records(draw) -> bytes:
    nested = draw(st.lists(st.sampled_from(tuple(NESTED)), max_size=3))
    parts = [PLAIN.decode()[1:-1], members(draw, FIELDS, scalars)]
    parts += [f'"{name}":{{{members(draw, NESTED[name], scalars)}}}' for name in nested]
    parts += [members(draw, tuple(NESTED), scalars)]
    draw(st.randoms()).shuffle(parts)
    return ("{" + ",".join(part for part in parts if part) + "}").encode("utf-8", "surrogatepass")


@settings(max_examples=120, deadline=None)
@given(st.lists(st.one_of(records(), st.sampled_from(EVENTS), st.none()), max_size=6))
@example([b""])
@example([None, PLAIN, b"", PLAIN + b" \n", PLAIN + b"x", b"\n" + PLAIN, PLAIN[:-1], b"\xff"])
@example([PLAIN[:-1] + b',"a":' + b"[" * 100 + b"]" * 100 + b"}"])
@example([PLAIN, PLAIN[:-1] + b',"user":"\xff"}', PLAIN[:-1] + ',"user":"\u00e9"}'.encode()])
@example([PLAIN[:-2], b'"}', PLAIN])
def test_odd_records(values):
    assert_same(values)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_records(seed):
    chance = random.Random(seed)
    values = []
    for value in chance.sample(EVENTS, 100):
        damaged = bytearray(value)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(damaged))
            match chance.randrange(4):
                case 0:
                    damaged[place] = chance.randrange(256)
                case 1:
                    del damaged[place : place + chance.randint(1, 40)]
                case 2:
                    damaged[place:place] = bytes([chance.choice(b'"\\{}[],:0 \0')])
                case 3:
                    other = chance.choice(EVENTS)
                    damaged[place:] = other[chance.randrange(len(other)) :]
        values.append(bytes(damaged))
    assert_same(values)


def test_a_record_that_does_not_end_is_not_read_on_into_the_next():
    # A batch of such records would else cost the square of its bytes.
    values = [b'{"event_id": "x', b'", "timestamp": 1700000000000', b"   ", b"   "]

    data = _Scan(values, _sizes(values))._data.tobytes()

    assert data.split(b"\0")[: len(values)] == values
    assert_same(values)


def test_common_variants_are_plain():
    event = {"event_id": "e", "timestamp": 1_700_000_000_000, "event_type": "file_access"}
    details = {"file_path": 'C:\\Users\\"x"', "port": None, "extra": [{"a": [1.5, True, None]}]}
    value = json.dumps(event | {"threat_score": 0.123456789, "metadata": details}, indent=2)
    assert is_plain(value.encode())
    assert is_plain(value.replace("Users", "Użytkownicy").encode())
    assert_same([value.encode(), value.replace("Users", "Użytkownicy").encode()])
