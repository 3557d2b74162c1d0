"""Where normal ends, from the middle of a population's scores.

The tail above the median is taken to fall off as a Weibull distribution does,
``exp(-(d / scale) ** shape)`` of the distance d. Scale and shape are fitted to the users between the
50th and the 90th percentile; of those above, only their number counts, so outliers do not move the
threshold by which they are found. The shape of few users is mostly chance, and would make scores of
different runs differ, so it is drawn towards that of a normal distribution over the same range.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_EXPECTED_FALSE = 0.5
_CAUTION = 5
_SHAPES = (1.0, 2.0)
_NORMAL_SHAPE = 1.3
"""Weibull shape between the 75th and 90th percentile of a normal distribution, from its median."""

_DOUBT = 1000
"""Users from which their own shape counts as much as that of a normal distribution."""

_HALVINGS = 40


def tail_threshold(scores: Floats) -> float:
    """Return the score above which a population like this one's middle has half a user.

    Examples:
        >>> rng = np.random.default_rng(7)
        >>> scores = rng.normal(size=1000)
        >>> bool((scores > tail_threshold(scores)).sum() <= 2)
        True
    """
    users = len(scores)
    median, upper = (float(value) for value in np.quantile(scores, [0.5, 0.9]))
    # Equal scores differ by rounding only: nobody stands out.
    smallest = 1e-9 * max(1.0, abs(median))
    if upper - median <= smallest:
        return median + smallest
    shape = _shape((scores[scores > median] - median) / (upper - median))
    shape = (shape * users + _NORMAL_SHAPE * _DOUBT) / (users + _DOUBT)
    # A tenth of the users lie above the 90th percentile: the reach is in units of that distance.
    reach = max(math.log(0.5 * users / _EXPECTED_FALSE) / math.log(5), 1.0) ** (1 / shape)
    # Of few users the pace itself is a guess: be slow to call one of them anomalous.
    reach *= 1 + _CAUTION / users
    return float(median + (upper - median) * reach)


def _shape(distances: Floats) -> float:
    """Return the most likely Weibull shape; of distances beyond 1, only that they are is used."""
    held = np.minimum(distances, 1.0)
    logs = np.log(held)
    inside = logs[held < 1]
    low, high = _SHAPES
    if len(inside) == 0:
        return low

    def slope(shape: float) -> float:
        """Return the derivative of the log likelihood by the shape, up to a positive factor."""
        weights = held**shape
        return 1 / shape + float(inside.mean()) - float(weights @ logs) / float(weights.sum())

    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return (low + high) / 2
