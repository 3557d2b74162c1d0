"""Micro-batches as Arrow: built, stored as IPC messages, joined into streams, replayed.

A stored segment is the record batch message alone, without the schema before it and the end
marker behind it. Since all segments share one schema, a stream of many is made by joining
bytes; nothing is decompressed unless a reader starts inside a micro-batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.decoder import Decoded
from contracts.views import SEGMENT_SCHEMA, RecordKind
from detection import Result
from speed_layer.errors import StoreDamagedError

DUPLICATES_SCHEMA = pa.schema([("offset", pa.int64()), ("raw", pa.binary())])
"""Duplicates' values: not part of the view, but replay must show them to detection again."""

_FROM_EVENT = tuple(SEGMENT_SCHEMA.names[3:10])
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_WRITE_OPTIONS = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", 1), use_threads=False)
_FEW_ROWS = 128
_FEW_ROWS_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
"""Where there is little to compress, lz4 makes the same size in a tenth of the time."""
_REPLAY_OPTIONS = pa.ipc.IpcReadOptions(
    included_fields=[SEGMENT_SCHEMA.get_field_index(name) for name in ("offset", "kind", "raw")],
    use_threads=False,
)


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one partition as read, ascending by offset; parallel lists."""

    topic: str
    partition: int
    offsets: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    ingested_at: Sequence[int]


def kinds_of(decoded: Decoded, duplicate: NDArray[np.bool_], count: int) -> NDArray[np.uint8]:
    """Return the ``RecordKind`` of each of ``count`` records, uint8[count]."""
    kinds = np.full(count, RecordKind.EVENT, dtype=np.uint8)
    for reject in decoded.rejects:
        kinds[reject.index] = RecordKind.DEAD_LETTER
    if duplicate.any():
        kinds[np.asarray(decoded.indexes)[duplicate]] = RecordKind.DUPLICATE
    return kinds


def build(
    records: Records, kinds: NDArray[np.uint8], decoded: Decoded, result: Result
) -> pa.RecordBatch:
    """Return the micro-batch as rows of ``SEGMENT_SCHEMA``, one per record."""
    scored = [
        *(decoded.events.column(name) for name in _FROM_EVENT),
        *_nullable_columns(result.anomaly_score[np.newaxis]),
        pa.array(result.is_anomaly, pa.bool_()),
        *_nullable_columns(np.ascontiguousarray(result.components.T)),
        pa.array(result.reasons, pa.list_(pa.string())),
    ]
    raw: Sequence[bytes | None] = records.values
    if kinds.any():
        rows = _event_rows(kinds, decoded)
        scored = [column.take(rows) for column in scored]
        raw = [value if kind == 0 else None for value, kind in zip(raw, kinds, strict=True)]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(records.offsets, pa.int64()),
            pa.array(records.ingested_at, pa.int64()),
            pa.array(kinds),
            *scored,
            pa.array(raw, pa.binary()),
        ],
        schema=SEGMENT_SCHEMA,
    )


def _nullable_columns(values: NDArray[np.float64]) -> list[pa.Array]:
    """Return the rows of a contiguous matrix as columns, null where NaN, on the same memory."""
    missing = np.isnan(values)
    if not np.count_nonzero(missing):
        return [pa.array(row) for row in values]
    present = np.packbits(~missing, axis=1, bitorder="little")
    nulls = np.count_nonzero(missing, axis=1).tolist()
    return [
        pa.Array.from_buffers(
            pa.float64(), len(row), [pa.py_buffer(bits), pa.py_buffer(row)], absent
        )
        for row, bits, absent in zip(values, present, nulls, strict=True)
    ]


def _event_rows(kinds: NDArray[np.uint8], decoded: Decoded) -> pa.Array:
    """Return, for each record, its row among the decoded events, null where it is no event."""
    rows = np.full(len(kinds), -1, dtype=np.int64)
    rows[np.asarray(decoded.indexes, dtype=np.int64)] = np.arange(len(decoded.indexes))
    return pa.array(rows, mask=kinds != RecordKind.EVENT)


def duplicates_of(records: Records, kinds: NDArray[np.uint8]) -> pa.RecordBatch | None:
    """Return the duplicates' values, rows of ``DUPLICATES_SCHEMA``, or None without any."""
    found = np.flatnonzero(kinds == RecordKind.DUPLICATE).tolist()
    if not found:
        return None
    offsets = [records.offsets[index] for index in found]
    values = [records.values[index] for index in found]
    return pa.RecordBatch.from_arrays(
        [pa.array(offsets, pa.int64()), pa.array(values, pa.binary())], schema=DUPLICATES_SCHEMA
    )


def _stream(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    options = _WRITE_OPTIONS if batch.num_rows > _FEW_ROWS else _FEW_ROWS_OPTIONS
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _prefix(schema: pa.Schema) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=_WRITE_OPTIONS):
        pass
    data: bytes = sink.getvalue().to_pybytes()
    return data[: -len(_END_OF_STREAM)]


_PREFIXES = {schema: _prefix(schema) for schema in (SEGMENT_SCHEMA, DUPLICATES_SCHEMA)}


def encode(batch: pa.RecordBatch) -> bytes:
    """Return a batch of one of the two schemas as a compressed IPC message."""
    return _stream(batch)[len(_PREFIXES[batch.schema]) : -len(_END_OF_STREAM)]


def join(messages: Sequence[bytes], schema: pa.Schema = SEGMENT_SCHEMA) -> bytes:
    """Return stored messages as one Arrow IPC stream."""
    return b"".join((_PREFIXES[schema], *messages, _END_OF_STREAM))


def decode_message(message: bytes, schema: pa.Schema = SEGMENT_SCHEMA) -> pa.RecordBatch:
    """Return a stored message's rows.

    Raises:
        StoreDamagedError: If it is none.
    """
    return _read(message, schema, None)


def _read(
    message: bytes, schema: pa.Schema, options: "pa.ipc.IpcReadOptions | None"
) -> pa.RecordBatch:
    try:
        with pa.ipc.open_stream(join([message], schema), options=options) as reader:
            return reader.read_next_batch()
    except (pa.ArrowException, OSError, StopIteration) as error:
        raise StoreDamagedError(f"a stored segment is no Arrow message: {error}") from error


def from_offset(message: bytes, offset: int) -> bytes:
    """Return the rows of a stored segment from ``offset`` on, as a message again."""
    batch = decode_message(message)
    first = int(np.searchsorted(batch.column("offset").to_numpy(), offset))
    return encode(batch.slice(first))


def replayable(message: bytes, duplicates: bytes | None) -> tuple[list[int], list[bytes]]:
    """Return offsets and values that detection saw of a stored segment, in offset order.

    Raises:
        StoreDamagedError: If the stored bytes are no segment.
    """
    batch = _read(message, SEGMENT_SCHEMA, _REPLAY_OPTIONS)
    events = np.flatnonzero(batch.column("kind").to_numpy() == RecordKind.EVENT)
    offsets: list[int] = batch.column("offset").take(pa.array(events)).to_pylist()
    values: list[bytes] = batch.column("raw").take(pa.array(events)).to_pylist()
    if duplicates is None:
        return offsets, values
    again = decode_message(duplicates, DUPLICATES_SCHEMA)
    merged = dict(zip(offsets, values, strict=True))
    merged.update(zip(again.column(0).to_pylist(), again.column(1).to_pylist(), strict=True))
    ordered = sorted(merged)
    return ordered, [merged[offset] for offset in ordered]
