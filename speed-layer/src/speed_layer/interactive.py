"""Reads of a partition's store from outside its writer's thread."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from speed_layer import segments
from speed_layer.errors import SpeedLayerError
from speed_layer.store import Stored
from speed_layer.store_schema import connect_reader


class PrunedError(SpeedLayerError):
    """The offsets asked for are no longer stored; batch owns them."""

    def __init__(self, segments_from: int) -> None:
        super().__init__(f"segments are kept from offset {segments_from} on")
        self.segments_from = segments_from


@dataclass(frozen=True, slots=True)
class SegmentRange:
    """Stored micro-batches as one Arrow IPC stream, covering offsets up to ``next_offset``.

    ``alerts`` are those that their events raised: (offset, snake_case JSON), by offset.
    """

    stream: bytes
    next_offset: int
    alerts: Sequence[tuple[int, bytes]]


def kept_in_memory(
    recent: Sequence[Stored], from_offset: int, max_bytes: int
) -> SegmentRange | None:
    """Return what ``read_segments`` would, if ``recent`` micro-batches say it; None if not."""
    first = next((at for at, each in enumerate(recent) if each.first_offset == from_offset), None)
    if first is None:
        return None
    taken, size = [recent[first]], len(recent[first].segment)
    for each in recent[first + 1 :]:
        size += len(each.segment)
        if size > max_bytes:
            break
        taken.append(each)
    stream = segments.join([each.segment for each in taken])
    alerts = [(offset, body) for each in taken for offset, _, body in each.alerts]
    return SegmentRange(stream, taken[-1].next_offset, alerts)


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open one read transaction: a commit or pruning beside it changes nothing in it."""
    connection = connect_reader(path)
    try:
        connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()


def read_segments(path: Path, from_offset: int, max_bytes: int) -> SegmentRange | None:
    """Return whole micro-batches from ``from_offset`` on, at least one; None without any.

    Raises:
        PrunedError: If ``from_offset`` was pruned.
    """
    with _reading(path) as connection:
        first = connection.execute(
            "SELECT coalesce((SELECT min(first_offset) FROM segments), next_offset) FROM position"
        ).fetchone()
        if first is None:
            return None
        if from_offset < first[0]:
            raise PrunedError(first[0])
        rows = connection.execute(
            "SELECT first_offset, next_offset, data FROM segments WHERE first_offset >="
            " (SELECT max(first_offset) FROM segments WHERE first_offset <= ?1)"
            " AND next_offset > ?1 ORDER BY first_offset",
            (from_offset,),
        )
        messages: list[bytes] = []
        size, next_offset = 0, from_offset
        for begin, end, data in rows:
            if messages and size + len(data) > max_bytes:
                break
            messages.append(
                segments.from_offset(data, from_offset) if begin < from_offset else data
            )
            size, next_offset = size + len(data), end
        if not messages:
            return None
        alerts = _alerts(connection, from_offset, next_offset)
    return SegmentRange(segments.join(messages), next_offset, alerts)


def read_alerts(path: Path, from_offset: int, to_offset: int) -> list[tuple[int, bytes]]:
    """Return (offset, snake_case JSON) of alerts raised by events in ``[from, to)``."""
    with _reading(path) as connection:
        return _alerts(connection, from_offset, to_offset)


def _alerts(
    connection: sqlite3.Connection, from_offset: int, to_offset: int
) -> list[tuple[int, bytes]]:
    return connection.execute(
        "SELECT event_offset, body FROM alerts WHERE event_offset >= ? AND event_offset < ?"
        " ORDER BY event_offset, ordinal",
        (from_offset, to_offset),
    ).fetchall()
