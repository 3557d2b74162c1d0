"""The compiled code of correlations: matching events into windows, one after the other.

All compiled functions that call each other stand in this one module, because numba's cache on
disk notices changes of a module only in the module itself.

Reading order: ``observe`` at the end, then what it calls, upwards.
"""

import numpy as np
from numba import njit

from detection.windows import (
    ALERTED,
    ARRIVED,
    BASE,
    CAPACITY,
    ENDED,
    ESCALATED,
    EVENT_COUNT,
    EVENTS,
    FIRST_CAPACITY,
    FREE,
    LEVEL,
    MATCHED,
    NEVER,
    ORDER_MASK,
    ORDERED,
    RAISED,
    SIZE,
    SLOTS,
    VALUE_COUNT,
)

compiled = njit(cache=True, error_model="numpy", nogil=True, forceinline=True)
"""As in ``kernel``: in one function, the compiler need not count references to the arrays."""


# ---------------------------------------------------------------- slots and blocks


@compiled
def mixed(key):
    """Return a well-spread non-negative hash of an integer."""
    h = np.uint64(key)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return np.int64((h ^ (h >> np.uint64(33))) >> np.uint64(1))


@compiled
def fill_slots(table, keys, count):
    """Fill an empty hash table with the first ``count`` slots."""
    mask = len(table) - 1
    for slot in range(count):
        place = mixed(keys[slot]) & mask
        while table[place] != 0:
            place = (place + 1) & mask
        table[place] = slot + 1


@compiled
def pack_ids(ids, lengths, places, packed):
    """Write the ids at ``places`` into ``packed``, one after the other."""
    at = 0
    for place in places:
        for i in range(lengths[place]):
            packed[at] = ids[place, i]
            at += 1


@compiled
def unpack_ids(packed, lengths, places, ids):
    """Undo ``pack_ids``."""
    at = 0
    for place in places:
        for i in range(lengths[place]):
            ids[place, i] = packed[at]
            at += 1


@compiled
def slot_of(window, key):
    """Return the slot of an entity, making it at the first sight."""
    mask = len(window.table) - 1
    place = mixed(key) & mask
    while window.table[place] != 0:
        slot = np.int64(window.table[place]) - 1
        if window.keys[slot] == key:
            return slot
        place = (place + 1) & mask
    slot = window.tally[SLOTS]
    window.tally[SLOTS] = slot + 1
    window.table[place] = slot + 1
    window.keys[slot] = key
    return slot


@compiled
def binary_order(number):
    """Return the exponent of a power of two."""
    exponent = 0
    while number > 1:
        number >>= 1
        exponent += 1
    return exponent


@compiled
def grow(window, marks):
    """Move a slot's events to a block of twice the size; give up the old one."""
    old, size = marks[BASE], marks[CAPACITY]
    larger = max(FIRST_CAPACITY, 2 * size)
    shelf = FREE + binary_order(larger)
    if window.tally[shelf]:
        new = window.tally[shelf] - 1
        window.tally[shelf] = window.times[new]
    else:
        new = window.tally[EVENTS]
        window.tally[EVENTS] = new + larger
    for i in range(size):
        window.times[new + i] = window.times[old + i]
        window.values[new + i] = window.values[old + i]
        window.orders[new + i] = window.orders[old + i]
        window.ips[new + i] = window.ips[old + i]
        window.lengths[new + i] = window.lengths[old + i]
        for j in range(window.lengths[old + i]):
            window.ids[new + i, j] = window.ids[old + i, j]
    if size:
        shelf = FREE + binary_order(size)
        window.times[old] = window.tally[shelf]
        window.tally[shelf] = old + 1
    marks[BASE] = new
    marks[CAPACITY] = larger


@compiled
def is_later(window, one, other, newest):
    """Tell whether one event is later than another: by time, then by arrival."""
    if window.times[one] != window.times[other]:
        return window.times[one] > window.times[other]
    age, other_age = newest - window.orders[one], newest - window.orders[other]
    return (age & ORDER_MASK) < (other_age & ORDER_MASK)


@compiled
def is_redundant(window, marks, event, kind):
    """Tell whether a later event of the same value serves any window as well, or better."""
    base, newest = marks[BASE], marks[ARRIVED]
    following = -1
    for other in range(base, base + marks[SIZE]):
        if other == event or not is_later(window, other, event, newest):
            continue
        if kind == VALUE_COUNT:
            if window.values[other] == window.values[event]:
                return True
        elif following < 0 or is_later(window, following, other, newest):
            following = other
    return following >= 0 and window.values[following] == window.values[event]


@compiled
def outdone_by(window, marks, kind, time, value):
    """Return an event that a new one of the same value makes redundant; -1 for none."""
    base, newest, found = marks[BASE], marks[ARRIVED], -1
    for event in range(base, base + marks[SIZE]):
        if window.times[event] > time:
            continue
        if kind == VALUE_COUNT:
            if window.values[event] == value and (
                found < 0 or is_later(window, found, event, newest)
            ):
                found = event
        elif found < 0 or is_later(window, event, found, newest):
            found = event
    return found if found >= 0 and window.values[found] == value else -1


@compiled
def place_to_reuse(window, marks, kind, time, value):
    """Return where the next event of a full block goes: over a redundant one, else the oldest."""
    base, newest = marks[BASE], marks[ARRIVED]
    if kind == EVENT_COUNT:
        return base + newest % marks[SIZE]
    outdone = outdone_by(window, marks, kind, time, value)
    if outdone >= 0:
        return outdone
    oldest, oldest_age = base, -1
    spare, spare_age = -1, -1
    for event in range(base, base + marks[SIZE]):
        age = (newest - window.orders[event]) & ORDER_MASK
        if age > oldest_age:
            oldest, oldest_age = event, age
        if age > spare_age and is_redundant(window, marks, event, kind):
            spare, spare_age = event, age
    return spare if spare >= 0 else oldest


@compiled
def keep(window, marks, limits, matches, index):
    """Write a matching event into its slot's block."""
    if marks[SIZE] < limits.kept:
        if marks[SIZE] == marks[CAPACITY]:
            grow(window, marks)
        place = marks[BASE] + marks[SIZE]
        marks[SIZE] += 1
    else:
        time, value = matches.times[index], matches.values[index]
        place = place_to_reuse(window, marks, limits.kind, time, value)
    row = matches.rows[index]
    first = matches.id_ends[row]
    length = matches.id_ends[row + 1] - first
    window.times[place] = matches.times[index]
    window.values[place] = matches.values[index]
    window.orders[place] = marks[ARRIVED] & ORDER_MASK
    window.ips[place] = matches.ips[index]
    window.lengths[place] = length
    for i in range(length):
        window.ids[place, i] = matches.id_bytes[first + i]
    marks[ARRIVED] += 1


# ---------------------------------------------------------------- windows


@compiled
def count_values(window, first, last, start, end):
    """Return how many distinct values a window holds."""
    count = 0
    for i in range(first, last):
        if start < window.times[i] <= end:
            fresh = 1
            for j in range(first, i):
                if window.values[j] == window.values[i] and start < window.times[j] <= end:
                    fresh = 0
                    break
            count += fresh
    return count


@compiled
def count_steps(window, first, last, newest, start, end):
    """Return how many of the values 0, 1, 2... a window holds one after the other."""
    previous, step = -1, 0
    while True:
        following = -1
        for i in range(first, last):
            if window.values[i] == step and start < window.times[i] <= end:
                after = previous < 0 or is_later(window, i, previous, newest)
                if after and (following < 0 or is_later(window, following, i, newest)):
                    following = i
        if following < 0:
            return step
        previous = following
        step += 1


@compiled
def measure(window, marks, limits, end):
    """Return what the condition counts in the window end - span < event time <= end."""
    first, start = marks[BASE], end - limits.span
    last = first + marks[SIZE]
    if limits.kind == VALUE_COUNT:
        return count_values(window, first, last, start, end)
    if limits.kind == ORDERED:
        return count_steps(window, first, last, marks[ARRIVED], start, end)
    count = 0
    for i in range(first, last):
        count += start < window.times[i] <= end
    return count


@compiled
def window_end(window, marks, limits, time):
    """Return the earliest end, at or after ``time``, of a window that matches; or NEVER."""
    if marks[SIZE] < limits.threshold:
        return NEVER
    if measure(window, marks, limits, time) >= limits.threshold:
        return time
    best, later = NEVER, False
    for i in range(marks[BASE], marks[BASE] + marks[SIZE]):
        later |= window.times[i] > time
    if not later:
        return NEVER
    for i in range(marks[BASE], marks[BASE] + marks[SIZE]):
        end = window.times[i]
        if (
            time < end < time + limits.span
            and (best == NEVER or end < best)
            and measure(window, marks, limits, end) >= limits.threshold
        ):
            best = end
    return best


@compiled
def observe(window, limits, matches, first, ends):
    """Add matching events from ``first`` on, until one raises an alert.

    ``ends`` gets the end of the window that each one matches with, or NEVER.

    Returns:
        Index of the match that raised an alert; the number of matches when none did; or, when
        the arrays are too full for another event, -1 minus the index that it came to.
    """
    for index in range(first, len(matches.rows)):
        full = window.tally[EVENTS] + limits.kept > len(window.times)
        if full or window.tally[SLOTS] == len(window.keys):
            return -1 - index
        slot = slot_of(window, matches.keys[index])
        marks = window.marks[slot]
        keep(window, marks, limits, matches, index)
        end = window_end(window, marks, limits, matches.times[index])
        ends[index] = end
        if end == NEVER:
            continue
        level = 1
        if limits.escalated:
            level += measure(window, marks, limits, end) >= limits.escalated
        goes_on = (
            marks[LEVEL] >= level
            and abs(end - marks[MATCHED]) < limits.quiet
            and abs(end - marks[RAISED]) < limits.again
        )
        marks[MATCHED] = end
        if not goes_on:
            marks[LEVEL] = level
            marks[RAISED] = end
            window.tally[ALERTED] = slot
            window.tally[ENDED] = end
            window.tally[ESCALATED] = level - 1
            return index
    return len(matches.rows)
