"""The consistency proof: every offset of every partition is accounted for once.

Three sources are compared: what the run's manifest claims below the seam, what the speed layer's
positions claim over all it has read, and the rows that are really held.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from contracts.api import Consistency, PartitionConsistency
from contracts.views import RecordKind
from serving_layer.views.batch import Held
from serving_layer.views.snapshot import Snapshot
from serving_layer.views.streams import topic_partition


@dataclass(frozen=True, slots=True)
class Position:
    """What a speed instance says of one partition, over ``[first_offset, next_offset)``."""

    first_offset: int
    next_offset: int
    skipped: int


def consistency(snapshot: Snapshot, positions: Mapping[int, Position]) -> Consistency:
    """Return every partition's account and the totals.

    Args:
        snapshot: What is held.
        positions: By stream code, the newest position that what is held has reached.
    """
    streams = sorted({*snapshot.batch.partitions, *snapshot.realtime.coverage})
    partitions = [_partition(snapshot, stream, positions.get(stream)) for stream in streams]
    return Consistency(
        missing=sum(partition.missing for partition in partitions),
        double=sum(partition.double for partition in partitions),
        run_id=snapshot.batch.run_id,
        complete=snapshot.complete,
        partitions=partitions,
    )


def _partition(snapshot: Snapshot, stream: int, position: Position | None) -> PartitionConsistency:
    run = snapshot.batch.partitions.get(stream)
    covered = snapshot.realtime.coverage.get(stream)
    first = run.first_offset if run else covered.first_offset if covered else 0
    seam = run.next_offset if run else first
    end = covered.next_offset if covered else seam
    dead_letters = run.dead_letters if run else 0
    duplicates = run.duplicates if run else 0
    if covered:
        dead_letters += covered.removed(RecordKind.DEAD_LETTER, end)
        duplicates += covered.removed(RecordKind.DUPLICATE, end)
    batch = snapshot.batch.held.get(stream, Held())
    offsets = _realtime_offsets(snapshot, stream)
    distinct_offsets = offsets[np.diff(offsets, prepend=-1) != 0]
    realtime = Held(len(offsets), len(distinct_offsets))
    skipped = (run.skipped if run else 0) + _skipped(snapshot, stream, position, distinct_offsets)
    distinct = batch.distinct + realtime.distinct
    unexplained = (end - first) - distinct - dead_letters - duplicates - skipped
    topic, number = topic_partition(stream)
    return PartitionConsistency(
        topic=topic,
        partition=number,
        first_offset=first,
        seam=seam,
        next_offset=end,
        batch_rows=batch.rows,
        realtime_rows=realtime.rows,
        dead_letters=dead_letters,
        duplicates=duplicates,
        skipped=skipped,
        missing=max(0, unexplained),
        double=batch.rows + realtime.rows - distinct + max(0, -unexplained),
    )


def _skipped(
    snapshot: Snapshot, stream: int, position: Position | None, offsets: np.ndarray
) -> int:
    """Return how many realtime offsets the broker never delivered.

    Up to the position the speed layer's own count tells; behind it, and where that count is over
    another range than ours, an offset of a committed segment without a record was skipped.
    ``offsets`` are the distinct realtime offsets, ascending.
    """
    covered = snapshot.realtime.coverage.get(stream)
    if covered is None:
        return 0
    claimed, known_to = _claimed(snapshot, stream, position, covered.first_offset)
    known_to = min(max(known_to, covered.first_offset), covered.next_offset)
    rows = len(offsets) - int(np.searchsorted(offsets, known_to))
    removed = sum(
        covered.removed(kind, covered.next_offset) - covered.removed(kind, known_to)
        for kind in (RecordKind.DEAD_LETTER, RecordKind.DUPLICATE)
    )
    return claimed + (covered.next_offset - known_to) - rows - removed


def _claimed(
    snapshot: Snapshot, stream: int, position: Position | None, seam: int
) -> tuple[int, int]:
    """Return offsets skipped between the seam and the position, and the position."""
    if position is None or position.next_offset < seam:
        return 0, seam
    run = snapshot.batch.partitions.get(stream)
    if run is not None and position.first_offset == run.first_offset:
        return position.skipped - run.skipped, position.next_offset
    if position.first_offset == seam:
        return position.skipped, position.next_offset
    return 0, seam


def _realtime_offsets(snapshot: Snapshot, stream: int) -> np.ndarray:
    """Return the offsets of a stream's realtime rows, ascending."""
    parts = [index.offsets(stream) for index in snapshot.realtime.indexes]
    if not parts:
        return np.empty(0, np.int64)
    return np.sort(np.concatenate(parts), kind="stable")  # stable: made for runs that are sorted
