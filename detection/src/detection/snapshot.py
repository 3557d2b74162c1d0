"""State to bytes and back.

The bytes are a mark, a checksum of the rest, the version, and an Arrow IPC stream (lz4: a snapshot
is a pause, and so is reading it) that holds the live part of each array in a batch of its own. Positions in hash tables and rings depend on history that does not matter, so
they are left out: equal states give equal bytes.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detection import layout as at
from detection.correlating import Correlator
from detection.errors import StateDamagedError, StateVersionError
from detection.interning import VOCABULARIES, Interner
from detection.kernel import fill_entries, fill_ids
from detection.state import (
    USER_ARRAYS,
    State,
    empty_state,
    with_room_for_entries,
    with_room_for_users,
)
from detection.window_kernel import fill_slots, pack_ids, unpack_ids
from detection.windows import (
    ARRIVED,
    BASE,
    CAPACITY,
    EVENT_COUNT,
    EVENTS,
    LEVEL,
    MATCHED,
    RAISED,
    SIZE,
    SLOTS,
    Limits,
    Window,
    block_sizes,
    empty_window,
    events_by_slot,
    with_room,
)

MARK = b"SGDETECT"
_DIGEST = 16
_LINKS = {"heads", "tails", "distinct"}
"""Follow from the entries."""
_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("type", pa.string()),
        ("shape", pa.list_(pa.int64())),
        ("data", pa.large_binary()),
    ]
)

_LARGE_BYTES = 1 << 18

Arrays = dict[str, NDArray[np.generic]]
Named = tuple[str, NDArray[np.generic]]


class Saved(NamedTuple):
    """What a snapshot holds."""

    scorer: str
    state: State
    interner: Interner
    rules: str
    arrays: Arrays

    def fill(self, correlator: Correlator) -> None:
        """Give a correlator its state back.

        Raises:
            StateVersionError: If its rules are other ones.
        """
        if correlator.rules.fingerprint != self.rules:
            raise StateVersionError(
                f"state snapshot of rules {self.rules}, these are {correlator.rules.fingerprint}"
            )
        correlator.windows = [
            _window(f"window{index}", self.arrays, limits)
            for index, limits in enumerate(correlator.limits)
        ]


def dump(
    version: str, scorer: str, state: State, correlator: Correlator, interner: Interner
) -> bytes:
    """Return the bytes of a state.

    A large state is held once, its bytes once, and one array at a time in between.
    """
    text = version.encode()
    start = len(MARK) + _DIGEST
    sink = io.BytesIO()
    sink.write(MARK + bytes(_DIGEST) + bytes([len(text)]) + text)
    arrays = _arrays(state, correlator, interner)
    _write_arrays(sink, scorer, correlator.rules.fingerprint, arrays)
    with sink.getbuffer() as data:
        data[len(MARK) : start] = hashlib.blake2b(data[start:], digest_size=_DIGEST).digest()
    return sink.getvalue()


def _arrays(state: State, correlator: Correlator, interner: Interner) -> Iterator[Named]:
    yield from _state_arrays(state, interner.users)
    for index, window in enumerate(correlator.windows):
        yield from _window_arrays(f"window{index}", window)
    for name in VOCABULARIES:
        yield from _word_arrays(name, interner.values[name])


def load(version: str, data: bytes) -> Saved:
    """Return what ``dump`` was given.

    Raises:
        StateVersionError: If another version wrote it.
        StateDamagedError: If it is not what was written.
    """
    scorer, rules, arrays = _contents(_unsealed(version, data))
    interner = Interner.of({name: _words(name, arrays) for name in VOCABULARIES})
    return Saved(scorer, _state(arrays, interner.users), interner, rules, arrays)


def _unsealed(version: str, data: bytes) -> memoryview:
    start = len(MARK) + _DIGEST
    if data[: len(MARK)] != MARK or len(data) <= start:
        raise StateDamagedError("not a state snapshot")
    rest = memoryview(data)[start:]
    if hashlib.blake2b(rest, digest_size=_DIGEST).digest() != data[len(MARK) : start]:
        raise StateDamagedError("state snapshot: checksum does not match")
    body = 1 + rest[0]
    written = bytes(rest[1:body]).decode()
    if written != version:
        raise StateVersionError(f"state snapshot of detection {written}, this is {version}")
    return rest[body:]


def _write_arrays(sink: io.BytesIO, scorer: str, rules: str, arrays: Iterable[Named]) -> None:
    """Write the arrays as a stream: small ones together, as a batch has a price of its own."""
    schema = _SCHEMA.with_metadata({"scorer": scorer, "rules": rules})
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        small: list[Named] = []
        size = 0
        for name, array in arrays:
            if array.nbytes >= _LARGE_BYTES:
                writer.write_batch(_batch([(name, array)], _one_cell(array), schema))
                continue
            small.append((name, array))
            size += array.nbytes
            if size >= _LARGE_BYTES:
                writer.write_batch(_batch(small, _cells(small), schema))
                small, size = [], 0
        if small:
            writer.write_batch(_batch(small, _cells(small), schema))


def _batch(named: list[Named], cells: pa.Array, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        pa.array([name for name, _ in named], pa.string()),
        pa.array([array.dtype.str for _, array in named], pa.string()),
        pa.array([list(array.shape) for _, array in named], pa.list_(pa.int64())),
        cells,
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cells(named: list[Named]) -> pa.Array:
    return pa.array([array.tobytes() for _, array in named], pa.large_binary())


def _one_cell(array: NDArray[np.generic]) -> pa.Array:
    """Return an array's bytes as a column of one cell, not copied if they lie together."""
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    ends = pa.py_buffer(np.array([0, len(data)], np.int64))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, pa.py_buffer(data)])


def _contents(body: memoryview) -> tuple[str, str, Arrays]:
    arrays: Arrays = {}
    with pa.ipc.open_stream(body) as reader:
        metadata = reader.schema.metadata
        for batch in reader:
            for name, kind, shape, data in zip(*batch.columns, strict=True):
                values = np.frombuffer(data.as_buffer(), np.dtype(kind.as_py()))
                arrays[name.as_py()] = values.reshape(shape.as_py())
    return metadata[b"scorer"].decode(), metadata[b"rules"].decode(), arrays


def _state_arrays(state: State, users: int) -> Iterator[Named]:
    entries = state.entries[: state.tally[at.ENTRIES]]
    size, following = int(state.tally[at.RING_SIZE]), int(state.tally[at.RING_NEXT])
    for name in USER_ARRAYS:
        if name not in _LINKS:
            yield name, getattr(state, name)[:users]
    yield "keys", entries["key"]
    yield "seen_values", entries["seen"]
    yield "weights", entries["weight"]
    yield "histogram", state.histogram
    yield "scored", state.scored
    yield "bars", state.bars
    yield "ring", np.roll(state.ring, -following)[-size:] if size else state.ring[:0]
    yield "events", state.tally[[at.EVENTS, at.DUPLICATES]]


def _state(arrays: Arrays, users: int) -> State:
    keys, ring = arrays["keys"].view(np.int64), arrays["ring"].view(np.int64)
    state = with_room_for_entries(with_room_for_users(empty_state(), users), len(keys))
    for name in USER_ARRAYS:
        if name not in _LINKS:
            getattr(state, name)[:users] = arrays[name]
    state.histogram[:] = arrays["histogram"]
    state.scored[:] = arrays["scored"]
    state.bars[:] = arrays["bars"]
    fill_entries(state, keys, arrays["seen_values"], arrays["weights"])
    state.ring[: len(ring)] = ring
    fill_ids(state.ids, ring)
    state.tally[at.RING_SIZE] = len(ring)
    state.tally[at.RING_NEXT] = len(ring) % len(state.ring)
    state.tally[[at.EVENTS, at.DUPLICATES]] = arrays["events"]
    return state


def _window_arrays(name: str, window: Window) -> Iterator[Named]:
    sizes, places = events_by_slot(window)
    marks = window.marks[: len(sizes)]
    yield f"{name}.keys", window.keys[: len(sizes)]
    yield f"{name}.marks", marks[:, [SIZE, ARRIVED, LEVEL, MATCHED, RAISED]]
    for column in ("times", "values", "orders", "ips", "lengths"):
        yield f"{name}.{column}", getattr(window, column)[places]
    ids = np.empty(int(window.lengths[places].sum(dtype=np.int64)), np.uint8)
    pack_ids(window.ids, window.lengths, places, ids)
    yield f"{name}.ids", ids


def _window(name: str, arrays: Arrays, limits: Limits) -> Window:
    keys, marks = arrays[f"{name}.keys"], arrays[f"{name}.marks"]
    lengths = arrays[f"{name}.lengths"].view(np.uint8)
    sizes = marks[:, 0].view(np.int64)
    blocks = block_sizes(sizes)
    events = int(blocks.sum())
    width = int(lengths.max(initial=0))
    window = with_room(empty_window(), len(keys), events, width)
    bases = np.cumsum(blocks) - blocks
    if limits.kind == EVENT_COUNT:
        numbers = arrays[f"{name}.orders"].view(np.int32).astype(np.int64) % limits.kept
    else:
        numbers = np.arange(len(lengths)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = np.repeat(bases, sizes) + numbers
    window.keys[: len(keys)] = keys
    window.marks[: len(keys), [SIZE, ARRIVED, LEVEL, MATCHED, RAISED]] = marks
    window.marks[: len(keys), BASE] = bases
    window.marks[: len(keys), CAPACITY] = blocks
    for column in ("times", "values", "orders", "ips", "lengths"):
        getattr(window, column)[places] = arrays[f"{name}.{column}"]
    # A copy: what comes from a file is read-only, for which the code would be compiled anew.
    unpack_ids(arrays[f"{name}.ids"].view(np.uint8).copy(), window.lengths, places, window.ids)
    window.tally[[SLOTS, EVENTS]] = len(keys), events
    fill_slots(window.table, window.keys, len(keys))
    return window


def _word_arrays(name: str, values: list[str | int]) -> Iterator[Named]:
    if name == "port":
        yield "words.port", np.array(values, np.int64)
        return
    texts = [str(value).encode() for value in values]
    yield f"words.{name}", np.frombuffer(b"".join(texts), np.uint8)
    yield f"words.{name}.lengths", np.array([len(text) for text in texts], np.int64)


def _words(name: str, arrays: Arrays) -> list[str | int]:
    if name == "port":
        ports: list[str | int] = arrays["words.port"].tolist()
        return ports
    data, words, start = arrays[f"words.{name}"].tobytes(), [], 0
    for length in arrays[f"words.{name}.lengths"].tolist():
        words.append(data[start : start + length].decode())
        start += length
    return list(words)
