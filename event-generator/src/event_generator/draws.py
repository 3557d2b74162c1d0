"""Vectorised draws. Everything goes through uniform numbers, so a seed fixes every byte."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Objects = NDArray[np.object_]
Flags = NDArray[np.bool_]


def generator(seed: int, *stream: int) -> np.random.Generator:
    """Return a generator for one part of a run, independent of every other part."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, *stream))))


def pool(values: Sequence[str]) -> Objects:
    """Return strings as an object array, so that one index picks many of them."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def weighted(rng: np.random.Generator, weights: Sequence[float], size: int) -> Codes:
    """Draw ``size`` indices into ``weights``, each with its share of their sum.

    Examples:
        >>> weighted(generator(1), (0.0, 1.0, 0.0), 3).tolist()
        [1, 1, 1]
    """
    return from_cumulative(np.cumsum(weights), rng.random(size))


def from_cumulative(cumulative: NDArray[np.float64], uniform: NDArray[np.float64]) -> Codes:
    """Turn uniform numbers in [0, 1) into indices, given a running sum of weights."""
    codes = np.searchsorted(cumulative, uniform * cumulative[-1], side="right")
    limited: Codes = np.minimum(codes, len(cumulative) - 1)
    return limited


def uniform_integers(rng: np.random.Generator, low: int, high: int, size: int) -> Codes:
    """Draw ``size`` integers from ``low`` to ``high``, both inclusive."""
    return low + (rng.random(size) * (high - low + 1)).astype(np.int64)


def choices(rng: np.random.Generator, values: Objects, size: int) -> Objects:
    """Draw ``size`` values with equal chances."""
    return values[uniform_integers(rng, 0, len(values) - 1, size)]


def chance(rng: np.random.Generator, probability: float, size: int) -> Flags:
    """Draw ``size`` flags that are true with ``probability``."""
    return rng.random(size) < probability


def log_uniform(rng: np.random.Generator, low: int, high: int, size: int) -> Codes:
    """Draw ``size`` integers whose logarithm is uniform: bytes and durations look like this."""
    drawn: Codes = np.exp(np.log(low) + rng.random(size) * np.log(high / low)).astype(np.int64)
    return drawn


def shares(weights: Sequence[float], total: int) -> list[int]:
    """Split ``total`` by ``weights`` as exactly as integers allow (largest remainder).

    Examples:
        >>> shares((0.5, 0.3, 0.15, 0.05), 10)
        [5, 3, 2, 0]
    """
    exact = np.asarray(weights) / np.sum(weights) * total
    parts = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(-(exact - parts), kind="stable")
    parts[by_remainder[: total - int(parts.sum())]] += 1
    return [int(part) for part in parts]
