"""How well our forest finds outliers, beside scikit-learn's plain Isolation Forest.

    python benchmarks/bench_models.py            # 5 seeds
    QUICK=1 python benchmarks/bench_models.py    # 1 seed

Area under the ROC curve (AUC) of the scores against labels that neither side sees:

* breast cancer, digits, wine: ship with scikit-learn; one class is normal, a few rows of another
  are the outliers.
* users: populations generated here, of very different volume, with a few users whose habits differ
  (many addresses, night work, failed logins). Ours goes through the models of the security run,
  plain gets the same features as they are.

Both use 100 trees and the same seeds. ``auc_max_loss`` is the most that ours lies below plain, over
the means of the data sets. The last line is JSON.
"""

import json
import os
import statistics
import sys

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from batch_layer.security.models import TREES, isolation_forest, train
from batch_layer.security.scaling import MODEL_FEATURES, Scaling, model_input
from contracts.views import COUNT_FEATURES, FEATURE_SCHEMA, FEATURES

SEEDS = range(1) if os.environ.get("QUICK") == "1" else range(5)
OUTLIERS = 0.05
USERS = 300
Floats = NDArray[np.float64]


def say(text: str) -> None:
    """Write one line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def labelled(
    data: Floats, target: NDArray[np.int64], normal: int, odd: int, seed: int
) -> tuple[Floats, Floats]:
    """Return the rows of one class and a few of another, and which are the few."""
    rng = np.random.default_rng(seed)
    inside, outside = np.flatnonzero(target == normal), np.flatnonzero(target == odd)
    few = rng.choice(outside, max(3, round(OUTLIERS * len(inside))), replace=False)
    rows = np.concatenate([inside, few])
    return data[rows], np.isin(rows, few).astype(float)


def users(seed: int) -> tuple[pa.Table, Floats]:
    """Return features of a population, and which of its users have other habits."""
    rng = np.random.default_rng(seed)
    total = rng.lognormal(6, 1.0, USERS).astype(int) + 20
    odd = rng.choice(USERS, round(OUTLIERS * USERS), replace=False)
    kind = dict(zip(odd.tolist(), np.arange(len(odd)) % 3, strict=True))
    roaming, nightly, failing = (
        np.array([kind.get(user) == number for user in range(USERS)]) for number in range(3)
    )
    types = np.array([rng.multinomial(n, rng.dirichlet([40, 25, 20, 10, 5])) for n in total])
    ips = rng.integers(1, 5, USERS) + 12 * roaming
    days = np.minimum(rng.integers(20, 31, USERS), total)
    failed_rate = np.where(failing, 0.35, rng.beta(6, 94, USERS))
    night_rate = np.where(nightly, 0.3, rng.beta(2, 60, USERS))
    failed, night = rng.binomial(total, failed_rate), rng.binomial(total, night_rate)
    rare = rng.integers(0, 2, USERS) + 8 * roaming
    interval = 30 * 86_400 / total * rng.uniform(0.9, 1.1, USERS)
    hourly = total / 24 * rng.uniform(0.8, 1.3, USERS)
    columns: dict[str, NDArray[np.generic]] = {
        "total_events": total,
        "unique_ips": ips,
        "unique_event_types": np.full(USERS, 5),
        "avg_threat_score": np.zeros(USERS),
        "max_threat_score": np.zeros(USERS),
        "failed_events": failed,
        "unusual_hour_events": night,
        "unique_locations": rng.integers(1, 4, USERS) + 4 * roaming,
        "failed_auth_rate": failed / total,
        "unusual_hour_rate": night / total,
        "ip_diversity_score": ips / total,
        "activity_days": days,
        "events_per_day": total / days,
        "hourly_stddev": hourly,
        "hourly_variance": hourly**2,
        "avg_ip_frequency": total / ips,
        "ip_frequency_stddev": total / ips * rng.uniform(0.4, 0.6, USERS),
        "rare_ip_count": rare,
        "rare_ip_ratio": rare / (ips + 1),
        "avg_event_interval": interval,
        "event_interval_stddev": interval * rng.uniform(0.9, 2, USERS),
        "min_event_interval": rng.exponential(1, USERS),
        "burst_events": rng.binomial(total, 0.01),
    }
    names = [name for name in FEATURES if name.endswith("_count") and name not in columns]
    columns |= {name: types[:, place] for place, name in enumerate(names)}
    known = {
        "user": [f"user{n:04}" for n in range(USERS)],
        "first_seen": [1] * USERS,
        "last_seen": [2] * USERS,
    }
    numbers = {
        name: pa.array(columns[name], pa.int64() if name in COUNT_FEATURES else pa.float64())
        for name in FEATURES
    }
    return pa.table({**known, **numbers}, schema=FEATURE_SCHEMA), np.isin(
        np.arange(USERS), odd
    ).astype(float)


def plain(rows: Floats, seed: int) -> Floats:
    """Score as the documentation of scikit-learn does."""
    forest = IsolationForest(n_estimators=TREES, random_state=seed)
    scores: Floats = -forest.fit(rows).score_samples(rows)
    return scores


def ours(rows: Floats) -> Floats:
    """Score as the security run does, without its knowledge of what each feature means."""
    scaling = Scaling.fit(rows)
    inputs = scaling.with_axes(scaling.standardise(rows))
    scores: Floats = -isolation_forest(inputs).score_samples(inputs)
    return scores


def main() -> None:
    """Compare on every data set and write the table."""
    results: dict[str, list[tuple[float, float]]] = {}

    def add(name: str, labels: Floats, plain_scores: Floats, our_scores: Floats) -> None:
        pair = (roc_auc_score(labels, plain_scores), roc_auc_score(labels, our_scores))
        results.setdefault(name, []).append((float(pair[0]), float(pair[1])))

    for seed in SEEDS:
        for name, load, normal, odd in (
            ("breast cancer", load_breast_cancer, 1, 0),
            ("digits 0, 1", load_digits, 0, 1),
            ("wine", load_wine, 1, 0),
        ):
            found = load()
            rows, labels = labelled(found.data, found.target, normal, odd, seed)
            add(name, labels, plain(rows, seed), ours(rows))
        features, labels = users(seed)
        raw = np.column_stack([features[name].to_numpy() for name in MODEL_FEATURES])
        model = train(features)
        standard = model.scaling.standardise(model_input(features))
        add("users", labels, plain(raw, seed), model.scores("isolation_forest", standard))
    say(f"{'data set':<16}{'plain AUC':>12}{'ours':>10}")
    means = {}
    for name, pairs in results.items():
        means[name] = tuple(statistics.mean(side) for side in zip(*pairs, strict=True))
        say(f"{name:<16}{means[name][0]:>12.3f}{means[name][1]:>10.3f}")
    loss = max(theirs - own for theirs, own in means.values())
    say(json.dumps({"auc_max_loss": round(loss, 4)}))


if __name__ == "__main__":
    main()
