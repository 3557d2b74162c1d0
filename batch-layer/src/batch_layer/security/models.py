"""Isolation Forest and K-Means over users' features, and where normal ends.

No fixed share of users is anomalous by definition. The threshold is where a population like the
middle of this one would be expected to hold half a user: the tail above the median is taken to
fall off exponentially, at the pace seen between the 50th and 90th percentile, which a few outliers
do not move.
"""

import json
import math
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batch_layer.errors import InvalidRequestError
from batch_layer.security.scaling import MODEL_FEATURES, Scaling, model_input
from contracts.views import FEATURES

Algorithm = Literal["isolation_forest", "kmeans"]
Floats = NDArray[np.float64]

TREES = 100
CLUSTERS = 5
RANDOM_STATE = 42
SMALL_POPULATION = 20
NORMALIZED_THRESHOLD: dict[str, float] = {"isolation_forest": 0.5, "kmeans": 0.8}
"""Normalised score at the threshold: above it, a user is anomalous."""

TRUSTED_TYPES = ["sklearn.tree._tree.Tree"]
"""Types in our model files that skops does not trust in files of unknown origin."""

_EXPECTED_FALSE = 0.5
_CAUTION = 5
_MAX_SAMPLES = 8192
_REASONS = 5
_REASON_DISTANCE = 3.0
_FIT_RANGE = 3.0


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the models say, one entry per user.

    Attributes:
        scores: [n] the algorithm's own score, larger is stranger.
        normalized: [n] 0..1, comparable between runs, see ``NORMALIZED_THRESHOLD``.
        is_anomaly: [n].
        clusters: [n] cluster of K-Means.
        reasons: [n] why, for anomalous users: ``{feature, value, typical}``.
        notes: What a reader of the report should know.
        parameters: What the models were given and found.
        estimators: Fitted models by name.
    """

    scores: Floats
    normalized: Floats
    is_anomaly: NDArray[np.bool_]
    clusters: NDArray[np.int32]
    reasons: list[list[dict[str, Any]]]
    notes: list[str]
    parameters: dict[str, Any]
    estimators: dict[str, Any] = field(default_factory=dict)


def judge(features: pa.Table, algorithm: Algorithm, contamination: float | None) -> Verdicts:
    """Fit the models to a population and judge every user of it.

    Args:
        features: ``FEATURE_SCHEMA``, one row per user.
        algorithm: Whose scores decide; clusters come from K-Means in any case.
        contamination: Share of users to call anomalous; None calibrates the threshold.

    Raises:
        InvalidRequestError: If the algorithm is unknown or the share is not in (0, .5].
    """
    if algorithm not in NORMALIZED_THRESHOLD:
        raise InvalidRequestError("algorithm", f"{algorithm!r} is not isolation_forest or kmeans")
    if contamination is not None and not 0 < contamination <= 0.5:
        raise InvalidRequestError("contamination", f"{contamination} is not in (0, 0.5]")
    if features.num_rows == 0:
        return _no_users(algorithm)
    columns = model_input(features)
    scaling = Scaling.fit(columns)
    standard = scaling.standardise(columns)
    forest_scores, forest = _isolation_forest(scaling.whiten(standard))
    clusters, distances, kmeans = _kmeans(standard)
    scores = forest_scores if algorithm == "isolation_forest" else distances
    threshold = tail_threshold(scores)
    if contamination is not None:
        threshold = float(np.quantile(scores, 1 - contamination))
    normalized = normalize(scores, threshold, NORMALIZED_THRESHOLD[algorithm])
    is_anomaly = scores > threshold
    return Verdicts(
        scores=scores,
        normalized=normalized,
        is_anomaly=is_anomaly,
        clusters=clusters,
        reasons=_reasons(features, standard, is_anomaly),
        notes=_notes(features.num_rows),
        parameters={
            "algorithm": algorithm,
            "features": list(MODEL_FEATURES),
            "users": features.num_rows,
            "threshold": threshold,
            "contamination": contamination,
            "median_score": float(np.median(scores)),
            "random_state": RANDOM_STATE,
            "trees": TREES,
            "clusters": int(kmeans.n_clusters),
            "silhouette": _silhouette(standard, clusters),
            "scaling": scaling.to_json(),
        },
        estimators={"isolation_forest": forest, "kmeans": kmeans},
    )


def tail_threshold(scores: Floats) -> float:
    """Return the score above which a population like this one's middle has half a user.

    Examples:
        >>> rng = np.random.default_rng(7)
        >>> normal = rng.exponential(1.0, 1000)
        >>> bool((normal > tail_threshold(normal)).sum() <= 2)
        True
    """
    median, upper = np.quantile(scores, [0.5, 0.9])
    pace = (upper - median) / math.log(5)
    # Equal scores differ by rounding only: nobody stands out.
    smallest = 1e-9 * max(1.0, abs(float(median)))
    reach = max(math.log(0.5 * len(scores) / _EXPECTED_FALSE), math.log(5))
    # Of few users the pace itself is a guess: be slow to call one of them anomalous.
    reach *= 1 + _CAUTION / len(scores)
    return float(median + max(pace * reach, smallest))


def normalize(scores: Floats, threshold: float, at_threshold: float) -> Floats:
    """Map scores to 0..1: 0 at the median and below, ``at_threshold`` at the threshold.

    The unit is the distance from median to threshold, so that scores of different runs compare.
    """
    median = float(np.median(scores))
    distance = threshold - median
    if distance <= 0:
        distance = max(float(scores.max()) - median, 1e-12)
    reach = np.clip((scores - median) / distance, 0, None)
    normalized: Floats = reach / (reach + (1 / at_threshold - 1))
    return normalized


def save_models(folder: Path, features: pa.Table, verdicts: Verdicts) -> None:
    """Save estimators (skops), parameters and the fingerprint of what they were fitted to."""
    import skops.io  # a second to import, and bounded runs never save

    folder.mkdir(parents=True, exist_ok=True)
    for name, estimator in verdicts.estimators.items():
        skops.io.dump(estimator, folder / f"{name}.skops")
    parameters = verdicts.parameters | {"fingerprint": fingerprint(features)}
    (folder / "parameters.json").write_text(json.dumps(parameters, indent=1), encoding="utf-8")


def load_model(path: Path) -> Any:  # noqa: ANN401 (estimators have no type of their own)
    """Return a saved estimator; only a file from the lake, whose writers are trusted."""
    import skops.io

    return skops.io.load(path, trusted=TRUSTED_TYPES)


def fingerprint(features: pa.Table) -> str:
    """Return a hash of the values of a table: equal inputs, equal fingerprints."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, features.schema) as stream:
        stream.write_table(features.combine_chunks())
    return sha256(sink.getvalue()).hexdigest()


def _isolation_forest(inputs: Floats) -> tuple[Floats, Any]:
    from sklearn.ensemble import IsolationForest

    # Each tree sees all users while they are few: of the default 256 of thousands, a handful of
    # anomalous users would hardly ever be among them.
    samples = min(len(inputs), _MAX_SAMPLES)
    forest = IsolationForest(n_estimators=TREES, max_samples=samples, random_state=RANDOM_STATE)
    scores: Floats = -forest.fit(inputs).score_samples(inputs)
    return scores, forest


def _kmeans(standard: Floats) -> tuple[NDArray[np.int32], Floats, Any]:
    from sklearn.cluster import KMeans

    # Fitted to clipped values: an outlier shall not become a cluster of its own, at distance 0.
    clipped = np.clip(standard, -_FIT_RANGE, _FIT_RANGE)
    clusters = min(CLUSTERS, len(np.unique(clipped, axis=0)))
    kmeans = KMeans(n_clusters=clusters, random_state=RANDOM_STATE, n_init=5).fit(clipped)
    distances: Floats = kmeans.transform(standard)
    return distances.argmin(axis=1).astype(np.int32), distances.min(axis=1), kmeans


def _silhouette(standard: Floats, clusters: NDArray[np.int32]) -> float | None:
    """Return how well the clusters are apart, -1..1; None where that has no meaning."""
    from sklearn.metrics import silhouette_score

    if not 1 < len(np.unique(clusters)) < len(clusters):
        return None
    sample = min(len(clusters), 2000)
    try:
        return float(
            silhouette_score(standard, clusters, sample_size=sample, random_state=RANDOM_STATE)
        )
    except ValueError:  # the sample may fall into one cluster
        return None


def _reasons(
    features: pa.Table, standard: Floats, is_anomaly: NDArray[np.bool_]
) -> list[list[dict[str, Any]]]:
    """Name, for each anomalous user, the features farthest from the population's middle."""
    values = {name: _numbers(features[name]) for name in MODEL_FEATURES}
    typical = {name: _typical(values[name]) for name in MODEL_FEATURES}
    reasons: list[list[dict[str, Any]]] = [[] for _ in range(features.num_rows)]
    for row in np.flatnonzero(is_anomaly).tolist():
        distances = np.abs(standard[row])
        order = np.argsort(-distances, kind="stable")[:_REASONS]
        # At least one: an anomalous user without a reason helps nobody.
        kept = [i for i in order.tolist() if distances[i] >= _REASON_DISTANCE] or [int(order[0])]
        reasons[row] = [
            {
                "feature": MODEL_FEATURES[i],
                "value": float(values[MODEL_FEATURES[i]][row]),
                "typical": typical[MODEL_FEATURES[i]],
            }
            for i in kept
        ]
    return reasons


def _numbers(column: pa.ChunkedArray) -> Floats:
    values: Floats = column.cast(pa.float64()).fill_null(0.0).to_numpy()
    return values


def _typical(values: Floats) -> list[float]:
    return [float(value) for value in np.quantile(values, [0.05, 0.5, 0.95])]


def _notes(users: int) -> list[str]:
    if users >= SMALL_POPULATION:
        return []
    return [
        f"{users} users are too few to say what is normal: thresholds are calibrated from "
        f"{SMALL_POPULATION} users up"
    ]


def _no_users(algorithm: Algorithm) -> Verdicts:
    nothing = np.zeros(0)
    return Verdicts(
        scores=nothing,
        normalized=nothing,
        is_anomaly=np.zeros(0, dtype=bool),
        clusters=np.zeros(0, dtype=np.int32),
        reasons=[],
        notes=["no users yet"],
        parameters={"algorithm": algorithm, "features": list(FEATURES), "users": 0},
    )
