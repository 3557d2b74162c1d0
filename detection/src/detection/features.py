"""The 28 features of a user, a pure function of the state.

A failed event has status ``failed``; an authentication event is of a type in
``contracts.events.AUTH_EVENT_TYPES``; hours and days are UTC; a null is no value. Divisions by
nothing give 0. Deviations are those of a sample (n - 1) and 0 for fewer than two values.

| feature | is |
|---|---|
| total_events | events, duplicates left out |
| unique_ips, unique_event_types, unique_locations | distinct source_ip, event_type, geo_location |
| avg_threat_score, max_threat_score | over the events that carry one; 0 without any |
| failed_events | events with status failed |
| unusual_hour_events | events in the hours 0 to 6, both included |
| failed_auth_rate | failed authentication events / authentication events |
| unusual_hour_rate | unusual_hour_events / total_events |
| ip_diversity_score | unique_ips / total_events |
| activity_days | distinct days |
| events_per_day | total_events / activity_days |
| auth_attempt_count | authentication events |
| network_connection_count, file_access_count, process_execution_count, dns_query_count | by type |
| hourly_stddev, hourly_variance | of the counts per hour of day, over hours that have events |
| avg_ip_frequency, ip_frequency_stddev | events per distinct ip: mean, deviation |
| rare_ip_count | ips that came exactly once |
| rare_ip_ratio | rare_ip_count / unique_ips |
| avg_event_interval, event_interval_stddev, min_event_interval | seconds between one event of the user and the next in offset order of a partition, without sign; 0 for fewer than two events |
| burst_events | such intervals below 1 s |

A user's distinct values are told apart up to ``layout.MOST_VALUES`` per kind and partition; all
further ones count as one.

Over partitions, counts add up, distinct values are united, and means and deviations of intervals
are merged in the order of the engines given (Chan): pass them sorted by topic and partition.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.events import EVENT_TYPES, UNKNOWN_USER
from contracts.views import FEATURE_SCHEMA
from detection import layout as at
from detection.interning import Interner
from detection.state import Floats, Ints, State

_VALUE_KINDS = (at.IP, at.TYPE, at.PLACE, at.DAY)
_VOCABULARY_OF = {at.IP: "source_ip", at.TYPE: "event_type", at.PLACE: "geo_location"}


class HasState(Protocol):
    """What features need of an engine."""

    state: State
    interner: Interner


@dataclass(frozen=True, slots=True)
class _Tallies:
    """Counters of some users; ``values[kind]`` are (user row, value, times seen) arrays."""

    users: list[str]
    counters: Ints
    sums: Floats
    hours: Ints
    values: dict[int, tuple[Ints, Ints, Ints]]


def user_features(engines: Iterable[HasState], include_unknown: bool = False) -> pa.Table:
    """Return ``FEATURE_SCHEMA`` rows of all users, merged over partitions, sorted by user.

    Args:
        engines: One per partition, sorted by (topic, partition).
        include_unknown: Also return the row of events that name no user.
    """
    merged = _Merger()
    for engine in engines:
        merged.add(_all_tallies(engine.state, engine.interner), engine.interner)
    table = pa.table(_columns(merged.tallies()), schema=FEATURE_SCHEMA)
    if not include_unknown:
        table = table.filter(pc.not_equal(table["user"], UNKNOWN_USER))
    return table.sort_by("user")


def features_of(state: State, interner: Interner, user: str) -> dict[str, str | int | float] | None:
    """Return one user's row in one partition, None for a user that never came."""
    code = interner.user_code(user)
    if code is None or code == at.POPULATION or not state.counters[code, at.TOTAL]:
        return None
    rows = slice(code, code + 1)
    values = {kind: _values_of(state, code, kind) for kind in _VALUE_KINDS}
    tallies = _Tallies([user], state.counters[rows], state.sums[rows], state.hours[rows], values)
    row: dict[str, str | int | float] = pa.table(
        _columns(tallies), schema=FEATURE_SCHEMA
    ).to_pylist()[0]
    return row


def _all_tallies(state: State, interner: Interner) -> _Tallies:
    """Return the tallies of every user that came, in order of first appearance."""
    came = np.flatnonzero(state.counters[: interner.users, at.TOTAL])
    row_of = np.full(interner.users, -1, np.int64)
    row_of[came] = np.arange(len(came))
    entries = state.entries[: state.tally[at.ENTRIES]]
    keys = entries["key"] - 1
    rows, kinds = row_of[keys >> 34], keys >> 30 & 15
    values = {}
    for kind in _VALUE_KINDS:
        chosen = (kinds == kind) & (rows >= 0)
        values[kind] = (
            rows[chosen],
            keys[chosen] & 0x3FFFFFFF,
            entries["seen"][chosen].astype(np.int64),
        )
    users = [str(interner.values["user"][code]) for code in came.tolist()]
    return _Tallies(users, state.counters[came], state.sums[came], state.hours[came], values)


def _values_of(state: State, user: int, kind: int) -> tuple[Ints, Ints, Ints]:
    """Return what ``_all_tallies`` does for one user and kind, at the cost of its values only."""
    places = []
    following = int(state.heads[user, kind])
    while following:
        places.append(following - 1)
        following = int(state.entries["next"][following - 1])
    found = state.entries[places]
    return (
        np.zeros(len(places), np.int64),
        found["key"] - 1 & 0x3FFFFFFF,
        found["seen"].astype(np.int64),
    )


class _Merger:
    """Adds up the tallies of partitions, whose codes for users and values differ."""

    def __init__(self) -> None:
        self._users: dict[str, int] = {}
        self._words: dict[int, dict[str | int, int]] = {kind: {} for kind in _VOCABULARY_OF}
        self._counters = np.zeros((0, at.COUNTERS), np.int64)
        self._sums = np.zeros((0, at.SUMS))
        self._hours = np.zeros((0, 24), np.int64)
        self._values: dict[int, list[tuple[Ints, Ints, Ints]]] = {k: [] for k in _VALUE_KINDS}

    def add(self, part: _Tallies, interner: Interner) -> None:
        """Add one partition."""
        rows = _numbered(self._users, part.users)
        missing = len(self._users) - len(self._counters)
        self._counters = np.pad(self._counters, ((0, missing), (0, 0)))
        self._sums = np.pad(self._sums, ((0, missing), (0, 0)))
        self._hours = np.pad(self._hours, ((0, missing), (0, 0)))
        self._hours[rows] += part.hours
        self._counters[rows], self._sums[rows] = _added(
            self._counters[rows], self._sums[rows], part.counters, part.sums
        )
        for kind, (users, values, seen) in part.values.items():
            if kind in _VOCABULARY_OF:
                words = _numbered(self._words[kind], interner.values[_VOCABULARY_OF[kind]])
                told = values != at.OTHER
                values = values.copy()
                values[told] = words[values[told]]
            self._values[kind].append((rows[users], values, seen))

    def tallies(self) -> _Tallies:
        """Return the whole."""
        values = {kind: _united(parts) for kind, parts in self._values.items()}
        return _Tallies(list(self._users), self._counters, self._sums, self._hours, values)


def _numbered(numbers: dict[Any, int], words: Iterable[str | int]) -> Ints:
    """Return the number of each word, giving new ones the next."""
    return np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int64)


def _united(parts: list[tuple[Ints, Ints, Ints]]) -> tuple[Ints, Ints, Ints]:
    """Add up the times seen of equal (user, value) pairs."""
    if not parts:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, nothing
    users, values, seen = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    pairs, inverse = np.unique(users << 30 | values, return_inverse=True)
    total = np.zeros(len(pairs), np.int64)
    np.add.at(total, inverse, seen)
    return pairs >> 30, pairs & 0x3FFFFFFF, total


def _added(counters: Ints, sums: Floats, more: Ints, more_sums: Floats) -> tuple[Ints, Floats]:
    """Return counters and sums of two sets of events of the same users (rows)."""
    total, result = counters + more, sums + more_sums
    fresh = counters[:, at.TOTAL] == 0
    total[:, at.FIRST] = np.minimum(counters[:, at.FIRST], more[:, at.FIRST])
    total[:, at.LAST] = np.maximum(counters[:, at.LAST], more[:, at.LAST])
    for column in (at.FIRST, at.LAST):
        total[fresh, column] = more[fresh, column]
    total[:, at.MIN_GAP] = np.minimum(counters[:, at.MIN_GAP], more[:, at.MIN_GAP])
    for some, other in ((counters, more), (more, counters)):
        none = some[:, at.GAPS] == 0
        total[none, at.MIN_GAP] = other[none, at.MIN_GAP]
    result[:, at.THREAT_MAX] = np.maximum(sums[:, at.THREAT_MAX], more_sums[:, at.THREAT_MAX])
    n, m = counters[:, at.GAPS], more[:, at.GAPS]
    difference = more_sums[:, at.GAP_MEAN] - sums[:, at.GAP_MEAN]
    share = _ratio(m, n + m)
    result[:, at.GAP_MEAN] = sums[:, at.GAP_MEAN] + difference * share
    result[:, at.GAP_M2] = (
        sums[:, at.GAP_M2] + more_sums[:, at.GAP_M2] + difference * difference * n * share
    )
    return total, result


def _columns(tallies: _Tallies) -> dict[str, Any]:
    """Return the columns of ``FEATURE_SCHEMA``."""
    counters, sums = tallies.counters, tallies.sums
    rows, total = len(counters), counters[:, at.TOTAL]
    distinct = {
        kind: np.bincount(users, minlength=rows) for kind, (users, _, _) in tallies.values.items()
    }
    ip_users, _, ip_seen = tallies.values[at.IP]
    unique_ips, days = distinct[at.IP], distinct[at.DAY]
    frequency, _, frequency_variance = _moments(ip_users, ip_seen, rows)
    hour_users, hour_columns = np.nonzero(tallies.hours)
    hourly = _moments(hour_users, tallies.hours[hour_users, hour_columns], rows)[2]
    rare = np.bincount(ip_users[ip_seen == 1], minlength=rows)
    gaps = counters[:, at.GAPS]
    by_type = {
        f"{name}_count": counters[:, at.BY_TYPE + index]
        for index, name in enumerate(EVENT_TYPES)
        if index != at.AUTH_TYPES[0]
    }
    return {
        "user": tallies.users,
        "first_seen": counters[:, at.FIRST],
        "last_seen": counters[:, at.LAST],
        "total_events": total,
        "unique_ips": unique_ips,
        "unique_event_types": distinct[at.TYPE],
        "avg_threat_score": _ratio(sums[:, at.THREAT_SUM], counters[:, at.THREATS]),
        "max_threat_score": sums[:, at.THREAT_MAX],
        "failed_events": counters[:, at.FAILURES],
        "unusual_hour_events": counters[:, at.UNUSUAL],
        "unique_locations": distinct[at.PLACE],
        "failed_auth_rate": _ratio(counters[:, at.AUTH_FAILED], counters[:, at.AUTH]),
        "unusual_hour_rate": _ratio(counters[:, at.UNUSUAL], total),
        "ip_diversity_score": _ratio(unique_ips, total),
        "activity_days": days,
        "events_per_day": _ratio(total, days),
        "auth_attempt_count": counters[:, at.AUTH],
        **by_type,
        "hourly_stddev": np.sqrt(hourly),
        "hourly_variance": hourly,
        "avg_ip_frequency": frequency,
        "ip_frequency_stddev": np.sqrt(frequency_variance),
        "rare_ip_count": rare,
        "rare_ip_ratio": _ratio(rare, unique_ips),
        "avg_event_interval": sums[:, at.GAP_MEAN],
        "event_interval_stddev": np.sqrt(_ratio(sums[:, at.GAP_M2], np.maximum(gaps - 1, 0))),
        "min_event_interval": counters[:, at.MIN_GAP] / 1000,
        "burst_events": counters[:, at.BURSTS],
    }


def _moments(rows_of: Ints, values: Ints, rows: int) -> tuple[Floats, Ints, Floats]:
    """Return mean, number and sample variance of the values of each row."""
    number = np.bincount(rows_of, minlength=rows)
    mean = _ratio(np.bincount(rows_of, weights=values, minlength=rows), number)
    squares = np.bincount(rows_of, weights=(values - mean[rows_of]) ** 2, minlength=rows)
    return mean, number, _ratio(squares, np.maximum(number - 1, 0))


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    """Return ``part / whole``, 0 where ``whole`` is 0."""
    ratio: Floats = np.divide(
        part, whole, out=np.zeros(len(whole), np.float64), where=np.asarray(whole) != 0
    )
    return ratio
