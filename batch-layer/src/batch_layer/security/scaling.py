"""Features as the models see them: relative to volume, on a scale of the population's middle."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.views import FEATURES

Floats = NDArray[np.float64]

MODEL_FEATURES: tuple[str, ...] = tuple(
    name for name in FEATURES if name not in ("avg_threat_score", "max_threat_score")
)
"""Every feature but the producer's own opinion."""

_SHARES = frozenset(
    {
        "failed_events",
        "unusual_hour_events",
        "auth_attempt_count",
        "network_connection_count",
        "file_access_count",
        "process_execution_count",
        "dns_query_count",
        "burst_events",
    }
)
_RATES = frozenset({"failed_auth_rate", "unusual_hour_rate"})
_PER_EVENT = frozenset({"hourly_stddev", "avg_ip_frequency", "ip_frequency_stddev"})
_AS_IS = frozenset({"unique_event_types", "activity_days", "rare_ip_ratio"})

_LIMIT = 10.0
_WHITE_LIMIT = 20.0
_SMALLEST_SPREAD = 0.15
_NORMAL_IQR = 1.349


def model_input(features: pa.Table) -> Floats:
    """Return [users, 26] model inputs, columns ``MODEL_FEATURES``.

    A dozen features grow with a user's volume and would drown the others, so volume counts once:
    counts become shares (smoothed, in logs), intervals and deviations are taken relative to it.
    """
    values = {name: _numbers(features[name]) for name in MODEL_FEATURES}
    return np.column_stack([_relative(name, values) for name in MODEL_FEATURES])


def _relative(name: str, values: dict[str, Floats]) -> Floats:
    value, volume = values[name], values["total_events"]
    if name in _SHARES:
        return np.asarray(np.log((value + 1) / (volume + 20)))
    if name in _RATES:
        return np.asarray(np.sqrt(value))
    if name in _PER_EVENT:
        return np.asarray(np.log1p(value) - np.log1p(volume))
    if name == "hourly_variance":
        return np.asarray(np.log1p(value) - 2 * np.log1p(volume))
    if name == "ip_diversity_score":
        return np.asarray(np.log1p(value * volume))
    if name == "avg_event_interval":
        return np.asarray(np.log1p(value) + np.log1p(volume))
    if name == "event_interval_stddev":
        return np.asarray(np.log1p(value) - np.log1p(values["avg_event_interval"]))
    return value if name in _AS_IS else np.asarray(np.log1p(value))


@dataclass(frozen=True, slots=True)
class Scaling:
    """Robust centre and spread of each column, and the axes that make columns independent.

    Attributes:
        center: [26] medians.
        spread: [26] interquartile ranges as standard deviations.
        mean: [26] mean of the standardised columns.
        axes: [26, kept] axes, each divided by the spread along it.
    """

    center: Floats
    spread: Floats
    mean: Floats
    axes: Floats

    @classmethod
    def fit(cls, columns: Floats) -> "Scaling":
        """Learn from a population; single outliers hardly move what is learned."""
        center = np.median(columns, axis=0)
        low, high = np.quantile(columns, [0.25, 0.75], axis=0)
        robust, plain = (high - low) / _NORMAL_IQR, columns.std(axis=0)
        tiny = 1e-9
        spread = np.where(robust > tiny, robust, np.where(plain > tiny, plain, 1.0))
        standard = np.clip((columns - center) / spread, -3, 3)
        mean = standard.mean(axis=0)
        variances, axes = np.linalg.eigh(_covariance(standard - mean))
        deviations = np.sqrt(np.maximum(variances, 0.0))
        kept = deviations > _SMALLEST_SPREAD
        if not kept.any():
            return cls(center, spread, mean, np.eye(len(center)))
        return cls(center, spread, mean, axes[:, kept] / deviations[kept])

    def standardise(self, columns: Floats) -> Floats:
        """Return columns in robust deviations from the median, bounded."""
        return np.clip((columns - self.center) / self.spread, -_LIMIT, _LIMIT)

    def whiten(self, standard: Floats) -> Floats:
        """Return standardised columns along independent axes of unit spread."""
        return np.clip((standard - self.mean) @ self.axes, -_WHITE_LIMIT, _WHITE_LIMIT)

    def with_axes(self, standard: Floats) -> Floats:
        """Return standardised columns and, beside them, the same along independent axes.

        A forest needs both: along columns it finds what is far out in one feature, along axes what
        is odd only in combination (a forest splits on one input at a time).
        """
        return np.hstack([standard, self.whiten(standard)])

    def to_json(self) -> dict[str, Any]:
        """Return what was learned, for the saved parameters."""
        return {
            "center": self.center.tolist(),
            "spread": self.spread.tolist(),
            "mean": self.mean.tolist(),
            "axes": self.axes.tolist(),
        }


def _covariance(centred: Floats) -> Floats:
    """Return the covariance of columns, shrunk towards equal spread by Ledoit and Wolf (2004).

    The narrow axes of few users are mostly chance, and whitening would blow just these up.
    """
    users, columns = centred.shape
    plain = centred.T @ centred / users
    level = np.trace(plain) / columns
    apart = float(((plain - level * np.eye(columns)) ** 2).sum())
    chance = float(((centred**2).sum(axis=1) ** 2).mean() - (plain**2).sum()) / users
    share = min(chance / apart, 1.0) if apart > 0 else 0.0
    shrunk: Floats = (1 - share) * plain + share * level * np.eye(columns)
    return shrunk


def _numbers(column: pa.ChunkedArray) -> Floats:
    values: Floats = column.cast(pa.float64()).fill_null(0.0).to_numpy()
    return values
