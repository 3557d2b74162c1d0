"""The flat arrays that are the state of one partition, and how they grow."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection import layout as at

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]

ENTRY = np.dtype(
    [("key", "i8"), ("weight", "f8"), ("seen", "i4"), ("next", "i4"), ("population", "i4")],
    align=True,
)
"""One value of a user: how much was learned from it, how often it was seen, the entry of the
user's next value of the kind and the population's entry of the same value, each plus 1."""

STRATA = 10
BINS = 1024
HORIZON = 262_144
"""Distinct event ids per partition within which a repetition is noticed."""

_MIN_USERS = 64
_MIN_ENTRIES = 2048


class State(NamedTuple):
    """Arrays indexed by user code are [users, ...]; row 0 is the population.

    Attributes:
        tally: Single numbers, see ``layout``.
        table: Open-addressing hash table, a power of two long: places in ``entries``, plus 1; 0
            where empty.
        entries: [entries] ``ENTRY``, in order of first appearance: the values in use lie close
            together, which is what makes look-ups fast.
        heads: [users, kinds] first entry, plus 1; 0 for none.
        tails: [users, kinds] last entry, plus 1.
        distinct: [users, kinds] number of entries.
        usual: [users, scored kinds, top, 2] values seen most often, plus 1, and how often.
        counters: [users, counters] integer counters.
        sums: [users, sums] floating-point accumulators.
        hours: [users, 24] events per UTC hour of day.
        hour_mass: [users, 24] the same, as learned.
        seen: [users, kinds] events that carried a value of the kind.
        mass: [users, kinds] the same, as learned.
        variety: [users, kinds] distinct values, as learned.
        level: [users, kinds] mean surprise.
        histogram: [strata, bins] distribution of recent scores.
        scored: [strata] scores that came.
        bars: [strata] thresholds in nats, 0 for none yet.
        ring: [horizon] hashes of the latest event ids.
        ids: Hash set of the same, open addressing.
    """

    tally: Ints
    table: NDArray[np.int32]
    entries: NDArray[np.void]
    heads: NDArray[np.int32]
    tails: NDArray[np.int32]
    distinct: NDArray[np.int32]
    usual: NDArray[np.int32]
    counters: Ints
    sums: Floats
    hours: Ints
    hour_mass: Floats
    seen: Ints
    mass: Floats
    variety: Floats
    level: Floats
    histogram: Floats
    scored: Ints
    bars: Floats
    ring: Ints
    ids: Ints


USER_ARRAYS = (
    "heads",
    "tails",
    "distinct",
    "usual",
    "counters",
    "sums",
    "hours",
    "hour_mass",
    "seen",
    "mass",
    "variety",
    "level",
)


def empty_state() -> State:
    """Return the state before the first event."""
    users = _MIN_USERS
    return State(
        tally=np.zeros(at.TALLIES, np.int64),
        table=np.zeros(2 * _MIN_ENTRIES, np.int32),
        entries=np.zeros(_MIN_ENTRIES, ENTRY),
        heads=np.zeros((users, at.KINDS), np.int32),
        tails=np.zeros((users, at.KINDS), np.int32),
        distinct=np.zeros((users, at.KINDS), np.int32),
        usual=np.zeros((users, at.SCORED_KINDS, at.TOP, 2), np.int32),
        counters=np.zeros((users, at.COUNTERS), np.int64),
        sums=np.zeros((users, at.SUMS)),
        hours=np.zeros((users, 24), np.int64),
        hour_mass=np.zeros((users, 24)),
        seen=np.zeros((users, at.KINDS), np.int64),
        mass=np.zeros((users, at.KINDS)),
        variety=np.zeros((users, at.KINDS)),
        level=np.zeros((users, at.KINDS)),
        histogram=np.zeros((STRATA, BINS)),
        scored=np.zeros(STRATA, np.int64),
        bars=np.zeros(STRATA),
        ring=np.zeros(HORIZON, np.int64),
        ids=np.zeros(2 * HORIZON, np.int64),
    )


def with_room_for_users(state: State, users: int) -> State:
    """Return ``state`` with rows for at least ``users`` users."""
    capacity = len(state.counters)
    if users <= capacity:
        return state
    rows = _power_of_two(users)
    return state._replace(**{name: _taller(getattr(state, name), rows) for name in USER_ARRAYS})


def with_room_for_entries(state: State, entries: int) -> State:
    """Return ``state`` with room for ``entries``.

    The hash table, at most half full, comes back empty when it had to grow: the caller fills it.
    """
    if entries <= len(state.entries):
        return state
    capacity = _power_of_two(entries)
    return state._replace(
        entries=_taller(state.entries, capacity), table=np.zeros(2 * capacity, np.int32)
    )


def _taller(array: NDArray[np.generic], rows: int) -> NDArray[np.generic]:
    grown = np.zeros((rows, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown


def _power_of_two(number: int) -> int:
    return 1 << max(6, (number - 1).bit_length())
