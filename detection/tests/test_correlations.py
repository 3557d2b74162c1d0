"""Correlations against what their definition says, event by event."""

import itertools
import random
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detection import Engine, StateVersionError, sigma

START = 1_767_225_600_000
SPAN_MS = 60_000

HEAD = """
title: {name}
name: {name}
logsource: {{product: streamguard}}
detection:
  one: {{status: {status}}}
  condition: one
---
"""
TAIL = """
level: high
streamguard: {suppress: 1s}
examples:
  positive: [{name: p, events: [{event: {}}]}]
  negative: [{name: n, events: [{event: {}}]}]
"""
CONDITIONS = {
    "event_count": "rules: [s0]\n  condition: {gte: 4}",
    "value_count": "rules: [s0]\n  condition: {gte: 3, field: user}",
    "temporal": "rules: [s0, s1, s2]",
    "temporal_ordered": "rules: [s0, s1, s2]",
}
STATUSES = ("failed", "success", "blocked")


@pytest.fixture(scope="module")
def rules_of(tmp_path_factory):
    """Rule sets of one correlation each, by type."""
    folder = tmp_path_factory.mktemp("rules")
    found = {}
    for kind, body in CONDITIONS.items():
        path = folder / f"{kind}.yml"
        parts = [HEAD.format(name=f"s{n}", status=status) for n, status in enumerate(STATUSES)]
        correlation = dedent(f"""
            title: It happened
            name: it
            correlation:
              type: {kind}
              group-by: [source_ip]
              timespan: 1m
              BODY
            """).replace("BODY", body)
        path.write_text("".join(parts) + correlation + TAIL)
        found[kind] = sigma.load(path)
    return found


def draw(seed, count, late_ms):
    """Events of two entities, often enough for matches, some late by up to ``late_ms``."""
    rng = random.Random(seed)
    time, events = START, []
    for _ in range(count):
        time += rng.choice((0, 1, 5_000, 15_000, 20_000, 90_000))
        events.append(
            {
                "timestamp": time - rng.choice((0, 0, rng.randint(0, late_ms))),
                "source_ip": f"10.0.0.{rng.randrange(2)}",
                "user": f"user{rng.randrange(4)}",
                "status": rng.choice(STATUSES),
            }
        )
    return events


def holds(kind, window):
    """Say what a condition means: ``window`` holds (time, status, user), by time then arrival."""
    statuses = [status for _, status, _ in window]
    if kind == "event_count":
        return statuses.count("failed") >= 4
    if kind == "value_count":
        return len({user for _, status, user in window if status == "failed"}) >= 3
    if kind == "temporal":
        return set(statuses) == set(STATUSES)
    rest = iter(statuses)
    return all(status in rest for status in STATUSES)


def rows_that_begin(kind, events):
    """Return the rows at which a window of their entity begins to satisfy the condition.

    With every pause of the window's length another alert begins, and every second.
    """
    rows, seen, last_match, last_raised = [], {}, {}, {}
    for row, event in enumerate(events):
        entity, time = event["source_ip"], event["timestamp"]
        if kind in ("event_count", "value_count") and event["status"] != "failed":
            continue
        held = seen.setdefault(entity, [])
        held.append((time, event["status"], event["user"]))
        ordered = sorted(held, key=lambda one: one[0])
        ends = [time, *sorted(one[0] for one in held if time < one[0] < time + SPAN_MS)]
        matching = [
            end
            for end in ends
            if holds(kind, [one for one in ordered if end - SPAN_MS < one[0] <= end])
        ]
        if not matching:
            continue
        end = matching[0]
        goes_on = (
            entity in last_match
            and abs(end - last_match[entity]) < SPAN_MS
            and abs(end - last_raised[entity]) < 1_000
        )
        last_match[entity] = end
        if not goes_on:
            last_raised[entity] = end
            rows.append(row)
    return rows


@pytest.mark.parametrize("kind", CONDITIONS)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10_000), late_ms=st.sampled_from((0, 10_000, 90_000)))
def test_alerts_are_those_of_the_definition(batch, rules_of, kind, seed, late_ms):
    # In order, any number of events; out of order, as many as an entity's state holds.
    events = draw(seed, 20 if late_ms else 120, late_ms)
    result = Engine(rules=rules_of[kind]).process(batch(*events))

    assert [row for row, _ in result.alerts] == rows_that_begin(kind, events)


@pytest.mark.parametrize("kind", CONDITIONS)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10_000), late_ms=st.sampled_from((0, 90_000, 600_000)))
def test_no_two_alerts_share_an_id(batch, rules_of, kind, seed, late_ms):
    """Whatever comes late into an earlier window, and whatever another partition sees."""
    events = [
        event | {"timestamp": event["timestamp"] // 5_000 * 5_000}
        for event in draw(seed, 60, late_ms)
    ]
    elsewhere = [event | {"event_id": f"b{number}"} for number, event in enumerate(events)]
    alerts = [
        alert
        for partition in (events, elsewhere)
        for _, alert in Engine(rules=rules_of[kind]).process(batch(*partition)).alerts
    ]

    assert len({alert.alert_id for alert in alerts}) == len(alerts)


def test_only_the_latest_events_of_an_entity_are_held(batch, rules_of):
    engine = Engine(rules=rules_of["value_count"])
    events = [
        {"timestamp": START + n, "source_ip": "10.0.0.1", "user": f"user{n}", "status": "failed"}
        for n in range(5_000)
    ]
    engine.process(batch(*events))

    [window] = engine.correlator.windows
    assert window.marks[0, 2] == engine.correlator.limits[0].kept == 16


def test_an_event_without_entity_or_value_is_not_taken(batch, rules_of):
    events = [
        {"timestamp": START + n, "source_ip": ip, "user": user, "status": "failed"}
        for n, (ip, user) in enumerate(
            [(None, "a"), ("10.0.0.1", "unknown"), ("10.0.0.1", "b"), ("10.0.0.1", "c")]
        )
    ]

    assert Engine(rules=rules_of["value_count"]).process(batch(*events)).alerts == []


@pytest.mark.parametrize("kind", CONDITIONS)
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 10_000), cuts=st.sets(st.integers(1, 299), max_size=6), again=st.booleans()
)
def test_nothing_depends_on_where_batches_are_cut(batch, rules_of, kind, seed, cuts, again):
    events = batch(*draw(seed, 300, 90_000))
    whole, parts = Engine(rules=rules_of[kind]), Engine(rules=rules_of[kind])
    expected = whole.process(events).alerts
    found = []
    for first, last in itertools.pairwise([0, *sorted(cuts), 300]):
        alerts = parts.process(events.slice(first, last - first)).alerts
        found += [(first + row, alert) for row, alert in alerts]
        if again:
            parts = Engine.restore(parts.snapshot(), rules_of[kind])

    assert found == expected
    assert parts.snapshot() == whole.snapshot()


def test_state_of_other_rules_is_refused(rules_of):
    with pytest.raises(StateVersionError, match="rules"):
        Engine.restore(Engine(rules=rules_of["temporal"]).snapshot(), rules_of["event_count"])


def test_many_entities(batch, rules_of):
    engine = Engine(rules=rules_of["event_count"])
    events = [
        {
            "timestamp": START + n,
            "source_ip": f"10.{n % 3_000}",
            "status": "failed",
            "event_id": f"id-{n}" * (1 + n // 6_000),
        }
        for n in range(12_000)
    ]
    rows = batch(*events)
    alerts = [
        alert
        for first in range(0, 12_000, 1_500)
        for _, alert in engine.process(rows.slice(first, 1_500)).alerts
    ]

    assert len({alert.alert_id for alert in alerts}) == len(alerts) == 3_000
    assert alerts[-1].event_ids == [
        f"id-{n}" * (1 + n // 6_000) for n in range(2_999, 12_000, 3_000)
    ]
    assert (
        Engine.restore(engine.snapshot(), rules_of["event_count"]).snapshot() == engine.snapshot()
    )
