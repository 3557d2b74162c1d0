"""What the scanner looks for in a security event, and the tables that its compiled code reads."""

import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts import events as ev

# What a field's value is.
TEXT: Final = 0
INTEGER: Final = 1
SCORE: Final = 2
OBJECT: Final = 3

# Objects whose fields are looked at; the record itself first.
OBJECTS: Final = (
    "",
    "metadata",
    "auth_details",
    "network_details",
    "file_details",
    "process_details",
    "dns_details",
)

# Rows of the matrices of texts; from AUTH_STATUS on, what stands in for another when absent.
TEXTS: Final = (
    "event_id",
    "event_type",
    "user",
    "status",
    "source_ip",
    "destination_ip",
    "metadata.geo_location",
    "metadata.hostname",
    "metadata.user_agent",
    "metadata.process_name",
    "process_details.command_line",
    "metadata.file_path",
    "metadata.domain",
    "auth_details.failure_reason",
    "auth_details.status",
    "process_details.process_name",
    "file_details.file_path",
    "dns_details.query_name",
)
EVENT_ID: Final = 0
EVENT_TYPE: Final = 1
USER: Final = 2
STATUS: Final = 3
PROCESS_NAME: Final = 9
FILE_PATH: Final = 11
DOMAIN: Final = 12
AUTH_STATUS: Final = 14
TEXT_COLUMNS: Final = 14

# Rows of the matrix of integers.
INTEGERS: Final = (
    "timestamp",
    "metadata.port",
    "metadata.bytes_transferred",
    "network_details.destination_port",
    "network_details.bytes_sent",
    "file_details.file_size_bytes",
)
TIMESTAMP: Final = 0
PORT: Final = 1
BYTES: Final = 2
ABSENT: Final = -(2**63)
"""An integer that is not there: no plain number has so many digits."""

SLOTS: Final = 128
SCORE_DIGITS: Final = 15
"""So many digits are a whole number that a double holds, as is the power of ten below: their
quotient is rounded once, hence the nearest double."""

_KEY_BYTES = 32


def escaped_bytes() -> NDArray[np.uint8]:
    """Return what each byte behind a backslash stands for, uint8[256]."""
    escaped = np.arange(256, dtype=np.uint8)
    for letter, code in zip(b"bfnrt", b"\b\f\n\r\t", strict=True):
        escaped[letter] = code
    return escaped


def signature() -> int:
    """Return a number that stands for everything the compiled code has as constants."""
    known = (OBJECTS, TEXTS, INTEGERS, ev.EVENT_TYPES, ev.EVENT_STATUSES, ev.UNKNOWN_USER)
    limits = (
        ev.MAX_EVENT_ID_LENGTH,
        ev.MAX_USER_LENGTH,
        ev.MIN_TIMESTAMP_MS,
        ev.MAX_TIMESTAMP_MS,
    )
    return zlib.crc32(repr((known, limits)).encode())


def field_tables() -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Return how fields are found.

    Returns:
        Open-addressing hash tables of fields [objects, ``SLOTS``], -1 for none; their names
        [fields, bytes]; and [fields, 3] the length of the name, the kind of value, and its row of
        the matrix (or number of the object).
    """
    found = [(0, name, OBJECT, number) for number, name in enumerate(OBJECTS) if name]
    for kind, names in ((TEXT, TEXTS), (INTEGER, INTEGERS), (SCORE, ("threat_score",))):
        for row, path in enumerate(names):
            owner, _, name = path.rpartition(".")
            found.append((OBJECTS.index(owner), name, kind, row))
    slots = np.full((len(OBJECTS), SLOTS), -1, np.int64)
    keys = np.zeros((len(found), _KEY_BYTES), np.uint8)
    facts = np.zeros((len(found), 3), np.int64)
    for number, (place, field, kind, row) in enumerate(found):
        key = field.encode()
        slot = _slot(key)
        while slots[place, slot] >= 0:
            slot = (slot + 1) % SLOTS
        slots[place, slot] = number
        keys[number, : len(key)] = np.frombuffer(key, np.uint8)
        facts[number] = len(key), kind, row
    return slots, keys, facts


def _slot(key: bytes) -> int:
    """Return where a key's search begins; ``json_kernel.field_of`` computes the same."""
    return (len(key) + 7 * key[0] + 13 * key[-1] + 29 * key[len(key) // 2]) % SLOTS


def word_table(words: tuple[str, ...]) -> NDArray[np.uint8]:
    """Return words as rows: the length, then the bytes."""
    table = np.zeros((len(words), _KEY_BYTES + 1), np.uint8)
    for row, word in zip(table, words, strict=True):
        row[0] = len(word)
        row[1 : 1 + len(word)] = np.frombuffer(word.encode(), np.uint8)
    return table
