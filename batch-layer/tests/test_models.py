import json

import numpy as np
import pyarrow as pa
import pytest

from batch_layer.errors import InvalidRequestError, ModelError, RunNotFoundError
from batch_layer.security.artifacts import load_model, model_of_run, save_model
from batch_layer.security.attribution import contributions
from batch_layer.security.comparison import compare
from batch_layer.security.models import judge, normalize, train
from batch_layer.security.patterns import mark_sent, patterns_of, pending, write_patterns
from batch_layer.security.scaling import MODEL_FEATURES, model_input
from batch_layer.security.segments import TYPICAL
from batch_layer.security.thresholds import tail_threshold
from batch_layer.security.users import user_rows, write_users
from batch_layer.security.views import user_files
from contracts import lake as lay_out
from contracts.views import COUNT_FEATURES, FEATURE_SCHEMA, FEATURES, Manifest


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
@pytest.mark.parametrize("seed", [1, 61])
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
    assert reason["contribution"] >= 0.05
    assert verdicts.reasons[50] == [] or verdicts.is_anomaly[50]


@pytest.mark.parametrize("algorithm", ["isolation_forest", "kmeans"])
def test_contributions_are_what_sets_the_score_apart_from_a_typical_users(algorithm):
    columns = population(100, 6)
    plant(columns, [10, 11, 12])
    model = train(table(columns))
    standard = model.scaling.standardise(model_input(table(columns)))
    typical = np.zeros((1, len(MODEL_FEATURES)))

    def score(rows):
        return model.scores(algorithm, rows)

    parts = contributions(score, standard[[10, 11, 12]], typical[0])

    assert parts.sum(axis=1) == pytest.approx(score(standard[[10, 11, 12]]) - score(typical))


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


@pytest.mark.parametrize("users", [200, 2000])
@pytest.mark.parametrize("shape", [1.1, 1.3, 1.6])
def test_about_half_a_user_lies_beyond_the_threshold_whatever_the_tail(shape, users):
    rng = np.random.default_rng(3)
    above = []
    for _ in range(200):
        scores = rng.weibull(shape, users) * rng.choice([-1, 1], users)
        above.append((scores > tail_threshold(scores)).sum())

    assert 0.05 < np.mean(above) < 1.5


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run whose model is in the lake: the lake, the features, the verdicts."""
    lake = tmp_path_factory.mktemp("lake")
    columns = population(120, 11)
    plant(columns, [10, 11, 12])
    features = table(columns)
    verdicts = judge(features, "isolation_forest", None, run_id="run-1")
    folder = lake / lay_out.run_directory("run-1")
    save_model(folder / "models", verdicts)
    (folder / "manifest.json").write_text("{}")
    return lake, features, verdicts


def test_a_saved_model_judges_as_it_did(saved):
    lake, features, verdicts = saved

    model = model_of_run(lake, "run-1")
    again = judge(features, "isolation_forest", None, run_id="run-2", model=model)
    other = judge(table(population(40, 12)), "kmeans", None, run_id="run-3", model=model)

    assert (again.scores == verdicts.scores).all()
    assert again.reasons == verdicts.reasons
    assert (again.clusters == verdicts.clusters).all()
    assert again.model.run_id == "run-1"
    assert len(other.scores) == 40


def test_a_saved_model_says_how_it_came_about(saved):
    lake, _, _ = saved
    folder = lake / lay_out.run_directory("run-1") / "models"
    parameters = json.loads((folder / "parameters.json").read_text())

    assert parameters["trained_in"] == "run-1"
    assert len(parameters["fingerprint"]) == 64
    assert parameters["hyperparameters"]["trees"] == 100
    assert parameters["hyperparameters"]["random_state"] == 42
    assert "scikit-learn" in parameters["libraries"]
    assert parameters["metrics"]["isolation_forest_anomalous_users"] >= 3
    assert set(parameters["sha256"]) == {path.name for path in folder.glob("*.skops")}


@pytest.mark.parametrize("run_id", ["run-9", "../run-1", "", "."])
def test_a_model_of_no_run_names_the_field(saved, run_id):
    with pytest.raises(InvalidRequestError, match=r"^model: the lake keeps no run"):
        model_of_run(saved[0], run_id)


def test_a_model_that_is_not_what_was_saved_is_not_used(saved, tmp_path):
    save_model(tmp_path, saved[2])
    damaged = tmp_path / "kmeans.skops"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"kmeans\.skops is not what was saved"):
        load_model(tmp_path)

    parameters = json.loads((tmp_path / "parameters.json").read_text())
    parameters["libraries"]["scikit-learn"] = "0.24.1"
    (tmp_path / "parameters.json").write_text(json.dumps(parameters))
    with pytest.raises(ModelError, match=r"trained with scikit-learn 0\.24\.1"):
        load_model(tmp_path)
    with pytest.raises(ModelError, match=r"parameters\.json cannot be read"):
        load_model(tmp_path / "nowhere")


def test_a_score_means_the_same_tomorrow_and_in_another_population_like_it():
    populations = {seed: population(300, seed) for seed in (21, 22)}
    tomorrow = {name: values.copy() for name, values in populations[21].items()}
    for name, values in tomorrow.items():  # a tenth of the users are new
        values[270:] = population(30, 23)[name]
    scores = []
    for columns in (populations[21], tomorrow, populations[22]):
        for name, values in columns.items():  # the same three users in all
            values[:3] = population(3, 99)[name]
        plant(columns, [0, 1, 2])
        scores.append(judge(table(columns), "isolation_forest", None).normalized[:3])

    assert scores[1] == pytest.approx(scores[0], abs=0.1)
    assert scores[2] == pytest.approx(scores[0], abs=0.15)


def test_drift_names_the_feature_that_moved_and_no_other(saved):
    model = model_of_run(saved[0], "run-1")
    columns = population(200, 31)
    alike = judge(table(columns), "isolation_forest", None, previous=model)
    columns["failed_auth_rate"] = columns["failed_auth_rate"] + 0.2
    moved = judge(table(columns), "isolation_forest", None, previous=model)

    assert alike.drifted == []
    assert moved.drifted == ["failed_auth_rate"]
    assert next(iter(moved.drift)) == "failed_auth_rate"
    assert "moved far from the training of run-1: failed_auth_rate" in moved.notes[0]


def groups(seed: int) -> dict[str, np.ndarray]:
    """120 ordinary users, 40 who work at night, 40 who are mostly on files."""
    columns = population(200, seed)
    total = columns["total_events"]
    columns["unusual_hour_events"][120:160] = total[120:160] // 2
    columns["unusual_hour_rate"][120:160] = 0.5
    moved = columns["auth_attempt_count"][160:] // 2
    columns["auth_attempt_count"][160:] -= moved
    columns["file_access_count"][160:] += moved * 2
    return columns


def test_segments_have_names_of_what_sets_them_apart_and_keep_them():
    first = judge(table(groups(41)), "kmeans", None, run_id="run-1")
    later = judge(table(groups(42)), "kmeans", None, run_id="run-2", previous=first.model)

    names = {segment.id: segment.name for segment in first.model.segments}
    night = np.bincount(first.clusters[120:160]).argmax()
    files = np.bincount(first.clusters[160:]).argmax()
    assert "active at night" in names[night]
    assert "mostly files" in names[files]
    assert len(set(names.values())) == len(names)
    assert (later.clusters[120:160] == night).mean() > 0.5
    assert (later.clusters[160:] == files).mean() > 0.5
    kept = {segment.id: segment.name for segment in later.model.segments}
    assert (kept[night], kept[files]) == (names[night], names[files])
    profile = next(s.profile for s in first.model.segments if s.id == night)
    assert "unusual_hour" in profile[0]["feature"]
    assert profile[0]["median"] > profile[0]["population"][1]


def test_users_who_are_all_alike_are_one_typical_segment():
    columns = {name: np.repeat(values[:1], 30) for name, values in population(1, 10).items()}

    model = train(table(columns))

    assert [(segment.name, segment.users) for segment in model.segments] == [(TYPICAL, 30)]


def test_patterns_say_what_kind_of_activity_a_user_shows():
    columns = population(200, 51)
    plant(columns, [1, 2, 3])
    columns["events_per_day"][4] = 4 * np.median(columns["events_per_day"])
    columns["unusual_hour_rate"][5] = 0.25
    features = table(columns)
    # Few are called anomalous, so that the other two are not among them.
    verdicts = judge(features, "isolation_forest", 0.015, run_id="run-1")

    found = patterns_of(features, verdicts, "run-1", 1_700_000_000_000)

    kinds = [pattern.pattern_type for pattern in found]
    assert kinds[1] == kinds[3] == "SUSPICIOUS"
    assert (kinds[4], kinds[5]) == ("HIGH_ACTIVITY", "OFF_HOURS")
    assert kinds.count("NORMAL") > 180
    wire = json.loads(found[1].to_wire())
    assert set(wire) == {
        "userId", "patternId", "patternType", "confidence", "timestamp", "features",
        "userSegment", "riskScore", "runId",
    }  # fmt: skip
    assert list(wire["features"]) == list(FEATURES)
    assert 0.5 < wire["riskScore"] <= 1
    again = patterns_of(features, verdicts, "run-1", 1_800_000_000_000)
    assert again[1].pattern_id == found[1].pattern_id


def test_only_changed_patterns_are_sent_once_the_others_were(tmp_path):
    features = table(population(30, 52))
    verdicts = judge(features, "isolation_forest", None, run_id="run-1")
    found = patterns_of(features, verdicts, "run-1", 1)

    assert write_patterns(tmp_path, "run-1", found, None) == 30
    # Nobody has them yet: the next run says everything again.
    assert write_patterns(tmp_path, "run-2", found, "run-1") == 30
    assert [key for key, _ in pending(tmp_path, "run-2")][:2] == [b"user0000", b"user0001"]
    mark_sent(tmp_path, "run-2")
    assert list(pending(tmp_path, "run-2")) == []
    riskier = found[3].model_copy(update={"risk_score": found[3].risk_score + 0.1})
    assert write_patterns(tmp_path, "run-3", [*found[:3], riskier, *found[4:]], "run-2") == 1


def publish(lake, run_id: str, features: pa.Table, verdicts) -> None:
    write_users(
        lake / lay_out.run_directory(run_id) / "users", user_rows(features, verdicts), verdicts
    )
    manifest = Manifest(
        run_id=run_id, created_at=1, full=True, detection_version="1", scorer="calibrated",
        algorithm="isolation_forest", seam=[], event_files=[], alert_files=[], aggregate_files=[],
        state_files=[], report="", user_files=user_files(lake, run_id),
        total_users=features.num_rows, anomalous_users=int(verdicts.is_anomaly.sum()),
        model_run_id=verdicts.model.run_id,
    )  # fmt: skip
    (lake / lay_out.manifest_path(run_id)).write_text(manifest.model_dump_json())


def test_two_runs_are_compared_user_by_user(tmp_path):
    columns = population(200, 62)
    before = table(columns).slice(0, 198)
    first = judge(before, "isolation_forest", None, run_id="run-a")
    publish(tmp_path, "run-a", before, first)
    plant(columns, [10, 11, 12])
    after = table(columns)
    publish(tmp_path, "run-b", after, judge(after, "isolation_forest", None, run_id="run-b"))

    found = compare(tmp_path, "run-a", "run-b", limit=100)
    back = compare(tmp_path, "run-b", "run-a", limit=1)

    assert {"user0010", "user0011", "user0012"} <= {change.user for change in found.added}
    brute = next(change for change in found.added if change.user == "user0012")
    assert (brute.is_anomaly_a, brute.is_anomaly_b) == (False, True)
    assert brute.score_b > 0.5 > brute.score_a
    assert "failed_auth_rate" in {moved.feature for moved in brute.moved}
    assert brute.reasons
    assert (found.users_new, found.users_gone) == (2, 0)
    assert found.settings_changed == ["model_run_id"]
    assert 0 <= max(found.drift.values()) < 0.1
    assert len(back.dropped) == 1
    assert back.totals["dropped"] == len(found.added)
    with pytest.raises(RunNotFoundError, match="run-c"):
        compare(tmp_path, "run-a", "run-c", limit=1)
    with pytest.raises(RunNotFoundError):
        compare(tmp_path, "run-a", "../runs/run-b", limit=1)
