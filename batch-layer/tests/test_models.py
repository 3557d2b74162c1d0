import json

import numpy as np
import pyarrow as pa
import pytest

from batch_layer.errors import InvalidRequestError
from batch_layer.security.models import (
    judge,
    load_model,
    normalize,
    save_models,
    tail_threshold,
)
from batch_layer.security.scaling import MODEL_FEATURES
from contracts.views import COUNT_FEATURES, FEATURE_SCHEMA, FEATURES


def population(users: int, seed: int, volume_spread: float = 0.3) -> dict[str, np.ndarray]:
    """Ordinary users: alike in habits, different in volume."""
    rng = np.random.default_rng(seed)
    total = rng.lognormal(6, volume_spread, users).astype(int) + 20
    types = np.array(
        [rng.multinomial(n, rng.dirichlet(np.array([40, 25, 20, 10, 5]))) for n in total]
    )
    ips = rng.integers(1, 5, users)
    days = rng.integers(20, 31, users)
    failed = rng.binomial(total, rng.beta(6, 94, users))
    night = rng.binomial(total, rng.beta(2, 60, users))
    interval = 30 * 86400 / total * rng.uniform(0.9, 1.1, users)
    rare = rng.integers(0, 2, users)
    hourly = total / 24 * rng.uniform(0.8, 1.3, users)
    return {
        "total_events": total,
        "unique_ips": ips,
        "unique_event_types": np.full(users, 5),
        "avg_threat_score": rng.uniform(0, 0.2, users),
        "max_threat_score": rng.uniform(0.2, 0.9, users),
        "failed_events": failed,
        "unusual_hour_events": night,
        "unique_locations": rng.integers(1, 4, users),
        "failed_auth_rate": failed / total,
        "unusual_hour_rate": night / total,
        "ip_diversity_score": ips / total,
        "activity_days": days,
        "events_per_day": total / days,
        "auth_attempt_count": types[:, 0],
        "network_connection_count": types[:, 1],
        "file_access_count": types[:, 2],
        "process_execution_count": types[:, 3],
        "dns_query_count": types[:, 4],
        "hourly_stddev": hourly,
        "hourly_variance": hourly**2,
        "avg_ip_frequency": total / ips,
        "ip_frequency_stddev": total / ips * rng.uniform(0.4, 0.6, users),
        "rare_ip_count": rare,
        "rare_ip_ratio": rare / (ips + 1),
        "avg_event_interval": interval,
        "event_interval_stddev": interval * rng.uniform(0.9, 2, users),
        "min_event_interval": rng.exponential(1, users),
        "burst_events": rng.binomial(total, 0.01),
    }


def plant(columns: dict[str, np.ndarray], rows: list[int]) -> None:
    """Turn users into a taken-over account, a night worker in bursts, a brute forcer."""
    taken_over, nightly, brute = rows
    columns["unique_ips"][taken_over] += 25
    columns["unique_locations"][taken_over] += 8
    columns["rare_ip_count"][taken_over] += 20
    columns["unusual_hour_events"][nightly] = columns["total_events"][nightly] // 2
    columns["unusual_hour_rate"][nightly] = 0.5
    columns["burst_events"][nightly] = columns["total_events"][nightly] // 3
    columns["failed_events"][brute] = int(columns["total_events"][brute] * 0.6)
    columns["failed_auth_rate"][brute] = 0.8
    columns["avg_event_interval"][brute] /= 20


def table(columns: dict[str, np.ndarray]) -> pa.Table:
    users = len(columns["total_events"])
    known = {
        "user": [f"user{number:04}" for number in range(users)],
        "first_seen": [1_700_000_000_000] * users,
        "last_seen": [1_702_000_000_000] * users,
    }
    numbers = {
        name: pa.array(columns[name], pa.int64() if name in COUNT_FEATURES else pa.float64())
        for name in FEATURES
    }
    return pa.table({**known, **numbers}, schema=FEATURE_SCHEMA)


@pytest.mark.parametrize("algorithm", ["isolation_forest", "kmeans"])
@pytest.mark.parametrize("seed", [1, 2])
def test_three_planted_of_two_hundred_are_found(algorithm, seed):
    columns = population(200, seed)
    plant(columns, [20, 90, 160])

    verdicts = judge(table(columns), algorithm, contamination=None)

    found = set(np.flatnonzero(verdicts.is_anomaly).tolist())
    assert {20, 90, 160} <= found
    assert len(found) <= 5


@pytest.mark.parametrize("algorithm", ["isolation_forest", "kmeans"])
@pytest.mark.parametrize("users", [14, 200])
def test_a_population_without_anomalies_has_nearly_none(algorithm, users):
    flagged = [
        int(judge(table(population(users, seed)), algorithm, None).is_anomaly.sum())
        for seed in range(3)
    ]

    assert np.mean(flagged) <= 1.5


def test_users_that_differ_only_in_volume_are_not_anomalous():
    verdicts = judge(table(population(200, 5, volume_spread=1.2)), "isolation_forest", None)

    assert verdicts.is_anomaly.sum() <= 2


def test_contamination_forces_the_share():
    verdicts = judge(table(population(200, 3)), "isolation_forest", contamination=0.1)

    assert verdicts.is_anomaly.sum() == 20
    assert (verdicts.normalized[verdicts.is_anomaly] > 0.5).all()


def test_a_verdict_and_its_normalised_score_agree():
    columns = population(200, 4)
    plant(columns, [1, 2, 3])
    forest = judge(table(columns), "isolation_forest", None)
    kmeans = judge(table(columns), "kmeans", None)

    assert (forest.is_anomaly == (forest.normalized > 0.5)).all()
    assert (kmeans.is_anomaly == (kmeans.normalized > 0.8)).all()
    assert forest.normalized.min() >= 0
    assert forest.normalized.max() <= 1


def test_reasons_name_what_sets_a_user_apart():
    columns = population(200, 6)
    plant(columns, [10, 11, 12])

    verdicts = judge(table(columns), "isolation_forest", None)

    names = [reason["feature"] for reason in verdicts.reasons[12]]
    assert "failed_auth_rate" in names
    reason = next(r for r in verdicts.reasons[12] if r["feature"] == "failed_auth_rate")
    assert reason["value"] == 0.8
    assert reason["typical"] == sorted(reason["typical"])
    assert reason["typical"][2] < 0.3
    assert verdicts.reasons[50] == [] or verdicts.is_anomaly[50]


def test_the_producers_opinion_changes_nothing():
    columns = population(100, 7)
    before = judge(table(columns), "isolation_forest", None)
    columns["avg_threat_score"] = np.linspace(0, 1, 100)
    columns["max_threat_score"] = np.linspace(1, 0, 100)
    after = judge(table(columns), "isolation_forest", None)

    assert (before.scores == after.scores).all()
    assert "avg_threat_score" not in MODEL_FEATURES
    assert len(MODEL_FEATURES) == 26


@pytest.mark.parametrize("users", [1, 2, 3])
def test_a_handful_of_users_is_judged_and_said_to_be_too_few(users):
    verdicts = judge(table(population(users, 8)), "isolation_forest", None)

    assert verdicts.is_anomaly.sum() == 0
    assert "too few" in verdicts.notes[0]


def test_no_users_at_all():
    verdicts = judge(table(population(5, 9)).slice(0, 0), "kmeans", None)

    assert len(verdicts.scores) == 0


def test_identical_users_are_not_anomalous():
    columns = {name: np.repeat(values[:1], 30) for name, values in population(1, 10).items()}

    for algorithm in ("isolation_forest", "kmeans"):
        assert judge(table(columns), algorithm, None).is_anomaly.sum() == 0


@pytest.mark.parametrize(
    ("algorithm", "contamination", "field"),
    [("dbscan", None, "algorithm"), ("kmeans", 0.7, "contamination")],
)
def test_a_bad_option_is_named(algorithm, contamination, field):
    with pytest.raises(InvalidRequestError, match=f"^{field}:"):
        judge(table(population(10, 1)), algorithm, contamination)


def test_scores_of_different_runs_share_a_unit():
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.9])

    normalized = normalize(scores, threshold=0.5, at_threshold=0.5)

    assert normalized[:3].tolist() == [0, 0, 0]
    assert normalized[4] == pytest.approx(0.75)
    assert normalize(np.array([0.0, 0.0, 1.0]), 1.0, 0.8)[2] == pytest.approx(0.8)


def test_the_threshold_ignores_the_outliers_it_is_to_find():
    normal = np.random.default_rng(1).exponential(1, 200)
    with_outliers = np.concatenate([normal, [50.0, 60.0, 70.0]])

    assert tail_threshold(with_outliers) == pytest.approx(tail_threshold(normal), rel=0.15)


def test_saved_models_can_be_loaded_and_name_their_input(tmp_path):
    features = table(population(60, 11))
    verdicts = judge(features, "isolation_forest", None)
    save_models(tmp_path, features, verdicts)

    forest = load_model(tmp_path / "isolation_forest.skops")
    parameters = json.loads((tmp_path / "parameters.json").read_text())
    assert forest.n_estimators == 100
    assert forest.random_state == 42
    assert len(parameters["fingerprint"]) == 64
    assert parameters["users"] == 60
