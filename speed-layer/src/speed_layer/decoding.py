"""Micro-batches of security events to columns: a compiled scanner, and the decoder behind it.

The scanner takes plain records (see ``json_kernel``); the rest go to ``contracts.decoder``, which
alone says what a readable record is. What both take, both read alike: a property test holds the
one to the other.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts import decoder
from contracts.columns import EVENT_SCHEMA
from contracts.decoder import Decoded, Reject
from contracts.events import UNKNOWN_USER
from contracts.topics import MAX_RECORD_BYTES, SECURITY_EVENTS
from speed_layer import json_fields as fields
from speed_layer import json_kernel

Ints = NDArray[np.int64]
Places = NDArray[np.int32]

_SIGNATURE = fields.signature()
_TAIL = UNKNOWN_USER.encode() + b"\0"
_TEXT_NAMES = [name.rpartition(".")[2] for name in fields.TEXTS[: fields.TEXT_COLUMNS]]
_INTEGER_NAMES = {
    fields.TIMESTAMP: "timestamp",
    fields.PORT: "port",
    fields.BYTES: "bytes_transferred",
}
_LAST_ASCII = 127
_MOST_BYTES = 1 << 30
"""Positions in a column of texts are 32-bit."""


def decode(
    topic: str, partition: int, offsets: Sequence[int], values: Sequence[bytes | None]
) -> Decoded:
    """Decode records of one partition; see ``contracts.decoder.decode``, which this equals."""
    if topic != SECURITY_EVENTS or not values:
        return decoder.decode(topic, partition, offsets, values)
    sizes = _sizes(values)
    if sizes.max() > MAX_RECORD_BYTES or sizes.sum() > _MOST_BYTES:
        return decoder.decode(topic, partition, offsets, values)
    found = _Scan(values, sizes)
    plain = found.plain
    if plain.all():
        return Decoded(found.columns(np.asarray(offsets, np.int64)), range(len(values)), [])
    return _merged(found, plain, offsets, values)


def _sizes(values: Sequence[bytes | None]) -> Ints:
    """Return the bytes of each value, 0 where there is none."""
    if None in values:
        values = [value or b"" for value in values]
    return np.fromiter(map(len, values), np.int64, len(values))  # type: ignore[arg-type]


def _merged(
    found: "_Scan", plain: NDArray[np.bool_], offsets: Sequence[int], values: Sequence[bytes | None]
) -> Decoded:
    """Return plain records as scanned, the others as the decoder sees them, in order."""
    quick, slow = np.flatnonzero(plain), np.flatnonzero(~plain)
    numbers = slow.tolist()
    other = decoder.decode_security_events(
        [offsets[index] for index in numbers], [values[index] for index in numbers]
    )
    indexes = np.concatenate([quick, slow[np.asarray(other.indexes, np.int64)]])
    order = np.argsort(indexes)
    scanned = found.columns(np.asarray(offsets, np.int64), quick)
    both = pa.Table.from_batches([scanned, other.events]).combine_chunks().to_batches()
    events = both[0].take(pa.array(order)) if both else scanned
    rejects = [
        Reject(numbers[reject.index], reject.reason, reject.error) for reject in other.rejects
    ]
    return Decoded(events, indexes[order].tolist(), rejects)


class _Scan:
    """What the scanner found in one micro-batch.

    Attributes:
        plain: [rows] which records it took.
    """

    def __init__(self, values: Sequence[bytes | None], sizes: Ints) -> None:
        rows = len(values)
        parts = values if sizes.all() else [value or b"" for value in values]
        # The zero byte behind each record keeps the scanner in it: a text or a run of spaces that
        # does not end would else be read on through all the records that follow, for each anew.
        self._data = np.frombuffer(b"\0".join((*parts, _TAIL)), np.uint8)  # type: ignore[arg-type]
        ends = np.zeros(rows + 1, np.int64)
        np.cumsum(sizes + 1, out=ends[1:])
        self._starts = np.empty((rows, len(fields.TEXTS)), np.int32)
        self._lengths = np.empty((rows, len(fields.TEXTS)), np.int32)
        self._integers = np.empty((rows, len(fields.INTEGERS)), np.int64)
        self._scores = np.empty(rows)
        self.plain = np.zeros(rows, np.bool_)
        compiled_with = json_kernel.scan(
            self._data,
            ends,
            self._starts,
            self._lengths,
            self._integers,
            self._scores,
            self.plain,
        )
        if compiled_with != _SIGNATURE:
            raise RuntimeError(
                "numba's cache holds a scanner of another version: empty NUMBA_CACHE_DIR, or the"
                " __pycache__ folders"
            )
        if self._data.max(initial=0) > _LAST_ASCII:
            self._check_encoding(values, ends)

    def _check_encoding(self, values: Sequence[bytes | None], ends: Ints) -> None:
        """Take records that are not UTF-8 for not plain."""
        highest = np.maximum.reduceat(self._data, ends[:-1])
        for index in np.flatnonzero(self.plain & (highest > _LAST_ASCII)).tolist():
            try:
                (values[index] or b"").decode()
            except UnicodeDecodeError:
                self.plain[index] = False

    def columns(self, offsets: Ints, rows: Ints | slice = slice(None)) -> pa.RecordBatch:
        """Return rows as ``EVENT_SCHEMA``."""
        texts = self._texts(self._starts[rows], self._lengths[rows])
        found = dict(zip(_TEXT_NAMES, texts, strict=True))
        found["offset"] = pa.array(offsets[rows])
        found["threat_score"] = pa.array(self._scores[rows], from_pandas=True)
        for place, name in _INTEGER_NAMES.items():
            numbers = self._integers[rows, place]
            found[name] = pa.array(numbers, mask=numbers == fields.ABSENT)
        arrays = [found[name] for name in EVENT_SCHEMA.names]
        return pa.RecordBatch.from_arrays(arrays, schema=EVENT_SCHEMA)

    def _texts(self, starts: Places, lengths: Places) -> list[pa.Array]:
        """Return the columns of texts, in the scanner's order."""
        rows, columns = len(starts), fields.TEXT_COLUMNS
        sizes, absent = np.zeros(columns, np.int64), np.zeros(columns, np.int64)
        json_kernel.measure(lengths, sizes, absent)
        firsts = np.cumsum(sizes) - sizes
        ends = np.empty((columns, rows + 1), np.int32)
        texts = np.empty(int(sizes.sum()), np.uint8)
        present = np.zeros((columns, (rows + 7) // 8), np.uint8)
        json_kernel.gather(self._data, starts, lengths, firsts, ends, texts, present)
        found = []
        for place in range(columns):
            valid = pa.py_buffer(present[place]) if absent[place] else None
            data = texts[firsts[place] : firsts[place] + sizes[place]]
            buffers = [valid, pa.py_buffer(ends[place]), pa.py_buffer(data)]
            found.append(pa.Array.from_buffers(pa.string(), rows, buffers, absent[place]))
        return found
