import json
from collections import Counter
from itertools import pairwise

import pytest

from contracts.decoder import decode_security_events
from contracts.events import SecurityEvent
from event_generator.clock import DAY_MS, EventClock
from event_generator.security.details import ANOMALY_KINDS
from event_generator.security.profiles import NAMED_USERS, profile
from event_generator.security.stream import BATCH_SIZE, SecurityScenario, SecurityStream
from event_generator.security.vocabulary import EVENT_MIX, FOREIGN_PLACES

START_MS = 1_750_000_000_000
TYPED_OBJECT = {
    "auth_attempt": "auth_details",
    "network_connection": "network_details",
    "file_access": "file_details",
    "process_execution": "process_details",
    "dns_query": "dns_details",
}
BATCHES = 8


def stream(seed: int = 1, **changes: object) -> SecurityStream:
    clock = EventClock.at_rate(START_MS, 100)
    return SecurityStream(SecurityScenario(**{"seed": seed, "clock": clock, **changes}))


def events_of(source: SecurityStream, batches: int = 1) -> list[dict]:
    return [json.loads(v) for index in range(batches) for v in source.batch(index).values]


def network_of(address: str) -> str:
    return address.rpartition(".")[0]


@pytest.fixture(scope="module")
def events() -> list[dict]:
    return events_of(stream(), BATCHES)


@pytest.fixture(scope="module")
def normal(events) -> list[dict]:
    return [event for number, event in enumerate(events, start=1) if number % 50]


@pytest.fixture(scope="module")
def anomalous(events) -> list[dict]:
    return events[49::50]


def test_the_same_seed_gives_the_same_bytes():
    assert stream(seed=7).batch(3) == stream(seed=7).batch(3)


def test_another_seed_gives_other_events():
    assert stream(seed=7).batch(0).values != stream(seed=8).batch(0).values


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"seed": 2}, id="seed"),
        pytest.param({"clock": EventClock.at_rate(START_MS + 1, 100)}, id="start"),
        pytest.param({"clock": EventClock.at_rate(START_MS, 101)}, id="rate"),
        pytest.param({"users": 15}, id="users"),
    ],
)
def test_runs_that_differ_share_no_event_id(events, changes):
    others = events_of(stream(**changes), BATCHES)

    assert not {event["event_id"] for event in events} & {event["event_id"] for event in others}


def test_every_event_passes_the_decoder():
    values = [value.encode() for value in stream().batch(0).values]

    decoded = decode_security_events(range(len(values)), values)

    assert decoded.rejects == []
    assert decoded.events.num_rows == BATCH_SIZE


@pytest.mark.parametrize("anomaly_rate", [0.02, 1.0])
def test_every_event_is_one_of_the_contract(anomaly_rate):
    allowed = {"event_id", "timestamp", "event_type", "source_ip", "destination_ip", "user"}
    allowed |= {"status", "threat_score", "metadata"}
    for event in events_of(stream(anomaly_rate=anomaly_rate)):
        model = SecurityEvent.model_validate(event)
        details = getattr(model, TYPED_OBJECT[model.event_type])

        assert set(event) == allowed | {TYPED_OBJECT[model.event_type]}
        assert model.model_extra == model.metadata.model_extra == details.model_extra == {}


def test_an_event_is_about_540_bytes():
    values = stream().batch(0).values

    assert 500 < sum(map(len, values)) / len(values) < 600


def test_event_times_ascend_at_the_rate(events):
    steps = [later["timestamp"] - event["timestamp"] for event, later in pairwise(events)]

    assert events[0]["timestamp"] == START_MS
    assert set(steps) == {10}


def test_event_types_keep_their_mix(events, assert_shares):
    assert_shares((event["event_type"] for event in events), EVENT_MIX)


def test_users_are_the_named_ones_with_equal_shares(events, assert_shares):
    names = [name for name, _, _ in NAMED_USERS]

    assert {"admin", "manager", "alice", "bob"} <= set(names)
    assert_shares((event["user"] for event in events), dict.fromkeys(names, 1 / 14))


def test_normal_logins_succeed_fail_and_are_blocked_by_their_shares(normal, assert_shares):
    logins = [event["status"] for event in normal if event["event_type"] == "auth_attempt"]

    assert_shares(logins, {"success": 0.92, "failed": 0.06, "blocked": 0.02})


def test_normal_events_come_from_home(normal, assert_shares):
    homes = {name: profile(number) for number, (name, _, _) in enumerate(NAMED_USERS)}
    ranks = [homes[event["user"]].home_ips.index(event["source_ip"]) for event in normal]
    places = [
        homes[event["user"]].places.index(event["metadata"]["geo_location"]) for event in normal
    ]

    assert_shares(ranks, {0: 0.8, 1: 0.1, 2: 0.1})
    assert_shares(places, {0: 0.9, 1: 0.1})


def test_an_anomaly_comes_from_a_new_network_and_a_foreign_place(normal, anomalous):
    homes = {network_of(event["source_ip"]) for event in normal}

    assert not homes & {network_of(event["source_ip"]) for event in anomalous}
    assert {event["metadata"]["geo_location"] for event in anomalous} == set(FOREIGN_PLACES)


def test_anomalies_show_their_kind(anomalous):
    by_type = {kind: [e for e in anomalous if e["event_type"] == kind] for kind in EVENT_MIX}

    ports = {event["metadata"]["port"] for event in by_type["network_connection"]}
    signed = {event["process_details"]["is_signed"] for event in by_type["process_execution"]}
    paths = {event["metadata"]["file_path"] for event in by_type["file_access"]}
    domains = [event["metadata"]["domain"] for event in by_type["dns_query"]]
    assert ports == {9050, 4444, 31337, 6667}
    assert signed == {False}
    assert "/etc/shadow" in paths
    assert "C:\\Windows\\NTDS\\ntds.dit" in paths
    assert min(map(len, domains)) > 50


def test_the_threat_score_gives_the_label_away(normal, anomalous):
    assert max(event["threat_score"] for event in normal) < 0.5
    assert min(event["threat_score"] for event in anomalous) >= 0.7


def test_every_50th_event_is_labelled_and_no_other():
    source = stream()
    batch = source.batch(0)
    labels = [json.loads(line) for _, line in batch.labels]
    anomalous = events_of(source)[49::50]

    assert [position for position, _ in batch.labels] == list(range(49, BATCH_SIZE, 50))
    assert labels == [
        {
            "event_id": event["event_id"],
            "user": event["user"],
            "timestamp": event["timestamp"],
            "is_anomaly": True,
            "kind": ANOMALY_KINDS[event["event_type"]],
        }
        for event in anomalous
    ]


def test_no_event_tells_its_label():
    for value in stream(anomaly_rate=0.5).batch(0).values:
        assert "anomal" not in value
        assert not any(kind in value for kind in ANOMALY_KINDS.values())


def test_another_anomaly_rate_is_drawn(assert_shares):
    source = stream(anomaly_rate=0.1)
    labelled = {
        index * BATCH_SIZE + position
        for index in range(4)
        for position, _ in source.batch(index).labels
    }
    flags = [number in labelled for number in range(4 * BATCH_SIZE)]

    assert_shares(flags, {True: 0.1, False: 0.9})


def test_over_days_normal_events_keep_their_users_hours():
    clock = EventClock.over_span(START_MS, 2 * DAY_MS / 1000, 4 * BATCH_SIZE)
    source = stream(clock=clock, follow_hours=True, anomaly_rate=0.0)
    inside = [
        profile([name for name, _, _ in NAMED_USERS].index(event["user"])).is_active(
            event["timestamp"] // 3_600_000 % 24
        )
        for event in events_of(source, 4)
    ]

    assert sum(inside) / len(inside) > 0.9


def test_more_users_are_new_people_of_the_same_shape():
    users = [profile(number) for number in range(3_000)]

    assert len({user.name for user in users}) == len(users)
    assert len({address for user in users for address in user.home_ips}) == 3 * len(users)
    assert all(user.places[0] != user.places[1] for user in users)


def test_all_of_many_users_act():
    counts = Counter(event["user"] for event in events_of(stream(users=1_000), 3))

    assert len(counts) == 1_000
