import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detection import Engine

COUNT = 900


def run(events, cuts, restores, scorer):
    """Process ``events`` cut at ``cuts``, through a snapshot at those of ``restores``."""
    engine, results = Engine(scorer), []
    edges = [0, *sorted(cuts), events.num_rows]
    for number, (first, last) in enumerate(itertools.pairwise(edges)):
        results.append(engine.process(events.slice(first, last - first)))
        if number in restores:
            engine = Engine.restore(engine.snapshot())
    alerts = [
        (first + row, alert)
        for first, result in zip(edges, results, strict=False)
        for row, alert in result.alerts
    ]
    return (
        np.concatenate([result.anomaly_score for result in results]).tobytes(),
        np.concatenate([result.components for result in results]).tobytes(),
        np.concatenate([result.duplicate for result in results]).tobytes(),
        [words for result in results for words in result.reasons],
        alerts,
        engine.snapshot(),
    )


@pytest.mark.parametrize("scorer", ["calibrated", "reference"])
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 3),
    cuts=st.lists(st.integers(0, COUNT), max_size=12),
    restores=st.sets(st.integers(0, 12), max_size=4),
)
def test_nothing_depends_on_where_batches_are_cut(simulated, scorer, seed, cuts, restores):
    events = simulated(seed, COUNT)

    assert run(events, cuts, restores, scorer) == run(events, [], set(), scorer)


def test_nothing_depends_on_batches_of_one(simulated):
    events = simulated(9, 400)

    assert run(events, range(1, 400), set(), "calibrated") == run(events, [], set(), "calibrated")


def test_more_rows_than_one_call_of_the_compiled_code(simulated):
    events = simulated(5, 9_000, users=40)

    assert run(events, [4_096, 5_000], {1}, "calibrated") == run(events, [], set(), "calibrated")
