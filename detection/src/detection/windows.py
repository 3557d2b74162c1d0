"""Sliding event-time windows per entity: the state of correlations, and how it grows.

An entity (a user, an address, a pair) has a slot from its first matching event on, and a block
that holds its latest matching events, at most ``kept``. Blocks double as they fill; blocks given
up are used again. So an entity costs what it has, and no more than ``kept`` events.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.state import Bytes, Ints

Codes = NDArray[np.int32]

NEVER: Final = -(2**63)

# Kinds of condition.
EVENT_COUNT: Final = 0
VALUE_COUNT: Final = 1
ORDERED: Final = 2

# Columns of ``marks``, per slot.
BASE: Final = 0
CAPACITY: Final = 1
SIZE: Final = 2
ARRIVED: Final = 3
LEVEL: Final = 4
"""0 before the first alert, 1 after one, 2 after an escalated one."""
MATCHED: Final = 5
RAISED: Final = 6
MARKS: Final = 7

# Cells of ``tally``.
SLOTS: Final = 0
EVENTS: Final = 1
ALERTED: Final = 2
"""Of the latest alert: the slot, then the end of the window, then whether it is escalated."""
ENDED: Final = 3
ESCALATED: Final = 4
FREE: Final = 5
"""From here on, per power of two: a block given up, plus 1."""

FIRST_CAPACITY: Final = 4
_TALLIES = FREE + 16
_MIN_SLOTS = 64
_MIN_EVENTS = 1024
ORDER_MASK: Final = 0x7FFFFFFF


class Limits(NamedTuple):
    """What a correlation asks of a window; times in ms.

    Attributes:
        kind: ``EVENT_COUNT``, ``VALUE_COUNT`` (distinct values, or distinct rules) or
            ``ORDERED`` (values 0 to ``threshold`` - 1, one after the other).
        threshold: How many events, values or steps.
        span: Length of the window.
        quiet: Matches that come before so much time has passed belong to what goes on.
        again: What goes on for so long is said again.
        escalated: From how many on it is worse; 0 for never.
        kept: Events held per entity.
    """

    kind: int
    threshold: int
    span: int
    quiet: int
    again: int
    escalated: int
    kept: int


class Window(NamedTuple):
    """The latest matching events of each entity of one correlation.

    Attributes:
        tally: Single numbers.
        table: Open-addressing hash table of slots, plus 1; a power of two long, at most half
            full.
        keys: [slots] entities, in order of first appearance.
        marks: [slots, marks].
        times: [events] event times, Unix ms. Blocks of slots lie in these arrays.
        values: [events] codes of what is counted.
        orders: [events] number of the event among the entity's, modulo 2**31. Where events are
            only counted, it gives the place too: number modulo ``kept``, from the block's base.
        ips: [events] address codes, -1 for none.
        lengths: [events] bytes of each id.
        ids: [events, width] event ids, UTF-8.
    """

    tally: Ints
    table: Codes
    keys: Ints
    marks: Ints
    times: Ints
    values: Codes
    orders: Codes
    ips: Codes
    lengths: Bytes
    ids: Bytes


class Matches(NamedTuple):
    """Matching events of a batch, one entry per match, ascending by row.

    Attributes:
        rows: Row of the batch.
        keys: Entity.
        values: Code of what is counted.
        times: Event time, Unix ms.
        ips: Address code of the row, -1 for none.
        id_ends: Event ids of the batch are ``id_bytes[id_ends[row] : id_ends[row + 1]]``.
        id_bytes: See ``id_ends``.
    """

    rows: Ints
    keys: Ints
    values: Ints
    times: Ints
    ips: Ints
    id_ends: NDArray[np.int32]
    id_bytes: Bytes


_EVENT_ARRAYS = ("times", "values", "orders", "ips", "lengths", "ids")


def empty_window() -> Window:
    """Return the window before the first event."""
    return Window(
        tally=np.zeros(_TALLIES, np.int64),
        table=np.zeros(2 * _MIN_SLOTS, np.int32),
        keys=np.zeros(_MIN_SLOTS, np.int64),
        marks=np.zeros((_MIN_SLOTS, MARKS), np.int64),
        times=np.zeros(_MIN_EVENTS, np.int64),
        values=np.zeros(_MIN_EVENTS, np.int32),
        orders=np.zeros(_MIN_EVENTS, np.int32),
        ips=np.zeros(_MIN_EVENTS, np.int32),
        lengths=np.zeros(_MIN_EVENTS, np.uint8),
        ids=np.zeros((_MIN_EVENTS, 16), np.uint8),
    )


def with_room(window: Window, slots: int, events: int, id_width: int) -> Window:
    """Return ``window`` with room for so many slots and events, and ids of up to that width.

    The hash table comes back empty when it had to grow: the caller fills it.
    """
    if slots > len(window.keys):
        size = 1 << (slots - 1).bit_length()
        window = window._replace(
            keys=_longer(window.keys, size).view(np.int64),
            marks=_longer(window.marks, size).view(np.int64),
            table=np.zeros(2 * size, np.int32),
        )
    if events > len(window.times):
        size = 1 << (events - 1).bit_length()
        grown: dict[str, Any] = {
            name: _longer(getattr(window, name), size) for name in _EVENT_ARRAYS
        }
        window = window._replace(**grown)
    if id_width > window.ids.shape[1]:
        ids = np.zeros((len(window.ids), -(-id_width // 4) * 4), np.uint8)
        ids[:, : window.ids.shape[1]] = window.ids
        window = window._replace(ids=ids)
    return window


def with_more_room(window: Window, kept: int) -> Window:
    """Return ``window`` with room for at least one more slot and one more block.

    The hash table comes back empty when it had to grow: the caller fills it.
    """
    slots, events = int(window.tally[SLOTS]), int(window.tally[EVENTS])
    return with_room(window, slots + 1, events + kept, 0)


def _longer(array: NDArray[np.generic], size: int) -> NDArray[np.generic]:
    grown = np.zeros((size, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown


def events_within(window: Window, slot: int, start: int, end: int) -> list[int]:
    """Return the places of a slot's events in a window, in order of arrival."""
    marks = window.marks[slot]
    base, size, arrived = int(marks[BASE]), int(marks[SIZE]), int(marks[ARRIVED])
    times = window.times[base : base + size].tolist()
    orders = window.orders[base : base + size].tolist()
    inside = [index for index in range(size) if start < times[index] <= end]
    inside.sort(key=lambda index: -((arrived - orders[index]) & ORDER_MASK))
    return [base + index for index in inside]


def events_by_slot(window: Window) -> tuple[Ints, Ints]:
    """Return how many events each slot has, and their places: by slot, then by arrival."""
    marks = window.marks[: window.tally[SLOTS]]
    sizes: Ints = marks[:, SIZE]
    slots = np.repeat(np.arange(len(sizes)), sizes)
    number = np.arange(len(slots)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = marks[slots, BASE] + number
    ages = _ages(window, places, marks[slots, ARRIVED])
    return sizes, places[np.lexsort((-ages, slots))]


def block_sizes(sizes: Ints) -> Ints:
    """Return the smallest blocks that hold so many events."""
    exponents = np.ceil(np.log2(np.maximum(sizes, FIRST_CAPACITY))).astype(np.int64)
    return np.left_shift(1, exponents)


def _ages(window: Window, places: Ints, arrived: Ints) -> Ints:
    ages: Ints = (arrived - window.orders[places].astype(np.int64)) & ORDER_MASK
    return ages
