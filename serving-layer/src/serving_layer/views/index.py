"""Events of one piece, sorted, with the look-ups that queries need."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from contracts.views import HIGH_THREAT_SCORE
from serving_layer.views.columns import (
    Columns,
    Mask,
    Positions,
    columns_of,
    distinct,
    merged_columns,
)
from serving_layer.views.interning import Interners
from serving_layer.views.keys import Key
from serving_layer.views.pieces import Piece, joined
from serving_layer.views.query import EventFilter
from serving_layer.views.scratch import Scratch
from serving_layer.views.stored import COLD, stored

_FIRST_CHUNK = 2_048
_CHUNK_GROWTH = 4
_POSTINGS_FROM_ROWS = 16_384
"""Smaller indexes are scanned: a scan costs less than keeping lists per user."""


class EventIndex:
    """An immutable sorted run of events over the rows of one piece.

    Args:
        columns: Sorted in the merged order.
        piece: The rows.
        interners: Which gave the columns' codes.
        files: Event files that the rows come from.
        scratch: Where look-ups are kept; in memory without it.
    """

    def __init__(
        self,
        columns: Columns,
        piece: Piece,
        interners: Interners,
        files: frozenset[str] = frozenset(),
        scratch: Scratch | None = None,
    ) -> None:
        self.columns = columns
        self.piece = piece
        self.interners = interners
        self.files = files
        """Event files that the rows come from; empty for realtime rows."""
        by_hash = np.argsort(columns.id_hash, kind="stable").astype(np.int32)
        lookups: list[npt.NDArray[Any]] = [
            by_hash,
            columns.id_hash[by_hash],
            np.flatnonzero(columns.is_anomaly),
        ]
        if len(columns) >= _POSTINGS_FROM_ROWS:
            by_user = np.argsort(columns.user, kind="stable").astype(np.int32)
            lookups += [by_user, columns.user[by_user]]
        if scratch is not None:
            lookups = scratch.arrays(lookups)
        self._by_hash, self._hashes = lookups[:2]
        self.anomalies: Positions = lookups[2]
        self._postings = _Postings(*lookups[3:]) if lookups[3:] else None
        self._offsets: dict[int, npt.NDArray[np.int64]] = {}
        threat = columns.threat_score
        known = threat[~np.isnan(threat)]
        self.threat_sum = float(known.sum())
        self.threat_count = len(known)
        self.high_threat = int(np.count_nonzero(known >= HIGH_THREAT_SCORE))

    @classmethod
    def build(
        cls, rows: pa.Table, streams: int | npt.NDArray[np.int32], interners: Interners
    ) -> "EventIndex":
        """Sort and index realtime rows (``SEGMENT_SCHEMA``, events only) of one or of many streams."""
        rows = rows.combine_chunks()
        cold = stored(rows).select(COLD).to_batches()
        return cls(columns_of(rows, streams, interners).sorted(), Piece(cold), interners)

    @classmethod
    def of_piece(
        cls,
        piece: Piece,
        streams: int | npt.NDArray[np.int32],
        interners: Interners,
        files: frozenset[str],
        scratch: Scratch,
    ) -> "EventIndex":
        """Sort and index the rows of a piece (``STORED_SCHEMA``).

        Raises:
            OSError: The disk does not take what goes into a file.
        """
        held = scratch if piece.rows >= scratch.least_rows else None
        columns = columns_of(pa.Table.from_batches(piece.batches), streams, interners)
        return cls(columns.sorted(held), piece, interners, files, held)

    def __len__(self) -> int:
        return len(self.columns)

    def select(self, wanted: EventFilter, after: Key | None, limit: int) -> Positions:
        """Return the first ``limit`` positions in merged order that match, after a key."""
        found: list[Positions] = []
        missing = limit
        for positions in self._matches(wanted, after):
            found.append(positions[:missing])
            missing -= len(found[-1])
            if missing <= 0:
                break
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def count(self, wanted: EventFilter) -> int:
        """Return how many events match."""
        if wanted == EventFilter():
            return len(self)
        if wanted == EventFilter(anomalies_only=True):
            return len(self.anomalies)
        return sum(len(positions) for positions in self._matches(wanted, None))

    def find(self, event_id: str) -> Positions:
        """Return the positions of all events with this id."""
        wanted = hash(event_id)
        low = int(np.searchsorted(self._hashes, wanted, side="left"))
        high = int(np.searchsorted(self._hashes, wanted, side="right"))
        return np.array(
            [
                position
                for position in self._by_hash[low:high].tolist()
                if self.gather(np.array([position]), ["event_id"]) == [(event_id,)]
            ],
            dtype=np.int64,
        )

    def gather(self, positions: Positions, names: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return stored values of the events at many positions."""
        return self.piece.gather(self.columns.row[positions], names)

    def narrow(self, positions: Positions) -> list[dict[str, Any]]:
        """Return what the index itself knows of events: all that is not in ``stored.COLD``."""
        columns, interners = self.columns, self.interners
        texts = {
            name: [
                getattr(interners, name).text(code)
                for code in getattr(columns, name)[positions].tolist()
            ]
            for name in ("user", "event_type", "status", "source_ip")
        }
        numbers: dict[str, npt.NDArray[Any]] = {
            "timestamp": -columns.negative_timestamp[positions],
            "stream": columns.stream[positions],
            "offset": -columns.negative_offset[positions],
            "ingested_at": columns.ingested_at[positions],
            "threat_score": columns.threat_score[positions],
            "anomaly_score": columns.anomaly_score[positions],
            "is_anomaly": columns.is_anomaly[positions],
        }
        lists = texts | {name: values.tolist() for name, values in numbers.items()}
        return [
            dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)
        ]

    def key(self, position: int) -> Key:
        """Return where the event at a position stands in the merged order."""
        columns = self.columns
        return Key(
            int(columns.negative_timestamp[position]),
            int(columns.stream[position]),
            int(columns.negative_offset[position]),
        )

    def where(self, mask: Mask) -> "EventIndex | None":
        """Return an index of only the masked events, or None if there are none."""
        if mask.all():
            return self
        columns = self.columns.take(mask)
        if not len(columns):
            return None
        piece, rows = self.piece.used(columns.row)
        return EventIndex(replace(columns, row=rows), piece, self.interners, self.files)

    def _matches(self, wanted: EventFilter, after: Key | None) -> Iterator[Positions]:
        """Yield matching positions in merged order, in growing chunks."""
        codes = self._codes(wanted)
        if codes is None:
            return
        low, high = self._bounds(wanted, after)
        candidates, fulfilled = self._candidates(wanted, codes, low, high)
        length = high - low if candidates is None else len(candidates)
        start, chunk = 0, _FIRST_CHUNK
        while start < length:
            stop = min(start + chunk, length)
            if candidates is None:
                mask = self._mask(wanted, codes, slice(low + start, low + stop), fulfilled)
                inside = np.arange(stop - start) if mask is None else np.flatnonzero(mask)
                yield inside + (low + start)
            else:
                at = candidates[start:stop]
                mask = self._mask(wanted, codes, at, fulfilled)
                yield at if mask is None else at[mask]
            start, chunk = stop, chunk * _CHUNK_GROWTH

    def _codes(self, wanted: EventFilter) -> dict[str, int] | None:
        """Return the codes that text conditions ask for, None if nothing can match."""
        codes: dict[str, int] = {}
        for name in ("user", "event_type", "status", "source_ip"):
            text = getattr(wanted, name)
            if text is None:
                continue
            code = getattr(self.interners, name).code(text)
            if code is None:
                return None
            codes[name] = code
        return codes

    def _bounds(self, wanted: EventFilter, after: Key | None) -> tuple[int, int]:
        times = self.columns.negative_timestamp
        low, high = 0, len(times)
        if wanted.end_time is not None:
            low = int(np.searchsorted(times, -wanted.end_time, side="right"))
        if wanted.start_time is not None:
            high = int(np.searchsorted(times, -wanted.start_time, side="right"))
        if after is not None:
            low = max(low, self._after(after))
        return low, max(low, high)

    def _after(self, key: Key) -> int:
        """Return the first position behind ``key``."""
        low, high = 0, len(self)
        pairs: list[tuple[npt.NDArray[Any], int]] = [
            (self.columns.negative_timestamp, key.negative_timestamp),
            (self.columns.stream, key.stream),
        ]
        for column, value in pairs:
            part = column[low:high]
            low, high = (
                low + int(np.searchsorted(part, value, side="left")),
                low + int(np.searchsorted(part, value, side="right")),
            )
        part = self.columns.negative_offset[low:high]
        return low + int(np.searchsorted(part, key.negative_offset, side="right"))

    def _candidates(
        self, wanted: EventFilter, codes: dict[str, int], low: int, high: int
    ) -> tuple[Positions | None, str]:
        """Return a short list of positions that holds every match, None for all.

        With it comes the name of the condition that the list fulfils already.
        """
        lists: list[tuple[npt.NDArray[Any], str]] = []
        if wanted.anomalies_only:
            lists.append((self.anomalies, "anomalies_only"))
        if self._postings is not None and "user" in codes:
            lists.append((self._postings.of(codes["user"]), "user"))
        if not lists:
            return None, ""
        shortest, fulfilled = min(lists, key=lambda each: len(each[0]))
        kind = shortest.dtype.type  # of another type, all positions would be converted
        first, last = shortest.searchsorted(kind(low)), shortest.searchsorted(kind(high))
        return shortest[first:last], fulfilled

    def _mask(
        self, wanted: EventFilter, codes: dict[str, int], at: slice | Positions, fulfilled: str
    ) -> Mask | None:
        """Return which of some positions match in all but the fulfilled condition."""
        columns = self.columns
        masks: list[Mask] = [
            getattr(columns, name)[at] == code for name, code in codes.items() if name != fulfilled
        ]
        if wanted.anomalies_only and fulfilled != "anomalies_only":
            masks.append(columns.is_anomaly[at])
        if wanted.min_threat is not None:
            masks.append(columns.threat_score[at] >= wanted.min_threat)
        if wanted.max_threat is not None:
            masks.append(columns.threat_score[at] <= wanted.max_threat)
        if wanted.min_anomaly_score is not None:
            masks.append(columns.anomaly_score[at] >= wanted.min_anomaly_score)
        return cast("Mask", np.logical_and.reduce(masks)) if masks else None

    def offsets(self, stream: int) -> npt.NDArray[np.int64]:
        """Return the offsets of a stream's rows, ascending; each as often as it is held."""
        found = self._offsets.get(stream)
        if found is None:
            found = np.sort(-self.columns.negative_offset[self.columns.stream == stream])
            self._offsets[stream] = found
        return found

    @cached_property
    def streams(self) -> npt.NDArray[np.int32]:
        """Stream codes that occur, ascending."""
        return distinct(self.columns.stream)


class _Postings:
    """For each user code, the positions of its events in merged order: two arrays by code."""

    def __init__(self, positions: npt.NDArray[np.int32], codes: npt.NDArray[np.int32]) -> None:
        self._positions = positions
        self._codes = codes

    def of(self, code: int) -> npt.NDArray[np.int32]:
        wanted = np.int32(code)  # of another type, all codes would be converted
        low = self._codes.searchsorted(wanted, side="left")
        high = self._codes.searchsorted(wanted, side="right")
        return self._positions[low:high]


def merged(indexes: Sequence[EventIndex], scratch: Scratch | None = None) -> EventIndex:
    """Return one index of all events of ``indexes``.

    Args:
        indexes: At least one.
        scratch: Where a large one is kept; in memory without it.

    Raises:
        OSError: The disk does not take what goes into a file.
    """
    if scratch is not None and sum(map(len, indexes)) < scratch.least_rows:
        scratch = None
    parts, start = [], 0
    for index in indexes:
        parts.append(replace(index.columns, row=index.columns.row + start))
        start += index.piece.rows
    files = frozenset().union(*(index.files for index in indexes))
    return EventIndex(
        merged_columns(parts, scratch),
        joined([index.piece for index in indexes], scratch),
        indexes[0].interners,
        files,
        scratch,
    )
