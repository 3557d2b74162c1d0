"""How far a population's features have moved from those a model was trained on.

The population stability index: sum of (p - q) ln(p / q) over bins of equal share in training.
0 means alike; by convention 0.1 is a small shift and 0.25 a large one. Of few users the index is
large by chance: times n m / (n + m) it follows a chi-squared distribution (Yurdakul 2018), which
decides whether a shift counts.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Distribution = dict[str, list[float]]
"""``edges`` between bins and ``counts`` of users in each, JSON as it is."""

LARGE_SHIFT = 0.25
_BINS = 10
_NORMAL_QUANTILE = 3.0902
"""Of the standard normal distribution at .999."""


def distribution(values: Floats) -> Distribution:
    """Return the bins of a feature: edges at its deciles, fewer where values repeat."""
    inner = np.linspace(0, 1, _BINS + 1)[1:-1]
    edges = np.unique(np.quantile(values, inner, method="higher"))
    return {"edges": edges.tolist(), "counts": _counts(edges, values).tolist()}


def stability_index(trained: Distribution, values: Floats) -> float:
    """Return the population stability index of a feature's values against training.

    Examples:
        >>> trained = distribution(np.arange(1000.0))
        >>> stability_index(trained, np.arange(1000.0))
        0.0
        >>> stability_index(trained, np.arange(1000.0) + 500) > LARGE_SHIFT
        True
    """
    before = np.array(trained["counts"], dtype=np.float64)
    after = _counts(np.array(trained["edges"]), values)
    # Half a user in each bin: an empty one would make the index infinite.
    p = (after + 0.5) / (after + 0.5).sum()
    q = (before + 0.5) / (before + 0.5).sum()
    return float(((p - q) * np.log(p / q)).sum())


def drift(
    trained: Mapping[str, Distribution], values: Mapping[str, Floats]
) -> tuple[dict[str, float], list[str]]:
    """Return the index of every feature, and the features whose shift is large and no chance."""
    indexes = {name: stability_index(known, values[name]) for name, known in trained.items()}
    shifted = [
        name
        for name, index in indexes.items()
        if index > max(LARGE_SHIFT, _by_chance(trained[name], len(values[name])))
    ]
    return indexes, sorted(shifted, key=lambda name: -indexes[name])


def _by_chance(trained: Distribution, users: int) -> float:
    """Return the index that equal populations of these sizes exceed once in a thousand times."""
    freedom, before = max(len(trained["counts"]) - 1, 1), sum(trained["counts"])
    # The chi-squared quantile by the cube root rule of Wilson and Hilferty (1931).
    part = 2 / (9 * freedom)
    quantile = freedom * (1 - part + _NORMAL_QUANTILE * math.sqrt(part)) ** 3
    return quantile * (1 / users + 1 / before)


def _counts(edges: Floats, values: Floats) -> NDArray[Any]:
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
