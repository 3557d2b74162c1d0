"""The compiled state machine: one partition's events in offset order, over integer columns.

All compiled functions that call each other stand in this one module, because numba's cache on
disk notices changes of a module only in the module itself.

Reading order: ``process`` at the end, then what it calls, upwards.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detection import layout as at
from detection.layout import (
    AUTH,
    AUTH_FAILED,
    AUTH_TYPES,
    BURSTS,
    BY_TYPE,
    C_STATUS,
    C_USER,
    COMPONENT_OF,
    DAY,
    ENTRIES,
    FAILED,
    FAILURES,
    FIRST,
    GAP_M2,
    GAP_MEAN,
    GAPS,
    HOUR,
    IP,
    KINDS,
    LAST,
    MIN_GAP,
    MOST_VALUES,
    OTHER,
    PLACE,
    POPULATION,
    PORT,
    PREVIOUS,
    SCORED_KINDS,
    STATUS,
    STREAK,
    THREAT_MAX,
    THREAT_SUM,
    THREATS,
    TOP,
    TOTAL,
    TYPE,
    UNKNOWN,
    UNUSUAL,
    VOLUME,
)
from detection.state import STRATA, Bytes, Floats, Ints

compiled = njit(cache=True, error_model="numpy", nogil=True, forceinline=True)
"""The numpy error model leaves out checks for divisions by zero; with that, and with everything
in one function, the compiler leaves out most counting of references to the state's arrays."""

REFERENCE = 0
CALIBRATED = 1

REFERENCE_READY = 100
REFERENCE_THRESHOLD = 0.5

READY = 10
"""Ordinary events of a user before the calibrated scorer judges one; a suspicious one counts for
what it teaches."""
POPULATION_KNOWN = 1000.0
"""From so many ordinary events of all users on, a user's second event can be judged: what the
others do says what to expect of somebody new."""
PLACES_KNOWN = 30
"""Events of a user before a country can be new or rare."""
PRIOR = 5.0
"""How many events of the user's own the population's mean surprise counts for."""
LEVEL_MEMORY = 1000.0
"""A mean surprise is over about the latest so many events."""
CEILING = 10.0
"""Most that one kind of value adds to a score, in nats: one odd value is not a verdict."""
LEAST_LEARNED = 0.005
"""How much a suspicious event teaches, against 1."""
LEAST_VARIETY = 0.05
"""How much a suspicious event teaches about how varied a user's values are."""
CONFIRMATION = 4.0
"""By this factor more, each time that suspicious events in a row repeat what was seen before."""
NEW = 0.3
"""An event repeats what was seen before if its new values add up to less of the threshold."""
ORDINARY = 0.5
"""Up to this share of the threshold an event teaches fully; from there on less and less."""

FALSE_POSITIVES = 0.0005
BODY, TAIL = 0.20, 0.06
"""Shares of scores above the two quantiles from which the exponential tail is drawn."""
FIRST_BAR, LOWEST_BAR, HIGHEST_BAR = 10.0, 8.0, 20.0
"""Threshold in nats before any is measured, and its bounds."""
BIN = 0.125
RECALIBRATE = 64
ENOUGH = 256
"""Scores in a stratum before it has a threshold of its own."""
HISTOGRAM_MEMORY = 100_000.0
OUTLIER, OUTLIER_WEIGHT = 1.2, 0.1
"""A score of so many times the threshold counts for so much when the threshold is drawn anew."""

REGION_BITS = 18
"""Cells of a hash table that are filled together: 1 MiB, which second-level caches hold."""
FILLED_AT_ONCE = 1 << 22
"""Bounds the memory that filling a table takes beside it."""

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
LAST_UNUSUAL_HOUR = 6

BURST_MS = 1_000

RARE = 0.02
"""A country is rare for a user who was there in less than this share of events with a place."""
PLACES_TO_COMPARE = 1024
"""For a user who has been in more places than this, no country is new or rare any more."""


WEIGHTS = (0.5, 0.5, 1.0, 1.0, 0.7, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
"""Of each kind; an address and its network tell much the same, and failures are mostly mistakes:
bursts of them are for the rules."""


class Batch(NamedTuple):
    """A micro-batch without duplicates, as arrays of one entry per event.

    ``codes`` is [``layout.CODES``, rows]; ``sizes`` holds bytes transferred, -1 for null;
    ``threats`` NaN for null. Event ids are ``id_bytes[id_ends[i] : id_ends[i + 1]]``.
    ``countries`` is by code of a place, -1 for none.
    """

    codes: Ints
    times: Ints
    sizes: Ints
    threats: Floats
    id_ends: NDArray[np.int32]
    id_bytes: Bytes
    countries: Ints


class Findings(NamedTuple):
    """What came of a micro-batch.

    The first five are per event. The rest is filled from the front, one entry per anomalous event, ``found[0]`` of them (all but ``rows``
    are [entries, kinds...]).
    """

    scores: Floats
    components: Floats
    anomalous: NDArray[np.bool_]
    new_countries: NDArray[np.bool_]
    rare_countries: NDArray[np.bool_]
    found: Ints
    rows: Ints
    excess: Floats
    seen: Ints
    total: Ints
    top: Ints
    top_seen: Ints


# ---------------------------------------------------------------- hash tables


@compiled
def mixed(key):
    """Return a well-spread non-negative hash of an integer."""
    h = np.uint64(key)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return np.int64((h ^ (h >> np.uint64(33))) >> np.uint64(1))


@compiled
def key_of(user, kind, value):
    """Pack a user, a kind and a value into a key, never 0, the mark of an empty cell."""
    return ((user << 34) | (kind << 30) | (value & 0x3FFFFFFF)) + 1


@compiled
def place_of(state, key):
    """Return the cell of the hash table that holds a key's entry, or where it would be put."""
    mask = len(state.table) - 1
    place = mixed(key) & mask
    while state.table[place] != 0 and state.entries[state.table[place] - 1].key != key:
        place = (place + 1) & mask
    return place


@compiled
def entry_of(state, user, kind, value):
    """Return the entry that counts ``value``, making it at the first sight.

    A user who has had very many values of a kind gets one entry for all further ones.
    """
    key = key_of(user, kind, value)
    place = place_of(state, key)
    if state.table[place] == 0 and is_full(state, user, kind):
        key = key_of(user, kind, OTHER)
        place = place_of(state, key)
    if state.table[place] != 0:
        return np.int64(state.table[place]) - 1
    entry = state.tally[ENTRIES]
    state.tally[ENTRIES] = entry + 1
    state.table[place] = entry + 1
    state.entries[entry].key = key
    state.distinct[user, kind] += 1
    tail = state.tails[user, kind]
    if tail:
        state.entries[tail - 1].next = entry + 1
    else:
        state.heads[user, kind] = entry + 1
    state.tails[user, kind] = entry + 1
    return entry


@compiled
def is_full(state, user, kind):
    """Tell whether a user has had as many values of a kind as are told apart."""
    return user != POPULATION and state.distinct[user, kind] >= MOST_VALUES[kind]


@compiled
def fill_table(table, entries, count):
    """Fill an empty hash table with the first ``count`` entries, whose keys are distinct.

    Region by region, so that cells are found in the processor's cache: entry by entry, a table of
    hundreds of megabytes would cost a miss each.
    """
    mask = len(table) - 1
    regions = max(1, len(table) >> REGION_BITS)
    width = len(table) // regions
    numbers = np.empty(min(count, FILLED_AT_ONCE), np.int32)
    places = np.empty(min(count, FILLED_AT_ONCE), np.int64)
    for begin in range(0, count, FILLED_AT_ONCE):
        end = min(begin + FILLED_AT_ONCE, count)
        following = np.zeros(regions + 1, np.int64)
        for entry in range(begin, end):
            following[(mixed(entries[entry].key) & mask) // width + 1] += 1
        following = np.cumsum(following)
        for entry in range(begin, end):
            place = mixed(entries[entry].key) & mask
            at = following[place // width]
            following[place // width] = at + 1
            numbers[at] = entry + 1
            places[at] = place
        for at in range(end - begin):
            place = places[at]
            while table[place] != 0:
                place = (place + 1) & mask
            table[place] = numbers[at]


@compiled
def fill_entries(state, keys, seen, weights):
    """Make the entries of a snapshot again, from the last to the first: each links to the next."""
    for i in range(len(keys) - 1, -1, -1):
        user, kind = (keys[i] - 1) >> 34, (keys[i] - 1) >> 30 & 15
        following = state.heads[user, kind]
        state.entries[i].key = keys[i]
        state.entries[i].seen = seen[i]
        state.entries[i].weight = weights[i]
        state.entries[i].next = following
        state.heads[user, kind] = i + 1
        state.distinct[user, kind] += 1
        if following == 0:
            state.tails[user, kind] = i + 1
    state.tally[ENTRIES] = len(keys)
    fill_table(state.table, state.entries, len(keys))


# ---------------------------------------------------------------- event ids


@compiled
def fill_ids(ids, ring):
    """Make the set of remembered ids again."""
    mask = len(ids) - 1
    for identity in ring:
        cell = (identity >> 1) & mask
        while ids[cell] != 0:
            cell = (cell + 1) & mask
        ids[cell] = identity


@compiled
def mark_duplicates(id_ends, id_bytes, tally, ring, ids, duplicate):
    """Flag repeated ids; remember the others in the ring, in place of the oldest ones."""
    mask = len(ids) - 1
    for row in range(len(duplicate)):
        h = np.uint64(0xCBF29CE484222325)
        for i in range(id_ends[row], id_ends[row + 1]):
            h = (h ^ np.uint64(id_bytes[i])) * np.uint64(0x100000001B3)
        identity = mixed(h) | 1
        cell = (identity >> 1) & mask
        while ids[cell] != 0 and ids[cell] != identity:
            cell = (cell + 1) & mask
        duplicate[row] = ids[cell] == identity
        if duplicate[row]:
            continue
        ids[cell] = identity
        place = tally[at.RING_NEXT]
        if tally[at.RING_SIZE] == len(ring):
            forget(ids, ring[place])
        else:
            tally[at.RING_SIZE] += 1
        ring[place] = identity
        tally[at.RING_NEXT] = (place + 1) % len(ring)


@compiled
def forget(ids, identity):
    """Remove an id from the set, closing the gap in its run of cells."""
    mask = len(ids) - 1
    gap = (identity >> 1) & mask
    while ids[gap] != identity:
        gap = (gap + 1) & mask
    cell = (gap + 1) & mask
    while ids[cell] != 0:
        home = (ids[cell] >> 1) & mask
        if ((cell - home) & mask) >= ((cell - gap) & mask):
            ids[gap] = ids[cell]
            gap = cell
        cell = (cell + 1) & mask
    ids[gap] = 0


# ---------------------------------------------------------------- features


@compiled
def count_event(state, batch, row, user, hour):
    """Add an event to its user's counters; see ``features`` for what they mean."""
    counters, sums = state.counters[user], state.sums[user]
    time, kind = batch.times[row], batch.codes[TYPE, row]
    failed = batch.codes[C_STATUS, row] == FAILED
    is_auth = kind == AUTH_TYPES[0] or kind == AUTH_TYPES[1] or kind == AUTH_TYPES[2]
    counters[FAILURES] += failed
    counters[UNUSUAL] += hour <= LAST_UNUSUAL_HOUR
    counters[AUTH] += is_auth
    counters[AUTH_FAILED] += is_auth and failed
    if kind < 5:
        counters[BY_TYPE + kind] += 1
    threat = batch.threats[row]
    if not math.isnan(threat):
        sums[THREAT_MAX] = max(sums[THREAT_MAX], threat)
        sums[THREAT_SUM] += threat
        counters[THREATS] += 1
    if counters[TOTAL] == 0:
        counters[FIRST] = time
        counters[LAST] = time
    else:
        counters[FIRST] = min(counters[FIRST], time)
        counters[LAST] = max(counters[LAST], time)
        add_gap(counters, sums, abs(time - counters[PREVIOUS]))
    counters[PREVIOUS] = time
    counters[TOTAL] += 1
    state.hours[user, hour] += 1


@compiled
def add_gap(counters, sums, gap):
    """Add the gap between two events, in ms, to mean and squared deviations in seconds."""
    counters[MIN_GAP] = gap if counters[GAPS] == 0 else min(counters[MIN_GAP], gap)
    counters[GAPS] += 1
    counters[BURSTS] += gap < BURST_MS
    seconds = gap / 1000.0
    difference = seconds - sums[GAP_MEAN]
    sums[GAP_MEAN] += difference / counters[GAPS]
    sums[GAP_M2] += difference * (seconds - sums[GAP_MEAN])


# ---------------------------------------------------------------- scores


@compiled
def score_reference(state, batch, row, user, hour, cells, excess):
    """Return the sum of fixed weights times rarity, and fill in its parts.

    A user's probability of a value is its count over all events before this one; a value that
    is absent adds nothing.
    """
    total = state.counters[user, TOTAL]
    excess[HOUR] = 0.25 * (1.0 - state.hours[user, hour] / total)
    if cells[IP] >= 0:
        excess[IP] = 0.30 * (1.0 - state.entries[cells[IP]].seen / total)
    if cells[PLACE] >= 0:
        excess[PLACE] = 0.20 * (1.0 - state.entries[cells[PLACE]].seen / total)
    excess[TYPE] = 0.15 * (1.0 - state.entries[cells[TYPE]].seen / total)
    if batch.codes[C_STATUS, row] == FAILED:
        excess[STATUS] = 0.10
    return excess[HOUR] + excess[IP] + excess[PLACE] + excess[TYPE] + excess[STATUS]


@compiled
def reference_components(excess, components):
    """Undo the weights: each component is the rarity itself."""
    components[:] = 0.0
    components[0] = excess[HOUR] / 0.25
    components[1] = excess[IP] / 0.30
    components[2] = excess[PLACE] / 0.20
    components[3] = excess[TYPE] / 0.15
    components[4] = excess[STATUS] / 0.10


@compiled
def hour_share(hours, hour):
    """Return the mass at an hour of the day, with some of its neighbours'."""
    near = hours[(hour + 1) % 24] + hours[(hour + 23) % 24]
    far = hours[(hour + 2) % 24] + hours[(hour + 22) % 24]
    return 0.6 * hours[hour] + 0.15 * near + 0.05 * far


@compiled
def probability(weight, mass, variety, weight_all, mass_all, variety_all):
    """Return the probability of a value: Witten-Bell, backing off to the population.

    ``weight`` of ``mass`` observations were this value, with ``variety`` distinct ones.
    """
    of_all = (weight_all + 1.0) / (mass_all + variety_all + 1.0)
    novelty = variety + 0.5
    return (weight + novelty * of_all) / (mass + novelty)


@compiled
def find_surprise(state, user, hour, cells, cells_all, surprise):
    """Fill in -log of the probability of each value the event carries, -1 for none."""
    mass, mass_all = state.mass[user], state.mass[POPULATION]
    variety, variety_all = state.variety[user], state.variety[POPULATION]
    for kind in range(SCORED_KINDS):
        surprise[kind] = -1.0
        if kind == HOUR:
            w = hour_share(state.hour_mass[user], hour)
            w_all = hour_share(state.hour_mass[POPULATION], hour)
        elif cells[kind] >= 0:
            w = state.entries[cells[kind]].weight
            w_all = state.entries[cells_all[kind]].weight
        else:
            continue
        m, v, m_all, v_all = mass[kind], variety[kind], mass_all[kind], variety_all[kind]
        if kind == STATUS:
            # The outcome is judged among events of its type.
            m, v = state.entries[cells[TYPE]].weight, 1.5
            m_all, v_all = state.entries[cells_all[TYPE]].weight, 3.0
        elif kind == PORT:
            # Likewise: a type that always uses one port is no second surprise.
            m, m_all = state.entries[cells[TYPE]].weight, state.entries[cells_all[TYPE]].weight
        surprise[kind] = -math.log(probability(w, m, v, w_all, m_all, v_all))


@compiled
def is_known_for_a_day(state, user, time):
    """Tell whether every hour of the day has come by since the user was first seen."""
    counters = state.counters[user]
    return counters[TOTAL] > 0 and time - counters[FIRST] >= DAY_MS


@compiled
def find_excess(state, user, time, surprise, excess):
    """Fill in what each surprise exceeds the user's own mean by; return the weighted sum.

    An hour that has not come by yet is no evidence: it is new for everybody once.
    """
    score = 0.0
    for kind in range(SCORED_KINDS):
        excess[kind] = 0.0
        if kind == HOUR and not is_known_for_a_day(state, user, time):
            continue
        if surprise[kind] >= 0.0:
            own = state.mass[user, kind]
            level = state.level[user, kind] * own + state.level[POPULATION, kind] * PRIOR
            over = surprise[kind] - level / (own + PRIOR)
            excess[kind] = WEIGHTS[kind] * min(max(over, 0.0), CEILING)
            score += excess[kind]
    return score


@compiled
def stratum_of(events):
    """Return the stratum of a user's maturity: it doubles from one to the next."""
    stratum = 0
    events >>= 3
    while events > 0 and stratum < STRATA - 1:
        events >>= 1
        stratum += 1
    return stratum


@compiled
def bar_of(state, stratum):
    """Return the threshold of a stratum: its own, else that of the next one that has any."""
    for below in range(stratum, -1, -1):
        if state.bars[below] > 0.0:
            return state.bars[below]
    for above in range(stratum + 1, STRATA):
        if state.bars[above] > 0.0:
            return state.bars[above]
    return FIRST_BAR


@compiled
def quantile_above(histogram, share):
    """Return the score that ``share`` of the histogram lies above."""
    left = share * histogram.sum()
    for i in range(len(histogram) - 1, -1, -1):
        if histogram[i] > left:
            return (i + 1 - left / histogram[i]) * BIN
        left -= histogram[i]
    return 0.0


@compiled
def calibrate(state, stratum, score, bar):
    """Add a score to its stratum; from time to time, draw the threshold anew.

    Scores well above the threshold hardly count, so that an attack does not raise it; those just
    above it do, so that one that is too low recovers.
    """
    histogram = state.histogram[stratum]
    place = min(int(score / BIN), len(histogram) - 1)
    histogram[place] += OUTLIER_WEIGHT if score > OUTLIER * bar else 1.0
    state.scored[stratum] += 1
    count = state.scored[stratum]
    if count % RECALIBRATE or count < ENOUGH:
        return
    body, tail = quantile_above(histogram, BODY), quantile_above(histogram, TAIL)
    scale = (tail - body) / math.log(BODY / TAIL)
    bar = body + scale * math.log(BODY / FALSE_POSITIVES)
    state.bars[stratum] = min(max(bar, LOWEST_BAR), HIGHEST_BAR)
    if histogram.sum() > HISTOGRAM_MEMORY:
        histogram *= 0.5


@compiled
def calibrated_components(excess, bar, components):
    """Map each component as the score is: 0.5 where it alone would reach the threshold."""
    components[:] = 0.0
    for kind in range(SCORED_KINDS):
        components[COMPONENT_OF[kind]] += excess[kind]
    for i in range(len(components)):
        if components[i] > 0.0:
            components[i] = 1.0 - 2.0 ** (-components[i] / bar)


@compiled
def lesson(state, user, cells, excess, score, bar):
    """Return how much an event teaches: suspicious ones little, so that none poisons a baseline.

    A user who moves or has a new device repeats the same values, one event after the other: then
    each teaches more than the one before. An intruder's are others, or the user's own events come
    between them. What a short history is worth, a repetition teaches at once.
    """
    doubt = (score / bar - ORDINARY) / (1.0 - ORDINARY)
    if doubt <= 0.0:
        state.counters[user, STREAK] = 0
        return 1.0
    least = LEAST_LEARNED
    if is_repetition(state, cells, excess, bar):
        least = max(least, 1.0 / (state.mass[user, HOUR] + 1.0))
        least = min(least * CONFIRMATION ** state.counters[user, STREAK], 1.0)
        state.counters[user, STREAK] += 1
    return least ** min(doubt, 1.0)


@compiled
def is_repetition(state, cells, excess, bar):
    """Tell whether what is suspicious came before: values that are new matter little, if any."""
    new = 0.0
    for kind in range(SCORED_KINDS):
        if kind != HOUR and excess[kind] > 0.0 and state.entries[cells[kind]].seen == 0:
            new += excess[kind]
    return new < NEW * bar


@compiled
def learn(state, user, hour, cells, surprise, amount):
    """Teach a user's baseline, or the population's, the values of an event.

    That there are new values is learned sooner than the values themselves: one who has new ones
    all the time must not stay suspicious for ever.
    """
    new = max(amount, LEAST_VARIETY)
    for kind in range(SCORED_KINDS):
        if surprise[kind] < 0.0:
            continue
        if kind == HOUR:
            if state.hour_mass[user, hour] == 0.0:
                state.variety[user, kind] += new
            state.hour_mass[user, hour] += amount
        else:
            if state.entries[cells[kind]].weight == 0.0:
                state.variety[user, kind] += new
            state.entries[cells[kind]].weight += amount
        state.mass[user, kind] += amount
        rate = amount / min(state.mass[user, kind] + 1.0, LEVEL_MEMORY)
        state.level[user, kind] += rate * (surprise[kind] - state.level[user, kind])


# ---------------------------------------------------------------- reasons


@compiled
def explain(state, row, user, hour, cells, excess, found):
    """Copy what the words of an anomalous event need, as it was before the event."""
    index = found.found[0]
    found.rows[index] = row
    for kind in range(SCORED_KINDS):
        found.excess[index, kind] = excess[kind]
        found.total[index, kind] = state.seen[user, kind]
        found.seen[index, kind] = state.entries[cells[kind]].seen if cells[kind] >= 0 else 0
        for place in range(TOP):
            found.top[index, kind, place] = state.usual[user, kind, place, 0] - 1
            found.top_seen[index, kind, place] = state.usual[user, kind, place, 1]
    found.seen[index, HOUR] = state.hours[user, hour]
    found.total[index, HOUR] = state.counters[user, TOTAL]
    for value in range(24):
        rank_value(
            value, state.hours[user, value], found.top[index, HOUR], found.top_seen[index, HOUR]
        )
    found.found[0] = index + 1


@compiled
def rank_value(value, seen, top, top_seen):
    """Insert a value into a descending list; of equals, the earlier one stays ahead."""
    if seen == 0:
        return
    place = TOP
    while place > 0 and (top[place - 1] < 0 or top_seen[place - 1] < seen):
        place -= 1
        if place < TOP - 1:
            top[place + 1] = top[place]
            top_seen[place + 1] = top_seen[place]
    if place < TOP:
        top[place] = value
        top_seen[place] = seen


# ---------------------------------------------------------------- the event


@compiled
def value_of(batch, row, kind):
    """Return an event's value of a table kind as a code, -1 when it carries none."""
    if kind == STATUS:
        status = batch.codes[C_STATUS, row]
        if status < 0:
            return status
        return (min(batch.codes[TYPE, row], 0xFFFF) << 8) | min(status, 255)
    if kind == PORT:
        port = batch.codes[PORT, row]
        return port if port < 0 else (min(batch.codes[TYPE, row], 0x3FFF) << 16) | port
    if kind == VOLUME:
        return volume_of(batch.sizes[row])
    return batch.codes[kind, row]


@compiled
def volume_of(size):
    """Return the number of binary digits of a size, -1 when there is none."""
    if size < 0:
        return np.int64(-1)
    digits = 0
    while size > 0:
        size >>= 1
        digits += 1
    return np.int64(digits)


@compiled
def find_cells(state, batch, row, user, cells):
    """Fill in the user's entry for each value the event carries, -1 for none."""
    for kind in range(KINDS):
        cells[kind] = -1
        if kind == HOUR:
            continue
        value = batch.times[row] // DAY_MS if kind == DAY else value_of(batch, row, kind)
        if value >= 0:
            cells[kind] = entry_of(state, user, kind, value)


@compiled
def find_cells_of_all(state, cells, cells_all):
    """Fill in the population's entry of each scored value; entries of users lead to them."""
    for kind in range(SCORED_KINDS):
        cells_all[kind] = -1
        if cells[kind] >= 0:
            entry = np.int64(state.entries[cells[kind]].population) - 1
            if entry < 0:
                value = (state.entries[cells[kind]].key - 1) & 0x3FFFFFFF
                entry = entry_of(state, POPULATION, kind, value)
                state.entries[cells[kind]].population = entry + 1
            cells_all[kind] = entry


@compiled
def count_values(state, user, cells):
    """Count the event's values for its user."""
    for kind in range(KINDS):
        if cells[kind] >= 0:
            seen = state.entries[cells[kind]].seen + 1
            state.entries[cells[kind]].seen = seen
            state.seen[user, kind] += 1
            value = (state.entries[cells[kind]].key - 1) & 0x3FFFFFFF
            if kind < SCORED_KINDS and value != OTHER:
                keep_usual(state.usual[user, kind], value, seen)


@compiled
def keep_usual(usual, value, seen):
    """Keep the values seen most often in front; of equals, the one that was there first."""
    place = 0
    while place < TOP and usual[place, 0] != 0 and usual[place, 0] != value + 1:
        place += 1
    if place == TOP:
        place = TOP - 1
        if usual[place, 1] >= seen:
            return
    while place > 0 and usual[place - 1, 1] < seen:
        usual[place, 0], usual[place, 1] = usual[place - 1, 0], usual[place - 1, 1]
        place -= 1
    usual[place, 0], usual[place, 1] = value + 1, seen


@compiled
def judge_country(state, batch, row, user, cells, found):
    """Tell whether an event is a user's first from a country, or one of few.

    Most events come from a place that alone is no rare one: only the others are summed up.
    """
    cell, located = cells[PLACE], state.seen[user, PLACE]
    if cell < 0 or located == 0 or state.counters[user, TOTAL] < PLACES_KNOWN:
        return
    country = batch.countries[batch.codes[PLACE, row]]
    few = RARE * located
    if country < 0 or state.entries[cell].seen >= few:
        return
    earlier, entry = 0, state.heads[user, PLACE]
    for _ in range(PLACES_TO_COMPARE):
        if entry == 0:
            found.new_countries[row] = earlier == 0
            found.rare_countries[row] = earlier < few
            return
        place = (state.entries[entry - 1].key - 1) & 0x3FFFFFFF
        if batch.countries[place] == country:
            earlier += state.entries[entry - 1].seen
        entry = np.int64(state.entries[entry - 1].next)


@compiled
def judge_reference(state, batch, row, user, hour, cells, excess, found):
    """Score an event by the fixed formula."""
    if state.counters[user, TOTAL] < REFERENCE_READY:
        return
    excess[:] = 0.0
    score = score_reference(state, batch, row, user, hour, cells, excess)
    found.scores[row] = score
    reference_components(excess, found.components[row])
    if score >= REFERENCE_THRESHOLD:
        found.anomalous[row] = True
        explain(state, row, user, hour, cells, excess, found)


@compiled
def is_ready(state, user):
    """Tell whether enough is known of a user, or of all, to judge the user's next event."""
    if state.mass[POPULATION, HOUR] >= POPULATION_KNOWN:
        return state.counters[user, TOTAL] > 0
    return state.mass[user, HOUR] >= READY


@compiled
def judge_calibrated(state, batch, row, user, hour, cells, cells_all, excess, surprise, found):
    """Score an event against the user's own distribution of surprise, then learn from it."""
    find_cells_of_all(state, cells, cells_all)
    find_surprise(state, user, hour, cells, cells_all, surprise)
    events = int(state.mass[user, HOUR])
    score = find_excess(state, user, batch.times[row], surprise, excess)
    stratum = stratum_of(events)
    bar = bar_of(state, stratum)
    if is_ready(state, user):
        found.scores[row] = 1.0 - 2.0 ** (-score / bar)
        calibrated_components(excess, bar, found.components[row])
        if score >= bar:
            found.anomalous[row] = True
            explain(state, row, user, hour, cells, excess, found)
        calibrate(state, stratum, score, bar)
    amount = lesson(state, user, cells, excess, score, bar)
    learn(state, user, hour, cells, surprise, amount)
    learn(state, POPULATION, hour, cells_all, surprise, amount)


@compiled
def process(state, scorer, batch, first, found):
    """Take a batch through the state machine; every event sees only what came before it.

    Begins at row ``first`` and returns the row that it came to: less than all when the arrays of
    entries are too full for another event.
    """
    room = min(len(state.entries), len(state.table) // 2) - 2 * KINDS
    cells = np.full(KINDS, -1, np.int64)
    cells_all = np.full(KINDS, -1, np.int64)
    excess, surprise = np.zeros(SCORED_KINDS), np.zeros(SCORED_KINDS)
    for row in range(first, len(batch.times)):
        if state.tally[ENTRIES] > room:
            return row
        user = batch.codes[C_USER, row]
        hour = batch.times[row] // HOUR_MS % 24
        find_cells(state, batch, row, user, cells)
        if user != UNKNOWN:
            if scorer == REFERENCE:
                judge_reference(state, batch, row, user, hour, cells, excess, found)
            else:
                judge_calibrated(
                    state, batch, row, user, hour, cells, cells_all, excess, surprise, found
                )
            judge_country(state, batch, row, user, cells, found)
        count_event(state, batch, row, user, hour)
        count_values(state, user, cells)
    return len(batch.times)
