"""How well our forest finds outliers, beside scikit-learn's plain Isolation Forest.

    make bench-models            # 10 seeds
    QUICK=1 make bench-models    # 3 seeds

Area under the ROC curve (AUC) of the scores against labels that neither side sees:

* breast cancer, digits, wine: ship with scikit-learn; one class is normal, a few rows of another
  are the outliers.
* users: populations generated here, of very different volume, with a few users whose habits differ
  (many addresses, night work, failed logins). Ours goes through the models of the security run,
  plain gets the same features as they are.

Three columns: plain use; our forest on the same inputs (it differs in that every tree sees all rows),
which must give the same AUC but for noise; ours, with the security run's scaling and axes before the
forest. All use 100 trees. ``auc_max_loss`` is the most that ours lies below plain, over the means of
the data sets; ``auc_max_loss_same_inputs`` says the same of the second column. The last line is JSON.
"""

import json
import os
import sys

import numpy as np
import pyarrow as pa
from docs_section import write_section
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from batch_layer.security.models import TREES, isolation_forest, train
from batch_layer.security.scaling import MODEL_FEATURES, Scaling, model_input
from contracts.views import COUNT_FEATURES, FEATURE_SCHEMA, FEATURES

QUICK = os.environ.get("QUICK") == "1"
SEEDS = range(3) if QUICK else range(10)
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


def same(rows: Floats) -> Floats:
    """Score by our forest, inputs as they are."""
    scores: Floats = -isolation_forest(rows).score_samples(rows)
    return scores


def ours(rows: Floats) -> Floats:
    """Score as the security run does, without its knowledge of what each feature means."""
    scaling = Scaling.fit(rows)
    inputs = scaling.with_axes(scaling.standardise(rows))
    scores: Floats = -isolation_forest(inputs).score_samples(inputs)
    return scores


def compare() -> dict[str, list[float]]:
    """Return, for each data set, the mean AUC of the three ways."""
    results: dict[str, list[list[float]]] = {}

    def add(name: str, labels: Floats, rows: Floats, our_scores: Floats, seed: int) -> None:
        ways = (plain(rows, seed), same(rows), our_scores)
        found = [float(roc_auc_score(labels, scores)) for scores in ways]
        results.setdefault(name, []).append(found)

    for seed in SEEDS:
        for name, load, normal, odd in (
            ("breast cancer", load_breast_cancer, 1, 0),
            ("digits 0, 1", load_digits, 0, 1),
            ("wine", load_wine, 1, 0),
        ):
            found = load()
            rows, labels = labelled(found.data, found.target, normal, odd, seed)
            add(name, labels, rows, ours(rows), seed)
        features, labels = users(seed)
        raw = np.column_stack([features[name].to_numpy() for name in MODEL_FEATURES])
        model = train(features)
        standard = model.scaling.standardise(model_input(features))
        add("users", labels, raw, model.scores("isolation_forest", standard), seed)
    return {name: np.mean(rows, axis=0).tolist() for name, rows in results.items()}


def main() -> None:
    """Compare on every data set and write the table."""
    means = compare()
    table = [f"{'data set':<16}{'plain AUC':>12}{'same inputs':>13}{'ours':>8}"]
    table += [f"{n:<16}{p:>12.3f}{s:>13.3f}{o:>8.3f}" for n, (p, s, o) in means.items()]
    figures = {
        "auc_max_loss": round(max(p - o for p, _, o in means.values()), 4),
        "auc_max_loss_same_inputs": round(max(p - s for p, s, _ in means.values()), 4),
    }
    lines = [*table, json.dumps(figures)]
    for line in lines:
        say(line)
    if not QUICK:
        write_section("bench-models", ["```text", *lines, "```"])


if __name__ == "__main__":
    main()
