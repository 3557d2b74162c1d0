"""The compiled scanner of security events: positions of the values that the columns need.

It takes a plain subset of JSON and leaves every other record to ``contracts.decoder``: a record
is *plain* when it is valid, holds each nested object once, and has no unusual numbers or escapes
and nothing that the decoder would refuse. Whether texts are UTF-8 is for the caller to see. So the scanner never has to say what
is wrong with a record, and never decides a doubtful case.

Records come from attackers. Every loop stops at the zero byte behind the record, which no token
may contain, and the arrays are checked for bounds all the same (``boundscheck``).

All compiled functions that call each other stand in this one module, because numba's cache on
disk notices changes of a module only in the module itself. Reading order: ``scan`` at the end,
then what it calls, upwards.
"""

import numpy as np
from numba import njit

from contracts import events as ev
from speed_layer.json_fields import (
    ABSENT,
    AUTH_STATUS,
    BYTES,
    DOMAIN,
    EVENT_ID,
    EVENT_TYPE,
    FILE_PATH,
    INTEGER,
    INTEGERS,
    OBJECT,
    PORT,
    PROCESS_NAME,
    SCORE,
    SCORE_DIGITS,
    SLOTS,
    STATUS,
    TEXT,
    TEXT_COLUMNS,
    TEXTS,
    TIMESTAMP,
    USER,
    escaped_bytes,
    field_tables,
    signature,
    word_table,
)

compiled = njit(cache=True, error_model="numpy", nogil=True, boundscheck=True, forceinline=True)

_MOST_DEPTH = 60
_INTEGER_DIGITS = 18

_QUOTE, _BACKSLASH, _COLON, _COMMA = 34, 92, 58, 44
_OPEN, _CLOSE, _OPEN_ARRAY, _CLOSE_ARRAY = 123, 125, 91, 93
_ZERO, _NINE, _MINUS, _POINT = 48, 57, 45, 46

# Constants to the compiler. Its cache on disk does not notice a change of the modules that they come
# from; hence the signature, which ``scan`` returns as it was compiled.
_SIGNATURE = signature()
_SLOTS, _KEYS, _FACTS = field_tables()
_EVENT_TYPES = word_table(ev.EVENT_TYPES)
_STATUSES = word_table(ev.EVENT_STATUSES)
_ENDS_TEXT = np.array([code < ord(" ") or chr(code) in '"\\' for code in range(256)])
_ESCAPES = np.array([chr(code) in '"\\/bfnrt' for code in range(256)])
_ESCAPED = escaped_bytes()
_POWERS = np.array([10.0**digits for digits in range(SCORE_DIGITS + 1)])
_MAX_ID, _MAX_USER = ev.MAX_EVENT_ID_LENGTH, ev.MAX_USER_LENGTH
_FIRST_TIME, _LAST_TIME = ev.MIN_TIMESTAMP_MS, ev.MAX_TIMESTAMP_MS


# ---------------------------------------------------------------- tokens; -1 where not plain


@compiled
def after_space(data, i):
    """Return the place of the next byte that is no white space."""
    while data[i] == 32 or data[i] == 10 or data[i] == 13 or data[i] == 9:
        i += 1
    return i


@compiled
def text_end(data, i):
    """Return where a text without escapes ends, its closing quote."""
    c = data[i]
    while not _ENDS_TEXT[c]:
        i += 1
        c = data[i]
    return i if c == _QUOTE else -1


@compiled
def any_text_end(data, i):
    """Return where a text ends, its closing quote; escapes of one character may be in it."""
    while True:
        c = data[i]
        while not _ENDS_TEXT[c]:
            i += 1
            c = data[i]
        if c == _QUOTE:
            return i
        if c != _BACKSLASH:
            return -1
        if not _ESCAPES[data[i + 1]]:
            return -1
        i += 2


@compiled
def digits_end(data, i):
    """Return where the digits from ``i`` on end."""
    while _ZERO <= data[i] <= _NINE:
        i += 1
    return i


@compiled
def whole_end(data, i):
    """Return where an unsigned whole number ends: digits, no zero in front of others."""
    end = digits_end(data, i)
    if end == i or end - i > _INTEGER_DIGITS or (data[i] == _ZERO and end - i > 1):
        return -1
    return end


@compiled
def number_end(data, i):
    """Return where a number without exponent ends."""
    if data[i] == _MINUS:
        i += 1
    i = whole_end(data, i)
    if i < 0 or data[i] != _POINT:
        return i
    end = digits_end(data, i + 1)
    return end if 1 < end - i <= _INTEGER_DIGITS else -1


@compiled
def literal_end(data, i):
    """Return where true, false or null ends."""
    c = data[i]
    if c == 116:
        same = data[i + 1] == 114 and data[i + 2] == 117 and data[i + 3] == 101
        return i + 4 if same else -1
    if c == 110:
        return null_end(data, i)
    same = c == 102 and data[i + 1] == 97 and data[i + 2] == 108
    same = same and data[i + 3] == 115 and data[i + 4] == 101
    return i + 5 if same else -1


@compiled
def null_end(data, i):
    """Return where null ends."""
    same = data[i] == 110 and data[i + 1] == 117 and data[i + 2] == 108 and data[i + 3] == 108
    return i + 4 if same else -1


# ---------------------------------------------------------------- what is passed over


@compiled
def after_key(data, i):
    """Return where the value of a key begins; ``i`` is at the key's opening quote."""
    if data[i] != _QUOTE:
        return -1
    i = any_text_end(data, i + 1)
    if i < 0:
        return -1
    i = after_space(data, i + 1)
    return after_space(data, i + 1) if data[i] == _COLON else -1


@compiled
def after_value(data, i):
    """Return the place behind a value of any kind."""
    depth, inside = 0, np.uint64(0)  # a bit per level, 1 for an object
    while True:
        c = data[i]
        if c == _QUOTE:
            i = any_text_end(data, i + 1) + 1
            if i == 0:
                return -1
        elif c in (_OPEN, _OPEN_ARRAY):
            if depth == _MOST_DEPTH:
                return -1
            is_object = c == _OPEN
            i = after_space(data, i + 1)
            if data[i] == (_CLOSE if is_object else _CLOSE_ARRAY):
                i += 1
            else:
                depth += 1
                inside = (inside << np.uint64(1)) | np.uint64(is_object)
                if is_object:
                    i = after_key(data, i)
                    if i < 0:
                        return -1
                continue
        elif c == _MINUS or _ZERO <= c <= _NINE:
            i = number_end(data, i)
        else:
            i = literal_end(data, i)
        if i < 0:
            return -1
        while depth > 0:
            i = after_space(data, i)
            in_object = (inside & np.uint64(1)) == np.uint64(1)
            if data[i] == _COMMA:
                i = after_space(data, i + 1)
                if in_object:
                    i = after_key(data, i)
                    if i < 0:
                        return -1
                break
            if data[i] != (_CLOSE if in_object else _CLOSE_ARRAY):
                return -1
            i += 1
            depth -= 1
            inside = inside >> np.uint64(1)
        else:
            return i


# ---------------------------------------------------------------- what is taken


@compiled
def field_of(data, start, end, owner):
    """Return the number of an object's field, -1 when nothing needs it."""
    length = end - start
    if length == 0:
        return -1
    mixed = length + 7 * np.int64(data[start]) + 13 * np.int64(data[end - 1])
    slot = (mixed + 29 * np.int64(data[start + length // 2])) % SLOTS
    while _SLOTS[owner, slot] >= 0:
        field = _SLOTS[owner, slot]
        if _FACTS[field, 0] == length:
            same = 0
            while same < length and data[start + same] == _KEYS[field, same]:
                same += 1
            if same == length:
                return field
        slot = (slot + 1) % SLOTS
    return -1


@compiled
def is_one_of(data, start, length, words):
    """Tell whether a text is one of the words."""
    for word in range(len(words)):
        if words[word, 0] == length:
            same = 0
            while same < length and data[start + same] == words[word, 1 + same]:
                same += 1
            if same == length:
                return True
    return False


@compiled
def take_text(data, i, place, row, starts, lengths):
    """Note a text or null; return the place behind it."""
    if data[i] != _QUOTE:
        lengths[row, place] = -1
        required = place in (EVENT_ID, EVENT_TYPE)
        return -1 if required else null_end(data, i)
    start = i + 1
    end = any_text_end(data, start)
    if end < 0:
        return -1
    length = end - start
    starts[row, place] = start
    lengths[row, place] = length
    if place == EVENT_ID:
        right = 0 < length <= _MAX_ID
    elif place == EVENT_TYPE:
        right = is_one_of(data, start, length, _EVENT_TYPES)
    elif place == USER:
        right = 0 < length <= _MAX_USER
    elif place == STATUS:
        right = is_one_of(data, start, length, _STATUSES)
    else:
        right = True
    return end + 1 if right else -1


@compiled
def take_integer(data, i, place, row, integers):
    """Note a whole number or null; return the place behind it."""
    if data[i] == 110:
        integers[row, place] = ABSENT
        return -1 if place == TIMESTAMP else null_end(data, i)
    negative = data[i] == _MINUS
    first = i + 1 if negative else i
    end = whole_end(data, first)
    if end < 0 or data[end] == _POINT or (negative and data[first] == _ZERO):
        return -1
    value = np.int64(0)
    for j in range(first, end):
        value = 10 * value + np.int64(data[j]) - _ZERO
    integers[row, place] = -value if negative else value
    if place == TIMESTAMP and (negative or not _FIRST_TIME <= value <= _LAST_TIME):
        return -1
    return end


@compiled
def take_score(data, i, row, scores):
    """Note a number from 0 to 1, or null; return the place behind it."""
    if data[i] == 110:
        scores[row] = np.nan
        return null_end(data, i)
    if data[i] == _MINUS:
        return -1
    end = number_end(data, i)
    if end < 0 or end - i > SCORE_DIGITS:
        return -1
    value, decimals, point = np.int64(0), 0, False
    for j in range(i, end):
        if data[j] == _POINT:
            point = True
        else:
            value = 10 * value + np.int64(data[j]) - _ZERO
            decimals += point
    scores[row] = value / _POWERS[decimals]
    return end if scores[row] <= 1.0 else -1


@compiled
def scan_record(data, i, row, starts, lengths, integers, scores):
    """Note what a record holds; return the place behind its last brace, -1 if not plain."""
    i = after_space(data, i)
    if data[i] != _OPEN:
        return -1
    i = after_space(data, i + 1)
    owner, seen, empty = 0, 0, data[i] == _CLOSE
    while True:
        if not empty:
            if data[i] != _QUOTE:
                return -1
            end = text_end(data, i + 1)
            if end < 0:
                return -1
            field = field_of(data, i + 1, end, owner)
            i = after_space(data, end + 1)
            if data[i] != _COLON:
                return -1
            i = after_space(data, i + 1)
            kind = _FACTS[field, 1] if field >= 0 else -1
            place = _FACTS[field, 2] if field >= 0 else -1
            if kind == TEXT:
                i = take_text(data, i, place, row, starts, lengths)
            elif kind == INTEGER:
                i = take_integer(data, i, place, row, integers)
            elif kind == SCORE:
                i = take_score(data, i, row, scores)
            elif kind == OBJECT:
                if seen >> place & 1:
                    return -1
                seen |= 1 << place
                if data[i] == _OPEN:
                    owner = place
                    i = after_space(data, i + 1)
                    empty = data[i] == _CLOSE
                    continue
                i = null_end(data, i)
            else:
                i = after_value(data, i)
            if i < 0:
                return -1
            i = after_space(data, i)
        while data[i] == _CLOSE:
            if owner == 0:
                return i + 1
            owner = 0
            i = after_space(data, i + 1)
        if data[i] != _COMMA:
            return -1
        i = after_space(data, i + 1)
        empty = False


@compiled
def settle(data, row, starts, lengths, integers, nobody):
    """Let other places of a record stand in for what is absent; ``nobody`` is the unknown user."""
    if lengths[row, USER] < 0:
        starts[row, USER] = nobody
        lengths[row, USER] = len(ev.UNKNOWN_USER)
    if lengths[row, STATUS] < 0 and is_one_of(
        data, starts[row, AUTH_STATUS], lengths[row, AUTH_STATUS], _STATUSES
    ):
        starts[row, STATUS] = starts[row, AUTH_STATUS]
        lengths[row, STATUS] = lengths[row, AUTH_STATUS]
    for place, other in ((PROCESS_NAME, 15), (FILE_PATH, 16), (DOMAIN, 17)):
        if lengths[row, place] < 0:
            starts[row, place] = starts[row, other]
            lengths[row, place] = lengths[row, other]
    for place, other in ((PORT, 3), (BYTES, 4), (BYTES, 5)):
        if integers[row, place] == ABSENT:
            integers[row, place] = integers[row, other]


@compiled
def scan(data, ends, starts, lengths, integers, scores, plain):
    """Scan records, a zero byte behind each; then ``UNKNOWN_USER``, a zero byte behind it too.

    Args:
        data: uint8, the bytes.
        ends: [rows + 1] where each record begins, and ``UNKNOWN_USER`` after the last.
        starts: [rows, ``TEXTS``] gets where texts begin.
        lengths: [rows, ``TEXTS``] gets their bytes, -1 for none.
        integers: [rows, ``INTEGERS``] gets numbers, or ``ABSENT``.
        scores: [rows] gets the threat scores, NaN for none.
        plain: [rows] false; gets which records are plain. The cells of others mean nothing.

    Returns:
        The signature of the tables that this was compiled with.
    """
    rows = len(ends) - 1
    for row in range(rows):
        for place in range(len(TEXTS)):
            lengths[row, place] = -1
        for place in range(len(INTEGERS)):
            integers[row, place] = ABSENT
        scores[row] = np.nan
        i = scan_record(data, ends[row], row, starts, lengths, integers, scores)
        if i >= 0:
            i = after_space(data, i)
        named = lengths[row, EVENT_ID] > 0 and lengths[row, EVENT_TYPE] > 0
        if i != ends[row + 1] - 1 or not named or integers[row, TIMESTAMP] == ABSENT:
            continue
        settle(data, row, starts, lengths, integers, ends[rows])
        plain[row] = True
    return _SIGNATURE


@compiled
def measure(lengths, sizes, absent):
    """Add up each column's bytes (escapes counted as written) and absent texts."""
    for row in range(len(lengths)):
        for place in range(TEXT_COLUMNS):
            length = lengths[row, place]
            if length >= 0:
                sizes[place] += length
            else:
                absent[place] += 1


@compiled
def copy_text(data, i, end, texts, place):
    """Copy a text, its escapes undone; return the place behind the copy."""
    while i < end:
        c = data[i]
        if c == _BACKSLASH:
            i += 1
            c = _ESCAPED[data[i]]
        texts[place] = c
        place += 1
        i += 1
    return place


@compiled
def gather(data, starts, lengths, firsts, ends, texts, present):
    """Copy each column's texts one behind the other.

    Args:
        data: As for ``scan``.
        starts: [rows, ``TEXTS``] where texts begin in ``data``.
        lengths: [rows, ``TEXTS``] their bytes, -1 for none.
        firsts: [columns] where each column's bytes begin in ``texts``.
        ends: [columns, rows + 1] gets where texts begin and end in their column.
        texts: Gets the bytes.
        present: [columns, rows / 8] zeros; gets a bit for each text that there is.
    """
    rows = len(starts)
    for place in range(TEXT_COLUMNS):
        ends[place, 0] = 0
    for row in range(rows):
        for place in range(TEXT_COLUMNS):
            length = lengths[row, place]
            to = firsts[place] + ends[place, row]
            if length >= 0:
                present[place, row >> 3] |= np.uint8(1 << (row & 7))
                start = starts[row, place]
                to = copy_text(data, start, start + length, texts, to)
            ends[place, row + 1] = to - firsts[place]
