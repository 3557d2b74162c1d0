"""Segments: clusters of users with a name a person understands, the same from run to run."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batch_layer.security.scaling import MODEL_FEATURES, Scaling

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

TYPICAL = "typical"
FIT_RANGE = 3.0
"""K-Means is fitted to values clipped to this: an outlier shall not become a cluster."""

_WORDS: dict[str, tuple[str, str]] = {
    "total_events": ("busy", "quiet"),
    "activity_days": ("", "seldom seen"),
    "failed_auth_rate": ("many failed logins", ""),
    "unusual_hour_rate": ("active at night", ""),
    "unique_ips": ("many addresses", ""),
    "rare_ip_ratio": ("changing addresses", ""),
    "unique_locations": ("many places", ""),
    "burst_events": ("in bursts", ""),
    "auth_attempt_count": ("mostly logins", ""),
    "network_connection_count": ("mostly network", ""),
    "file_access_count": ("mostly files", ""),
    "process_execution_count": ("mostly processes", ""),
    "dns_query_count": ("mostly DNS", ""),
}
"""What is said of a segment that lies above or below the population in a feature."""

_NAMED = 0.5
_KEPT = 0.25
_WORDS_IN_NAME = 2
_PROFILE = 5
_SAME = 0.75


@dataclass(frozen=True, slots=True)
class Segment:
    """One cluster.

    Attributes:
        id: Its number, that of the segment of the run before which it continues.
        name: In words, what sets it apart; ``typical`` when nothing does.
        traits: Features the name is made of: ``+feature`` or ``-feature``.
        users: Users in it.
        center: [26] its middle, as model inputs (not scaled by a population).
        profile: The features farthest from the population: ``{feature, median, population,
            deviation}``, ``population`` as 5th percentile, median, 95th percentile, ``deviation``
            in robust standard deviations.
    """

    id: int
    name: str
    traits: list[str]
    users: int
    center: list[float]
    profile: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return it as it is saved."""
        return asdict(self)


def segments_of(
    centers: Floats,
    labels: Ints,
    scaling: Scaling,
    values: dict[str, Floats],
    previous: Sequence[Segment] = (),
) -> list[Segment]:
    """Describe clusters; those of the run before that they continue give number and name.

    Args:
        centers: [clusters, 26] in standardised units.
        labels: [users] cluster of each user.
        scaling: How inputs were standardised.
        values: Features as they are, [users] each.
        previous: Segments of the run before.

    Returns:
        One segment per cluster, in the order of ``centers``.
    """
    sizes = np.bincount(labels, minlength=len(centers))
    continued = _continued(centers, scaling, previous)
    ids = _numbers(sizes, continued)
    segments: list[Segment] = []
    for label, deviation in enumerate(centers):
        before = continued.get(label)
        traits = _traits(deviation)
        if before is not None and _still_true(before.traits, deviation):
            traits = before.traits
        name = _unique(_name(traits), [segment.name for segment in segments])
        segments.append(
            Segment(
                id=ids[label],
                name=name,
                traits=traits,
                users=int(sizes[label]),
                center=(deviation * scaling.spread + scaling.center).tolist(),
                profile=_profile(deviation, labels == label, values),
            )
        )
    return segments


def _continued(
    centers: Floats, scaling: Scaling, previous: Sequence[Segment]
) -> dict[int, Segment]:
    """Pair clusters with earlier segments so that all together move least; far ones are new."""
    if not previous:
        return {}
    earlier = scaling.standardise(np.array([segment.center for segment in previous]))
    earlier = np.clip(earlier, -FIT_RANGE, FIT_RANGE)
    distances = np.sqrt(((centers[:, None, :] - earlier[None]) ** 2).mean(axis=2))
    short, long = sorted((len(centers), len(earlier)))
    by_short = distances if len(centers) == short else distances.T
    # Clusters are few: every way to pair them is tried.
    best = min(permutations(range(long), short), key=lambda way: by_short[range(short), way].sum())
    pairs = enumerate(best) if len(centers) == short else ((j, i) for i, j in enumerate(best))
    return {label: previous[number] for label, number in pairs if distances[label, number] <= _SAME}


def _numbers(sizes: NDArray[Any], continued: dict[int, Segment]) -> dict[int, int]:
    """Give each cluster its number: the one it continues, else the lowest free, largest first."""
    numbers = {label: segment.id for label, segment in continued.items()}
    free = iter([n for n in range(2 * len(sizes)) if n not in numbers.values()])
    for label in np.argsort(-sizes, kind="stable").tolist():
        if label not in numbers:
            numbers[label] = next(free)
    return numbers


def _traits(deviation: Floats) -> list[str]:
    found: list[tuple[float, str]] = []
    for feature, (above, below) in _WORDS.items():
        distance = float(deviation[MODEL_FEATURES.index(feature)])
        if abs(distance) >= _NAMED and (above if distance > 0 else below):
            found.append((abs(distance), ("+" if distance > 0 else "-") + feature))
    return [trait for _, trait in sorted(found, reverse=True)[:_WORDS_IN_NAME]]


def _still_true(traits: list[str], deviation: Floats) -> bool:
    """Say whether a name still fits; it is given up later than it is given."""
    if not traits:
        return not _traits(deviation)
    signs = {"+": 1.0, "-": -1.0}
    return all(
        signs[trait[0]] * deviation[MODEL_FEATURES.index(trait[1:])] >= _KEPT for trait in traits
    )


def _name(traits: list[str]) -> str:
    words = [_WORDS[trait[1:]][0 if trait[0] == "+" else 1] for trait in traits]
    return ", ".join(words) or TYPICAL


def _unique(name: str, taken: list[str]) -> str:
    number, unique = 2, name
    while unique in taken:
        unique = f"{name} ({number})"
        number += 1
    return unique


def _profile(
    deviation: Floats, is_member: NDArray[np.bool_], values: dict[str, Floats]
) -> list[dict[str, Any]]:
    order = np.argsort(-np.abs(deviation), kind="stable")[:_PROFILE]
    profile = []
    for index in order.tolist():
        feature = MODEL_FEATURES[index]
        inside = values[feature][is_member]
        if len(inside) == 0:
            continue
        population = np.quantile(values[feature], [0.05, 0.5, 0.95])
        profile.append(
            {
                "feature": feature,
                "median": float(np.median(inside)),
                "population": [float(value) for value in population],
                "deviation": float(deviation[index]),
            }
        )
    return profile
