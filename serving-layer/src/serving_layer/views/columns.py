"""The narrow columns of events, sorted in the merged order."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from serving_layer.views.interning import Interners
from serving_layer.views.scratch import Scratch

_HASHED_AT_ONCE = 16_384

Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Columns:
    """Parallel arrays of shape (n,), one entry per event.

    Negated times and offsets make the merged order ascending in (negative_timestamp, stream,
    negative_offset). Missing scores are NaN, missing strings ``interning.NULL``. ``row`` is the
    row in the index's piece. ``id_hash`` is Python's hash of the event id: good in one process.
    """

    negative_timestamp: npt.NDArray[np.int64]
    stream: npt.NDArray[np.int32]
    negative_offset: npt.NDArray[np.int64]
    user: npt.NDArray[np.int32]
    event_type: npt.NDArray[np.int32]
    status: npt.NDArray[np.int32]
    source_ip: npt.NDArray[np.int32]
    threat_score: npt.NDArray[np.float64]
    anomaly_score: npt.NDArray[np.float64]
    is_anomaly: npt.NDArray[np.bool_]
    ingested_at: npt.NDArray[np.int64]
    id_hash: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, chosen: Positions | Mask | slice) -> "Columns":
        """Return chosen entries: positions, a mask or a slice."""
        return Columns(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def sorted(self, scratch: Scratch | None = None) -> "Columns":
        """Return the entries in the merged order; see ``merged_columns``."""
        return merged_columns([self], scratch)


def merged_columns(parts: Sequence[Columns], scratch: Scratch | None = None) -> Columns:
    """Return the entries of ``parts`` in the merged order.

    Args:
        parts: At least one, in any order.
        scratch: Where the columns are kept; in memory without it.

    Raises:
        OSError: The disk does not take them.
    """

    def whole(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    order = np.lexsort((whole("negative_offset"), whole("stream"), whole("negative_timestamp")))
    columns = (whole(field.name)[order] for field in fields(Columns))  # one at a time in memory
    return Columns(*(columns if scratch is None else scratch.arrays(columns)))


def columns_of(
    table: pa.Table, streams: int | npt.NDArray[np.int32], interners: Interners
) -> Columns:
    """Return the narrow columns of event rows, in the rows' order.

    Args:
        table: Rows with the columns of ``contracts.views``, at least one.
        streams: The stream code of all rows, or of each.
        interners: Where the strings get their codes.
    """
    rows = table.num_rows
    return Columns(
        negative_timestamp=-_numbers(table.column("timestamp"), np.int64),
        stream=np.broadcast_to(np.asarray(streams, dtype=np.int32), rows),
        negative_offset=-_numbers(table.column("offset"), np.int64),
        user=interners.user.codes(table.column("user")),
        event_type=interners.event_type.codes(table.column("event_type")),
        status=interners.status.codes(table.column("status")),
        source_ip=interners.source_ip.codes(table.column("source_ip")),
        threat_score=_numbers(table.column("threat_score"), np.float64),
        anomaly_score=_numbers(table.column("anomaly_score"), np.float64),
        is_anomaly=_numbers(table.column("is_anomaly").fill_null(False), np.bool_),
        ingested_at=_numbers(table.column("ingested_at"), np.int64),
        id_hash=_hashes(table.column("event_id")),
        row=np.arange(rows, dtype=np.int64),
    )


def distinct(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the distinct values, ascending.

    Not ``numpy.unique``: since numpy 2.3 it puts integers into a hash table, which takes long for
    millions that differ, and lets no other thread run meanwhile.
    """
    ordered = np.sort(values)
    is_first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=is_first[1:])
    return ordered[is_first]


def _hashes(ids: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return the hash of every id, some at a time: other threads get their turn in between."""
    parts = (
        chunk.slice(first, _HASHED_AT_ONCE)
        for chunk in ids.chunks
        for first in range(0, len(chunk), _HASHED_AT_ONCE)
    )
    chunks = [np.fromiter(map(hash, part.to_pylist()), np.int64, len(part)) for part in parts]
    return np.concatenate([np.empty(0, np.int64), *chunks])


def _numbers(column: pa.ChunkedArray, kind: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.asarray(column.to_numpy(), dtype=kind)
