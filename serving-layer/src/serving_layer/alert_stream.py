"""Live alerts, resumable: where a client stands is one offset per partition.

An event id of the stream names, for every partition, the offset up to which its alerts were sent
(``+n``: and n alerts raised by the event at that offset). Offsets survive restarts and published
runs, so a client that comes back with its last id gets every alert in between, once. A partition
that an id does not name is sent from its beginning; an id that would name none is ``beginning``,
because an empty id makes a client forget its last one.
"""

import asyncio
import heapq
import re
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

from contracts.api import Source
from serving_layer.cases.states import NO_CASES, Cases
from serving_layer.errors import ParameterError, UnknownTopicError
from serving_layer.views.alert_list import AlertEntry
from serving_layer.views.reads import AlertFilter
from serving_layer.views.snapshot import Snapshot, Views
from serving_layer.views.streams import stream_code, stream_name

LAST_EVENT_ID = "Last-Event-ID"

_BEGINNING = "beginning"

_ENTRY = re.compile(
    r"(?P<topic>[\w.-]{1,249})/(?P<partition>\d{1,5})@(?P<offset>\d{1,18})(\+(?P<sent>\d{1,6}))?"
)


class Sent(NamedTuple):
    """Alerts below ``offset`` were sent, and the first ``already`` raised at it."""

    offset: int
    already: int = 0


Positions = dict[int, Sent]


class AlertBell:
    """Wakes streams when the alerts changed."""

    def __init__(self, views: Views) -> None:
        self._event = asyncio.Event()
        views.listeners.append(self._on_exchange)

    def next_ring(self) -> asyncio.Event:
        """Return the event that is set at the next change."""
        return self._event

    def _on_exchange(self, old: Snapshot, new: Snapshot) -> None:
        if old.realtime.alerts is new.realtime.alerts and old.batch is new.batch:
            return
        self._event.set()
        self._event = asyncio.Event()


def parse_positions(text: str) -> Positions:
    """Return the positions of an event id.

    Raises:
        ParameterError: If it is none of ours.
    """
    positions: Positions = {}
    if text == _BEGINNING:
        return positions
    for part in filter(None, text.split(",")):
        found = _ENTRY.fullmatch(part.strip())
        if found is None:
            raise ParameterError(LAST_EVENT_ID, f"{part[:60]!r} is not topic/partition@offset")
        try:
            stream = stream_code(found["topic"], int(found["partition"]))
        except UnknownTopicError as error:
            raise ParameterError(LAST_EVENT_ID, error.detail) from error
        positions[stream] = Sent(int(found["offset"]), int(found["sent"] or 0))
    return positions


def format_positions(positions: Mapping[int, Sent]) -> str:
    """Return the event id of positions."""
    parts = [
        f"{stream_name(stream)}@{sent.offset}" + (f"+{sent.already}" if sent.already else "")
        for stream, sent in sorted(positions.items())
    ]
    return ",".join(parts) or _BEGINNING


def positions_now(snapshot: Snapshot) -> Positions:
    """Return positions behind every alert that is held."""
    ends = snapshot.batch.seam | {
        stream: covered.next_offset for stream, covered in snapshot.realtime.coverage.items()
    }
    return {stream: Sent(offset) for stream, offset in ends.items()}


def pending(snapshot: Snapshot, positions: Positions) -> list[tuple[AlertEntry, Source]]:
    """Return alerts behind ``positions``: by offset in each partition, by time across them."""
    batch, realtime = snapshot.batch.alerts, snapshot.realtime.alerts
    lists: list[list[tuple[AlertEntry, Source]]] = []
    for stream in batch.streams | realtime.streams:
        sent = positions.get(stream, Sent(0))
        entries: list[tuple[AlertEntry, Source]] = [
            *((each, "batch") for each in batch.raised(stream, sent.offset)),
            *((each, "realtime") for each in realtime.raised(stream, sent.offset)),
        ]
        lists.append(entries[sent.already :])
    return list(heapq.merge(*lists, key=lambda item: (item[0].record["timestamp"], item[0].stream)))


def advance(positions: Positions, entry: AlertEntry) -> None:
    """Move ``positions`` behind an alert that was sent."""
    sent = positions.get(entry.stream, Sent(0))
    count = sent.already + 1 if sent.offset == entry.offset else 1
    positions[entry.stream] = Sent(entry.offset, count)


async def alerts_live(
    views: Views,
    bell: AlertBell,
    wanted: AlertFilter,
    positions: Positions,
    cases: Cases = NO_CASES,
) -> AsyncIterator[tuple[str, AlertEntry, Source]]:
    """Yield (event id, alert, layer) for ever: what is behind ``positions``, then new ones."""
    while True:
        ring = bell.next_ring()
        for entry, source in pending(views.current(), positions):
            advance(positions, entry)
            if wanted.matches(entry.record, cases):
                yield format_positions(positions), entry, source
        await ring.wait()
