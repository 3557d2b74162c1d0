"""Risk ranks: bounded, and more, graver or newer evidence never lowers it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_layer.views.risk import HALF_LIFE_MS, SEVERITY_WEIGHT, alert_weight, risk_from

SEVERITIES = sorted(SEVERITY_WEIGHT, key=SEVERITY_WEIGHT.__getitem__)

scores = st.floats(0, 1)
severities = st.sampled_from(SEVERITIES)
alerts = st.lists(st.tuples(severities, st.integers(-HALF_LIFE_MS, 60 * HALF_LIFE_MS)), max_size=50)


def risk(batch, is_anomaly, realtime, raised):
    return risk_from(batch, is_anomaly, realtime, sum(alert_weight(*each) for each in raised))


@given(batch=scores, is_anomaly=st.booleans(), realtime=scores, raised=alerts)
def test_it_lies_from_0_to_below_1(batch, is_anomaly, realtime, raised):
    assert 0 <= risk(batch, is_anomaly, realtime, raised) < 1


@given(batch=scores, realtime=scores, raised=alerts, severity=severities)
def test_one_alert_more_raises_it_by_what_two_decimals_of_a_percent_show(
    batch, realtime, raised, severity
):
    before = risk(batch, False, realtime, raised)

    assert risk(batch, False, realtime, [*raised, (severity, 0)]) > before + 1e-5


@given(raised=alerts.filter(bool), graver=severities, ms=st.integers(0, HALF_LIFE_MS))
def test_a_graver_or_newer_alert_never_lowers_it(raised, graver, ms):
    (severity, age_ms), *others = raised
    before = risk(0, False, 0, raised)
    worse = max(severity, graver, key=SEVERITIES.index)

    assert risk(0, False, 0, [(worse, age_ms), *others]) >= before
    assert risk(0, False, 0, [(severity, age_ms - ms), *others]) >= before


@given(low=scores, high=scores, raised=alerts)
def test_a_higher_score_or_a_verdict_never_lowers_it(low, high, raised):
    low, high = sorted((low, high))

    assert risk(high, False, 0, raised) >= risk(low, False, 0, raised)
    assert risk(0, False, high, raised) >= risk(0, False, low, raised)
    assert risk(high, True, 0, raised) >= risk(high, False, 0, raised)


@pytest.mark.parametrize(
    ("more", "less"),
    [
        pytest.param({"CRITICAL": 6, "HIGH": 51}, {"CRITICAL": 5, "HIGH": 22}, id="number"),
        pytest.param({"CRITICAL": 8, "HIGH": 15}, {"CRITICAL": 7, "HIGH": 16}, id="severity"),
    ],
)
def test_users_with_dozens_of_alerts_differ_at_a_glance(more, less):
    def shown(numbers):
        raised = [(severity, 0) for severity, n in numbers.items() for _ in range(n)]
        return round(risk(0.1, False, 0.95, raised), 2)

    assert 0.8 < shown(less) < shown(more) < 0.95
