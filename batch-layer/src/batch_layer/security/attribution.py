"""How much each feature of a user moved the score: sampled Shapley values.

The forest also splits along axes that mix all features, so a path through a tree does not tell them
apart.
Instead the score itself is asked: features change one by one from a typical user's value to the
user's, in many orders, and a feature's contribution is its mean effect (Strumbelj and Kononenko
2014). Each order is used in both directions, which removes most of the sampling noise. For every
user the contributions add up to the user's score less the typical user's, exactly.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
"""[rows, features] to [rows] scores."""

ORDERS = 16
_ROWS_PER_CALL = 20_000


def contributions(
    score: Score, rows: Floats, typical: Floats, orders: int = ORDERS, seed: int = 42
) -> Floats:
    """Return [users, features] contributions to each user's score.

    Args:
        score: What is to be explained.
        rows: [users, features] inputs of the users.
        typical: [features] inputs of a typical user.
        orders: Orders sampled per user, an even number.
        seed: Equal seeds, equal contributions.

    Examples:
        >>> weights = np.array([1.0, 2.0, 0.0])
        >>> parts = contributions(lambda x: x @ weights, np.array([[3.0, 1.0, 9.0]]), np.zeros(3))
        >>> parts.round(6).tolist()
        [[3.0, 2.0, 0.0]]
    """
    features = rows.shape[1]
    rng = np.random.default_rng(seed)
    half = [rng.permutation(features) for _ in range(orders // 2)]
    sampled = np.array([order for one in half for order in (one, one[::-1])])
    # place[o, f]: when feature f changes in order o; step s of an order has changed all before s.
    place = np.argsort(sampled, axis=1)
    changed = place[:, None, :] < np.arange(features + 1)[None, :, None]
    together = max(1, _ROWS_PER_CALL // (len(sampled) * (features + 1)))
    result = np.zeros((len(rows), features))
    for start in range(0, len(rows), together):
        chunk = rows[start : start + together]
        inputs = np.where(changed[None], chunk[:, None, None, :], typical)
        scores = score(inputs.reshape(-1, features)).reshape(len(chunk), *changed.shape[:2])
        steps = np.diff(scores, axis=2)
        effects = np.take_along_axis(steps, place[None].repeat(len(chunk), axis=0), axis=2)
        result[start : start + together] = effects.mean(axis=1)
    return result
