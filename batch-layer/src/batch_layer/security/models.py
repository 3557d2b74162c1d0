"""Isolation Forest and K-Means over users' features, and where normal ends.

No fixed share of users is anomalous by definition. The threshold is where a population like the
middle of this one would be expected to hold half a user, see ``thresholds``.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batch_layer.errors import InvalidRequestError
from batch_layer.security.attribution import contributions
from batch_layer.security.drift import Distribution, distribution, drift
from batch_layer.security.scaling import MODEL_FEATURES, Scaling, model_input
from batch_layer.security.segments import FIT_RANGE, Segment, segments_of
from batch_layer.security.thresholds import tail_threshold

Algorithm = Literal["isolation_forest", "kmeans"]
ALGORITHMS: tuple[Algorithm, ...] = ("isolation_forest", "kmeans")
Floats = NDArray[np.float64]

TREES = 100
CLUSTERS = 5
RANDOM_STATE = 42
SMALL_POPULATION = 20
NORMALIZED_THRESHOLD: dict[str, float] = {"isolation_forest": 0.5, "kmeans": 0.8}
"""Normalised score at the threshold: above it, a user is anomalous."""

MAX_EXPLAINED = 200
"""The strangest users have their score attributed to features; the others only show the farthest."""

_MAX_SAMPLES = 8192
_REASONS = 5
_REASON_DISTANCE = 3.0
_REASON_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Cut:
    """Where normal lies and where it ends, in an algorithm's own scores."""

    median: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Model:
    """All that is learned from one population: enough to judge another.

    Attributes:
        run_id: The run that trained it.
        scaling: How inputs are standardised and whitened.
        forest: Fitted Isolation Forest.
        kmeans: Fitted K-Means.
        cuts: Median and threshold of the training population, by algorithm.
        typical: 5th percentile, median and 95th percentile of each feature.
        distributions: Bins of each feature, to measure drift by.
        segments: What its clusters are, in the order of K-Means.
        users: Users it was trained on.
        fingerprint: Hash of their features.
        metrics: How good it is, as far as that can be said without labels.
    """

    run_id: str
    scaling: Scaling
    forest: Any
    kmeans: Any
    cuts: dict[str, Cut]
    typical: dict[str, list[float]]
    distributions: dict[str, Distribution]
    segments: list[Segment]
    users: int
    fingerprint: str
    metrics: dict[str, float | None] = field(default_factory=dict)

    def scores(self, algorithm: Algorithm, standard: Floats) -> Floats:
        """Return the algorithm's own scores of standardised inputs, larger is stranger."""
        if algorithm == "isolation_forest":
            scores: Floats = -self.forest.score_samples(self.scaling.with_axes(standard))
            return scores
        distances: Floats = self.kmeans.transform(standard).min(axis=1)
        return distances

    def labels(self, standard: Floats) -> NDArray[np.int32]:
        """Return the place in ``segments`` of each user's cluster."""
        nearest: NDArray[np.int32] = self.kmeans.transform(standard).argmin(axis=1).astype(np.int32)
        return nearest


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the models say, one entry per user.

    Attributes:
        scores: [n] the algorithm's own score, larger is stranger.
        normalized: [n] 0..1, comparable between runs, see ``NORMALIZED_THRESHOLD``.
        is_anomaly: [n].
        clusters: [n] number of each user's segment.
        reasons: [n] why, for anomalous users: ``{feature, value, typical, contribution}``.
        notes: What a reader of the report should know.
        parameters: What was asked for and what decided.
        model: What judged; None without users.
        drift: Stability index of each feature against the compared training run, largest first.
        drifted: Features that have moved far.
        drift_against: The training run they are compared with.
    """

    scores: Floats
    normalized: Floats
    is_anomaly: NDArray[np.bool_]
    clusters: NDArray[np.int32]
    reasons: list[list[dict[str, Any]]]
    notes: list[str]
    parameters: dict[str, Any]
    model: Model | None = None
    drift: dict[str, float] = field(default_factory=dict)
    drifted: list[str] = field(default_factory=list)
    drift_against: str | None = None


def judge(
    features: pa.Table,
    algorithm: Algorithm,
    contamination: float | None,
    *,
    run_id: str = "",
    model: Model | None = None,
    previous: Model | None = None,
) -> Verdicts:
    """Judge every user of a population, by a model fitted to it or by an earlier one.

    Args:
        features: ``FEATURE_SCHEMA``, one row per user.
        algorithm: Whose scores decide; clusters come from K-Means in any case.
        contamination: Share of users to call anomalous; None takes the calibrated threshold.
        run_id: The run that asks.
        model: An earlier model to judge by; None trains one.
        previous: The model of the run before: its segments go on, and drift is measured by it.

    Raises:
        InvalidRequestError: If the algorithm is unknown or the share is not in (0, .5].
    """
    if algorithm not in ALGORITHMS:
        raise InvalidRequestError("algorithm", f"{algorithm!r} is not isolation_forest or kmeans")
    if contamination is not None and not 0 < contamination <= 0.5:
        raise InvalidRequestError("contamination", f"{contamination} is not in (0, 0.5]")
    if features.num_rows == 0:
        return _no_users(algorithm)
    values = {name: _numbers(features[name]) for name in MODEL_FEATURES}
    columns = model_input(features)
    judging = model or train(features, run_id, previous)
    standard = judging.scaling.standardise(columns)
    scores = judging.scores(algorithm, standard)
    cut = judging.cuts[algorithm]
    threshold = cut.threshold
    if contamination is not None:
        threshold = float(np.quantile(scores, 1 - contamination))
    is_anomaly = scores > threshold
    numbers = np.array([segment.id for segment in judging.segments], dtype=np.int32)
    compared = model or previous
    indexes, drifted = drift(compared.distributions, values) if compared else ({}, [])
    return Verdicts(
        scores=scores,
        normalized=normalize(scores, threshold, NORMALIZED_THRESHOLD[algorithm], cut.median),
        is_anomaly=is_anomaly,
        clusters=numbers[judging.labels(standard)],
        reasons=_reasons(judging, algorithm, values, standard, scores, is_anomaly),
        notes=_notes(features.num_rows, drifted, compared),
        parameters={
            "algorithm": algorithm,
            "contamination": contamination,
            "threshold": threshold,
            "median_score": cut.median,
            "users": features.num_rows,
        },
        model=judging,
        drift=dict(sorted(indexes.items(), key=lambda item: -item[1])),
        drifted=drifted,
        drift_against=compared.run_id if compared else None,
    )


def train(features: pa.Table, run_id: str = "", previous: Model | None = None) -> Model:
    """Fit both models to a population of at least one user.

    Args:
        features: ``FEATURE_SCHEMA``, one row per user.
        run_id: The run that trains.
        previous: The model of the run before; its segments go on.
    """
    values = {name: _numbers(features[name]) for name in MODEL_FEATURES}
    columns = model_input(features)
    scaling = Scaling.fit(columns)
    standard = scaling.standardise(columns)
    forest = isolation_forest(scaling.with_axes(standard))
    kmeans = _kmeans(standard)
    labels = kmeans.transform(standard).argmin(axis=1).astype(np.int32)
    earlier = previous.segments if previous else []
    model = Model(
        run_id=run_id,
        scaling=scaling,
        forest=forest,
        kmeans=kmeans,
        cuts={},
        typical={name: _typical(column) for name, column in values.items()},
        distributions={name: distribution(column) for name, column in values.items()},
        segments=segments_of(kmeans.cluster_centers_, labels, scaling, values, earlier),
        users=features.num_rows,
        fingerprint=fingerprint(features),
    )
    scores = {name: model.scores(name, standard) for name in ALGORITHMS}
    for name in ALGORITHMS:
        model.cuts[name] = Cut(float(np.median(scores[name])), tail_threshold(scores[name]))
        model.metrics[f"{name}_anomalous_users"] = float(
            (scores[name] > model.cuts[name].threshold).sum()
        )
    model.metrics["silhouette"] = _silhouette(standard, labels)
    model.metrics["rank_correlation_with_previous"] = _agreement(
        previous, columns, scores["isolation_forest"]
    )
    return model


def normalize(
    scores: Floats, threshold: float, at_threshold: float, median: float | None = None
) -> Floats:
    """Map scores to 0..1: 0 at the median and below, ``at_threshold`` at the threshold.

    The unit is the distance from median to threshold, so that scores of different runs compare.

    Args:
        scores: The algorithm's own scores.
        threshold: Where anomalous begins.
        at_threshold: What a score at the threshold becomes.
        median: Where normal lies; the scores' own median if None.
    """
    median = float(np.median(scores)) if median is None else median
    distance = threshold - median
    if distance <= 0:
        distance = max(float(scores.max()) - median, 1e-12)
    reach = np.clip((scores - median) / distance, 0, None)
    normalized: Floats = reach / (reach + (1 / at_threshold - 1))
    return normalized


def fingerprint(features: pa.Table) -> str:
    """Return a hash of the values of a table: equal inputs, equal fingerprints."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, features.schema) as stream:
        stream.write_table(features.combine_chunks())
    return sha256(sink.getvalue()).hexdigest()


def isolation_forest(inputs: Floats) -> Any:  # noqa: ANN401 (estimators have no type of their own)
    """Return a forest fitted to [users, inputs]."""
    from sklearn.ensemble import IsolationForest

    # Each tree sees all users while they are few: of the default 256 of thousands, a handful of
    # anomalous users would hardly ever be among them.
    samples = min(len(inputs), _MAX_SAMPLES)
    forest = IsolationForest(n_estimators=TREES, max_samples=samples, random_state=RANDOM_STATE)
    return forest.fit(inputs)


def _kmeans(standard: Floats) -> Any:  # noqa: ANN401
    from sklearn.cluster import KMeans

    clipped = np.clip(standard, -FIT_RANGE, FIT_RANGE)
    clusters = min(CLUSTERS, len(np.unique(clipped, axis=0)))
    return KMeans(n_clusters=clusters, random_state=RANDOM_STATE, n_init=5).fit(clipped)


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


def _agreement(previous: Model | None, columns: Floats, scores: Floats) -> float | None:
    """Return the rank correlation of this population's scores by this and the model before."""
    if previous is None or len(np.unique(scores)) < 2:
        return None
    before = previous.scores("isolation_forest", previous.scaling.standardise(columns))
    if len(np.unique(before)) < 2:
        return None
    return float(np.corrcoef(_ranks(before), _ranks(scores))[0, 1])


def _ranks(values: Floats) -> Floats:
    """Return each value's rank; equal values share the middle of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def _reasons(
    model: Model,
    algorithm: Algorithm,
    values: dict[str, Floats],
    standard: Floats,
    scores: Floats,
    is_anomaly: NDArray[np.bool_],
) -> list[list[dict[str, Any]]]:
    """Name, for each anomalous user, the features that moved the score most."""
    anomalous = np.flatnonzero(is_anomaly)
    ranked = anomalous[np.argsort(-scores[anomalous], kind="stable")]
    explained = ranked[:MAX_EXPLAINED]
    # A typical user has the median in everything: 0 in standardised units.
    typical = np.zeros(standard.shape[1])
    parts = contributions(lambda rows: model.scores(algorithm, rows), standard[explained], typical)
    reasons: list[list[dict[str, Any]]] = [[] for _ in scores]

    def reason(row: int, index: int, share: float | None) -> dict[str, Any]:
        name = MODEL_FEATURES[index]
        return {
            "feature": name,
            "value": float(values[name][row]),
            "typical": model.typical[name],
            "contribution": share,
        }

    for row, moved in zip(explained.tolist(), parts, strict=True):
        total = float(moved.sum())
        shares = moved / total if total > 0 else moved
        order = np.argsort(-shares, kind="stable")[:_REASONS].tolist()
        # At least one: an anomalous user without a reason helps nobody.
        kept = [i for i in order if shares[i] >= _REASON_SHARE] or order[:1]
        reasons[row] = [reason(row, i, round(float(shares[i]), 4)) for i in kept]
    for row in ranked[MAX_EXPLAINED:].tolist():
        distances = np.abs(standard[row])
        order = np.argsort(-distances, kind="stable")[:_REASONS].tolist()
        kept = [i for i in order if distances[i] >= _REASON_DISTANCE] or order[:1]
        reasons[row] = [reason(row, i, None) for i in kept]
    return reasons


def _numbers(column: pa.ChunkedArray) -> Floats:
    values: Floats = column.cast(pa.float64()).fill_null(0.0).to_numpy()
    return values


def _typical(values: Floats) -> list[float]:
    return [float(value) for value in np.quantile(values, [0.05, 0.5, 0.95])]


def _notes(users: int, drifted: list[str], compared: Model | None) -> list[str]:
    notes = []
    if users < SMALL_POPULATION:
        notes.append(
            f"{users} users are too few to say what is normal: thresholds are calibrated from "
            f"{SMALL_POPULATION} users up"
        )
    if drifted and compared is not None:
        notes.append(
            f"features have moved far from the training of {compared.run_id}: {', '.join(drifted)}"
        )
    return notes


def _no_users(algorithm: Algorithm) -> Verdicts:
    nothing = np.zeros(0)
    return Verdicts(
        scores=nothing,
        normalized=nothing,
        is_anomaly=np.zeros(0, dtype=bool),
        clusters=np.zeros(0, dtype=np.int32),
        reasons=[],
        notes=["no users yet"],
        parameters={"algorithm": algorithm, "users": 0},
    )
