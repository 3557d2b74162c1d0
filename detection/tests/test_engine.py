import numpy as np
import pytest

from detection import Engine, StateDamagedError, StateVersionError
from detection import engine as engine_module

DAY_MS = 86_400_000
START = 1_767_225_600_000
EXTREMES = (2**63 - 1, -(2**63), 0, -1)


def test_empty_batch_changes_nothing(batch):
    engine = Engine()
    before = engine.snapshot()

    result = engine.process(batch())

    assert result.components.shape == (0, 10)
    assert engine.snapshot() == before


def test_first_of_repeated_ids_wins(batch):
    engine = Engine()
    result = engine.process(
        batch({"event_id": "a"}, {"event_id": "b"}, {"event_id": "a", "user": "eve"})
    )

    assert result.duplicate.tolist() == [False, False, True]
    assert engine.features_of("eve") is None
    assert (engine.events_seen, engine.duplicates_seen) == (3, 1)


def test_a_duplicate_changes_nothing_but_the_count(batch):
    once, twice = Engine(), Engine()
    events = [{"event_id": "a"}, {"event_id": "b", "source_ip": "10.0.0.1"}]
    once.process(batch(*events))
    twice.process(batch(*events, {"event_id": "a", "user": "eve", "source_ip": "10.9.9.9"}))
    twice.state.tally[:] = once.state.tally

    assert once.snapshot() == twice.snapshot()


def test_an_id_is_forgotten_after_the_horizon(batch):
    engine = Engine()
    engine.state = engine.state._replace(ring=engine.state.ring[:4])
    ids = ["a", "b", "c", "d", "a", "e", "a", "d"]  # e takes the place of a
    result = engine.process(batch(*({"event_id": name} for name in ids)))

    assert np.flatnonzero(result.duplicate).tolist() == [4, 7]


def test_unknown_user_counts_and_is_never_scored(batch):
    engine = Engine()
    failed = {"user": "unknown", "status": "failed"}
    result = engine.process(batch(*({**failed, "source_ip": f"10.0.0.{n}"} for n in range(200))))

    assert np.isnan(result.anomaly_score).all()
    assert result.alerts == []
    assert engine.features_of("unknown")["total_events"] == 200


@pytest.mark.parametrize("scorer", ["calibrated", "reference"])
def test_extreme_integers_are_taken(batch, scorer):
    engine = Engine(scorer)
    events = [{"port": x, "bytes_transferred": y} for x in EXTREMES for y in EXTREMES] * 20
    result = engine.process(batch(*events))

    assert np.isfinite(result.anomaly_score[150:]).all()
    assert Engine.restore(engine.snapshot()).snapshot() == engine.snapshot()


def test_times_far_apart(batch):
    engine = Engine()
    times = [1_600_000_000_000, 2_000_000_000_000, 1_600_000_000_000]
    engine.process(batch(*({"timestamp": time} for time in times)))
    features = engine.features_of("alice")

    assert (features["first_seen"], features["last_seen"]) == (times[0], times[1])
    assert features["min_event_interval"] == 400_000_000
    assert features["activity_days"] == 2


def test_ten_thousand_users(batch):
    engine = Engine()
    events = [
        {"user": f"user{n}", "source_ip": f"10.{n % 7}.0.1", "event_id": f"{n}-{turn}" * 3}
        for turn in range(2)
        for n in range(10_000)
    ]
    rows = batch(*events)
    for first in range(0, rows.num_rows, 1_500):
        engine.process(rows.slice(first, 1_500))

    assert engine.features_of("user9999")["total_events"] == 2
    assert Engine.restore(engine.snapshot()).snapshot() == engine.snapshot()


@pytest.mark.parametrize("scorer", ["calibrated", "reference"])
def test_threat_score_is_no_input(simulated, scorer):
    events = simulated(3, 1_000)
    column = events.schema.get_field_index("threat_score")
    permuted = events.set_column(column, "threat_score", events.column(column)[::-1])
    one, other = Engine(scorer), Engine(scorer)
    first, second = one.process(events), other.process(permuted)

    assert first.anomaly_score.tobytes() == second.anomaly_score.tobytes()
    assert first.reasons == second.reasons
    assert first.alerts == second.alerts
    mine, theirs = one.features_of("user1"), other.features_of("user1")
    assert {name for name in mine if mine[name] != theirs[name]} <= {
        "avg_threat_score",
        "max_threat_score",
    }


def test_unknown_scorer_is_refused():
    with pytest.raises(ValueError, match="scorer: 'magic'"):
        Engine("magic")


def test_state_of_another_version_is_refused(simulated, monkeypatch):
    engine = Engine()
    engine.process(simulated(1, 50))
    monkeypatch.setattr(engine_module, "VERSION", "0.old")
    data = engine.snapshot()
    monkeypatch.undo()

    with pytest.raises(StateVersionError, match=r"0\.old"):
        Engine.restore(data)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[:20], id="cut-in-header"),
        pytest.param(lambda data: data[:-1], id="cut"),
        pytest.param(lambda data: data[:99] + bytes([data[99] ^ 1]) + data[100:], id="bit-flip"),
        pytest.param(lambda data: b"x" * 500, id="something-else"),
    ],
)
def test_damaged_state_is_refused(simulated, damage):
    engine = Engine()
    engine.process(simulated(1, 50))

    with pytest.raises(StateDamagedError):
        Engine.restore(damage(engine.snapshot()))


def test_scorer_survives_a_snapshot():
    assert Engine.restore(Engine("reference").snapshot()).scorer == "reference"


def of_many(kind, numbers):
    """Events of one user with a value of its own each."""
    return [
        {"event_id": f"e{n}", kind: f"value-{n}", "timestamp": START + 60_000 * n} for n in numbers
    ]


@pytest.mark.parametrize("kind", ["domain", "source_ip"])
def test_a_users_state_is_bounded(batch, kind):
    engine = Engine()
    most = {"domain": 4_096, "source_ip": 65_536}[kind]
    for first in range(0, most + 9_000, 6_000):
        engine.process(batch(*of_many(kind, range(first, first + 6_000))))
    full = engine.state.distinct[engine.interner.user_code("alice")].copy()
    again = Engine.restore(engine.snapshot())

    later = batch(*of_many(kind, range(200_000, 203_000)))
    known = batch(*of_many(kind, range(300_000, 300_010)), {"event_id": "k", kind: "value-7"})
    scores = engine.process(later).anomaly_score

    assert full.max() <= most + 1
    assert (engine.state.distinct[engine.interner.user_code("alice")][:12] == full[:12]).all()
    assert (again.process(later).anomaly_score == scores).all()
    engine.process(known)
    again.process(known)
    assert again.snapshot() == engine.snapshot()
    if kind == "source_ip":
        assert engine.features_of("alice")["unique_ips"] == most + 1
