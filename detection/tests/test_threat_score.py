"""``threat_score`` gives the label away in made-up data: nothing that judges may read it."""

import numpy as np
import pyarrow as pa
import pytest

from detection import Engine

COLUMN = "threat_score"
THREAT_FEATURES = {"avg_threat_score", "max_threat_score"}


def with_threats(events, values):
    place = events.schema.get_field_index(COLUMN)
    return events.set_column(place, events.schema.field(COLUMN), values)


def permuted(events):
    order = np.random.default_rng(5).permutation(events.num_rows)
    return with_threats(events, events.column(COLUMN).take(pa.array(order)))


def absent(events):
    return with_threats(events, pa.nulls(events.num_rows, pa.float64()))


def telling(events):
    odd = [float(name.startswith("odd")) for name in events.column("event_id").to_pylist()]
    return with_threats(events, pa.array(odd))


@pytest.mark.parametrize("scorer", ["calibrated", "reference"])
@pytest.mark.parametrize("change", [permuted, absent, telling])
def test_threat_scores_change_nothing_but_their_two_features(simulated, scorer, change):
    events = simulated(6, 4_000, step_ms=300)
    assert change(events).column(COLUMN) != events.column(COLUMN)
    engine, other = Engine(scorer), Engine(scorer)

    result, twin = engine.process(events), other.process(change(events))

    assert result.is_anomaly.any()
    assert result.alerts
    np.testing.assert_array_equal(twin.duplicate, result.duplicate)
    np.testing.assert_array_equal(twin.anomaly_score, result.anomaly_score)
    np.testing.assert_array_equal(twin.is_anomaly, result.is_anomaly)
    np.testing.assert_array_equal(twin.components, result.components)
    assert twin.reasons == result.reasons
    assert twin.alerts == result.alerts
    features, others = engine.features_of("user1"), other.features_of("user1")
    changed = {name for name in features if features[name] != others[name]}
    assert set() < changed <= THREAT_FEATURES
