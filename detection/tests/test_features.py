"""The features against an oracle in plain Python that knows nothing of the state."""

import itertools
import statistics
from collections import Counter

import pytest

from contracts.events import AUTH_EVENT_TYPES, EVENT_TYPES
from contracts.views import COUNT_FEATURES, FEATURE_SCHEMA, FEATURES
from detection import Engine, user_features

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def deviation(values):
    return statistics.stdev(values) if len(values) > 1 else 0.0


def unique(rows):
    seen = set()
    return [row for row in rows if not (row["event_id"] in seen or seen.add(row["event_id"]))]


def expected(user, partitions):
    """Return a user's row, from the partitions' events without duplicates."""
    parts = [[row for row in unique(rows) if row["user"] == user] for rows in partitions]
    rows = [row for part in parts for row in part]
    gaps = [
        abs(b["timestamp"] - a["timestamp"]) / 1000
        for part in parts
        for a, b in itertools.pairwise(part)
    ]
    ips = Counter(row["source_ip"] for row in rows if row["source_ip"] is not None)
    threats = [row["threat_score"] for row in rows if row["threat_score"] is not None]
    auth = [row for row in rows if row["event_type"] in AUTH_EVENT_TYPES]
    hours = Counter(row["timestamp"] // HOUR_MS % 24 for row in rows)
    unusual = sum(count for hour, count in hours.items() if hour <= 6)
    days = len({row["timestamp"] // DAY_MS for row in rows})
    failed_auth = sum(row["status"] == "failed" for row in auth)
    types = Counter(row["event_type"] for row in rows)
    rare = sum(count == 1 for count in ips.values())
    spread = deviation(list(hours.values()))
    return {
        "user": user,
        "first_seen": min(row["timestamp"] for row in rows),
        "last_seen": max(row["timestamp"] for row in rows),
        "total_events": len(rows),
        "unique_ips": len(ips),
        "unique_event_types": len(types),
        "avg_threat_score": statistics.fmean(threats) if threats else 0.0,
        "max_threat_score": max(threats, default=0.0),
        "failed_events": sum(row["status"] == "failed" for row in rows),
        "unusual_hour_events": unusual,
        "unique_locations": len({row["geo_location"] for row in rows} - {None}),
        "failed_auth_rate": failed_auth / len(auth) if auth else 0.0,
        "unusual_hour_rate": unusual / len(rows),
        "ip_diversity_score": len(ips) / len(rows),
        "activity_days": days,
        "events_per_day": len(rows) / days,
        "auth_attempt_count": len(auth),
        **{f"{name}_count": types[name] for name in EVENT_TYPES[1:]},
        "hourly_stddev": spread,
        "hourly_variance": spread**2,
        "avg_ip_frequency": statistics.fmean(ips.values()) if ips else 0.0,
        "ip_frequency_stddev": deviation(list(ips.values())),
        "rare_ip_count": rare,
        "rare_ip_ratio": rare / len(ips) if ips else 0.0,
        "avg_event_interval": statistics.fmean(gaps) if gaps else 0.0,
        "event_interval_stddev": deviation(gaps),
        "min_event_interval": min(gaps, default=0.0),
        "burst_events": sum(gap < 1 for gap in gaps),
    }


def assert_equal(row, oracle):
    assert list(row) == FEATURE_SCHEMA.names
    for name, value in oracle.items():
        if name in FEATURES and name not in COUNT_FEATURES:
            assert row[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
        else:
            assert row[name] == value, name


@pytest.mark.parametrize("step_ms", [200, 2_000, 200_000])
@pytest.mark.parametrize("partitions", [1, 3])
def test_features_equal_the_oracle(simulated, step_ms, partitions):
    batches = [simulated(n, 1_200, users=4 + n, step_ms=step_ms) for n in range(partitions)]
    engines = [Engine() for _ in batches]
    for engine, events in zip(engines, batches, strict=True):
        engine.process(events)
    table = user_features(engines, include_unknown=True)
    rows = [events.to_pylist() for events in batches]

    assert table.schema == FEATURE_SCHEMA
    assert table["user"].to_pylist() == sorted({row["user"] for part in rows for row in part})
    for row in table.to_pylist():
        assert_equal(row, expected(row["user"], rows))


def test_features_of_one_user(simulated):
    engine = Engine()
    events = simulated(7, 800)
    engine.process(events)

    assert_equal(engine.features_of("user2"), expected("user2", [events.to_pylist()]))
    assert engine.features_of("nobody") is None
    assert engine.features_of("") is None


def test_unknown_user_is_left_out(simulated):
    engine = Engine()
    engine.process(simulated(7, 800))

    assert "unknown" not in user_features([engine])["user"].to_pylist()


def test_no_engines_no_users():
    assert user_features([]).num_rows == 0
    assert user_features([Engine()]).schema == FEATURE_SCHEMA
