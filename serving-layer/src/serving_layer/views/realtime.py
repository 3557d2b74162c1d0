"""The realtime view: rows at or above the seam, as tailed from the speed layer."""

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.views import RecordKind
from serving_layer.views.alert_list import AlertList, Record
from serving_layer.views.index import EventIndex
from serving_layer.views.interning import Interners
from serving_layer.views.rendered import RenderedRows
from serving_layer.views.tiers import compacted, replaced

INLINE_MERGE_ROWS = 8_192
"""Larger merges are left to a thread: they would hold up requests by milliseconds."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a view keeps above a seam, made ahead of the exchange.

    Attributes:
        indexes: By identity of an index: the index, and the part of it at or above the seam, None
            for nothing.
        alerts: The alerts at or above the seam.
        ends: Up to which offset of each partition they were held then.
    """

    indexes: Mapping[int, tuple[EventIndex, EventIndex | None]]
    alerts: AlertList
    ends: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Segment:
    """A range of one partition as the speed layer committed it.

    Attributes:
        rows: ``SEGMENT_SCHEMA``, every record of ``[first_offset, next_offset)``.
        alerts: Alerts raised in the range.
    """

    stream: int
    first_offset: int
    next_offset: int
    rows: pa.Table
    alerts: Sequence[Record] = ()


class _Removed:
    """Offsets and kinds of records that are no events; only ever appended to."""

    def __init__(self) -> None:
        self.offsets = array("q")
        self.kinds = bytearray()


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is held of one partition: every record of ``[first_offset, next_offset)``."""

    first_offset: int
    next_offset: int
    _removed: _Removed = field(default_factory=_Removed, compare=False, repr=False)
    _removed_count: int = 0

    def removed(self, kind: RecordKind, below: int) -> int:
        """Return how many records of ``kind`` lie in ``[first_offset, below)``."""
        low = bisect_left(self._removed.offsets, self.first_offset, 0, self._removed_count)
        high = bisect_left(self._removed.offsets, below, 0, self._removed_count)
        return self._removed.kinds.count(kind, low, max(low, high))

    def extended(self, removed: pa.Table | None, next_offset: int) -> "Coverage":
        """Return coverage up to ``next_offset``; ``removed`` are new records that are no events."""
        count = 0
        if removed is not None:
            self._removed.offsets.extend(removed["offset"].to_pylist())
            self._removed.kinds.extend(removed["kind"].to_pylist())
            count = removed.num_rows
        return replace(self, next_offset=next_offset, _removed_count=self._removed_count + count)


@dataclass(frozen=True, slots=True)
class RealtimeView:
    """Immutable; every change gives a new view that shares what did not change."""

    interners: Interners
    indexes: tuple[EventIndex, ...] = ()
    coverage: Mapping[int, Coverage] = field(default_factory=dict)
    alerts: AlertList = field(default_factory=AlertList)
    rendered: RenderedRows = field(default_factory=RenderedRows, compare=False)
    """Of both layers, for as long as neither run nor partitions are exchanged."""

    def opened(self, stream: int, offset: int) -> "RealtimeView":
        """Return a view that holds an empty range of a partition, beginning at ``offset``."""
        view = self._without({stream}) if stream in self.coverage else self
        return replace(view, coverage={**view.coverage, stream: Coverage(offset, offset)})

    def appended(self, segments: Sequence[Segment]) -> "RealtimeView":
        """Return a view that holds segments, of a partition each, too.

        Rows that are held already are skipped: a speed layer that rebuilt its store serves the
        same rows again. The new rows make one index, whatever their number: its cost is mostly a
        fixed one.
        """
        coverage, alerts = dict(self.coverage), self.alerts
        events: list[pa.Table] = []
        streams: list[int] = []
        for segment in segments:
            covered = coverage[segment.stream]
            if segment.next_offset <= covered.next_offset:
                continue
            rows, raised = segment.rows, segment.alerts
            if segment.first_offset < covered.next_offset:
                rows = rows.filter(pc.greater_equal(rows["offset"], covered.next_offset))
                raised = [each for each in raised if each["offset"] >= covered.next_offset]
            is_event = rows["kind"].to_numpy() == int(RecordKind.EVENT)
            removed = None
            if not is_event.all():
                removed, rows = rows.filter(pa.array(~is_event)), rows.filter(pa.array(is_event))
            coverage[segment.stream] = covered.extended(removed, segment.next_offset)
            if rows.num_rows:
                events.append(rows)
                streams.append(segment.stream)
            if raised:
                alerts = alerts.extended(raised)
        indexes = self.indexes
        if events:
            owners = np.repeat(np.array(streams, np.int32), [each.num_rows for each in events])
            index = EventIndex.build(pa.concat_tables(events), owners, self.interners)
            indexes = compacted((*indexes, index), max_rows=INLINE_MERGE_ROWS)
        return replace(self, indexes=indexes, coverage=coverage, alerts=alerts)

    def parts_above(self, seam: Mapping[int, int]) -> Parts:
        """Return what ``above`` keeps: ahead of time and in a thread, because it takes long."""
        parts: dict[int, tuple[EventIndex, EventIndex | None]] = {}
        for index in self.indexes:
            part = _part(index, seam)
            if part is not None:
                for stream in part.streams.tolist():
                    part.offsets(stream)  # the consistency proof asks for them at the exchange
            parts[id(index)] = (index, part)
        ends = {stream: held.next_offset for stream, held in self.coverage.items()}
        return Parts(parts, self.alerts.above(seam), ends)

    def above(self, seam: Mapping[int, int], parts: Parts | None = None) -> "RealtimeView":
        """Return a view that begins at a new seam.

        Where the new seam lies below what is held (a run was taken back), the partition starts
        empty at the seam, to be tailed again.

        Args:
            seam: First offset of each partition that is kept.
            parts: What ``parts_above`` returned for this seam, of this view or an earlier one.
        """
        coverage = dict(self.coverage)
        restarted = set()
        for stream, offset in seam.items():
            held = coverage.get(stream)
            if held is None or offset < held.first_offset:
                coverage[stream] = Coverage(offset, offset)
                restarted.add(stream)
            else:
                coverage[stream] = replace(
                    held, first_offset=offset, next_offset=max(offset, held.next_offset)
                )
        firsts = {stream: held.first_offset for stream, held in coverage.items()}
        kept = replace(
            self._without(restarted & set(self.coverage)),
            coverage=coverage,
        )
        # What a partition that starts anew has to lose was not known ahead of time.
        alerts = (
            _alerts(parts, kept.alerts, firsts)
            if parts is not None and not restarted
            else kept.alerts.above(firsts)
        )
        return replace(
            kept,
            indexes=_above(kept.indexes, firsts, parts.indexes if parts else {}),
            alerts=alerts,
            rendered=RenderedRows(),
        )

    def merged(self, old: Sequence[EventIndex], new: EventIndex) -> "RealtimeView | None":
        """Return a view with ``old`` indexes merged into ``new``; None if they are gone."""
        held = {id(index) for index in self.indexes}
        if not all(id(index) in held for index in old):
            return None
        return replace(self, indexes=replaced(self.indexes, old, new))

    def _without(self, streams: set[int]) -> "RealtimeView":
        if not streams:
            return self
        never = dict.fromkeys(streams, np.iinfo(np.int64).max)
        return replace(
            self,
            indexes=_above(self.indexes, never),
            alerts=self.alerts.above(never),
            rendered=RenderedRows(),
        )


def _alerts(parts: Parts, held: AlertList, firsts: Mapping[int, int]) -> AlertList:
    """Return the alerts that were cut ahead of time, and those that came since."""
    came = (
        each.record
        for stream in held.streams
        for each in held.raised(stream, max(parts.ends.get(stream, 0), firsts.get(stream, 0)))
    )
    return parts.alerts.extended(came)


def _above(
    indexes: Sequence[EventIndex],
    firsts: Mapping[int, int],
    parts: Mapping[int, tuple[EventIndex, EventIndex | None]] | None = None,
) -> tuple[EventIndex, ...]:
    kept = []
    for index in indexes:
        known = (parts or {}).get(id(index))
        part = _part(index, firsts) if known is None else known[1]
        if part is not None:
            kept.append(part)
    return tuple(kept)


def _part(index: EventIndex, firsts: Mapping[int, int]) -> EventIndex | None:
    mask = np.ones(len(index), dtype=bool)
    for stream in index.streams.tolist():
        if stream in firsts:
            inside = index.columns.stream == stream
            mask &= ~inside | (-index.columns.negative_offset >= firsts[stream])
    return index.where(mask)
