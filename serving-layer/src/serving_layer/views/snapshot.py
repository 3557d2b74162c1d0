"""The pair of views that a request sees, and the one place where it is exchanged."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from serving_layer.errors import NotReadyError
from serving_layer.views.batch import BatchView
from serving_layer.views.index import EventIndex
from serving_layer.views.interning import Interners
from serving_layer.views.realtime import Parts, RealtimeView, Segment


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Batch view below the seam, realtime view from the seam on; never changes."""

    batch: BatchView
    realtime: RealtimeView
    incomplete_reason: str | None = None
    is_live: bool = True
    """False for an earlier run, which stands alone."""

    @property
    def complete(self) -> bool:
        return self.incomplete_reason is None


class Views:
    """Holds the current snapshot. Only the event loop's thread exchanges it."""

    def __init__(self) -> None:
        self.interners = Interners()
        self.swaps = 0
        self.ready = False
        """Whether both views were loaded once; later failures make answers incomplete instead."""
        self.listeners: list[Callable[[Snapshot, Snapshot], None]] = []
        """Called with the old and the new snapshot after each exchange."""
        self.rearranging = asyncio.Lock()
        """Held while a thread makes large indexes out of others, to be exchanged for them."""
        self._snapshot: Snapshot | None = None
        self._waiting_for = "the batch view has not been loaded yet"
        self._incomplete_reason: str | None = "the realtime view has not been loaded yet"

    @property
    def loaded(self) -> Snapshot | None:
        """The current snapshot, or None before the first batch view."""
        return self._snapshot

    def current(self) -> Snapshot:
        """Return the current snapshot.

        Raises:
            NotReadyError: If no batch view was ever loaded.
        """
        if self._snapshot is None:
            raise NotReadyError(self._waiting_for)
        return self._snapshot

    def waiting_for(self, reason: str) -> None:
        """Say why there is no snapshot yet."""
        self._waiting_for = reason

    def publish(self, batch: BatchView, parts: Parts | None = None) -> Snapshot:
        """Serve another run: batch view and seam change in one step.

        Args:
            batch: The run.
            parts: ``RealtimeView.parts_above`` of its seam, made in a thread: without it, cutting
                millions of realtime rows would hold up requests.
        """
        old = self._snapshot
        realtime = old.realtime if old else RealtimeView(self.interners)
        self.swaps += 1
        return self._exchange(
            Snapshot(batch, realtime.above(batch.seam, parts), self._incomplete_reason)
        )

    def open(self, stream: int, offset: int) -> None:
        """Begin to hold a partition that no run has covered yet."""
        now = self.current()
        self._exchange(replace(now, realtime=now.realtime.opened(stream, offset)))

    def append(self, segments: Sequence[Segment]) -> Snapshot:
        """Hold segments of the realtime view, their events and alerts in one step."""
        now = self.current()
        return self._exchange(replace(now, realtime=now.realtime.appended(segments)))

    def merge(self, old: Sequence[EventIndex], new: EventIndex) -> None:
        """Exchange realtime indexes for their union, unless they went away meanwhile."""
        now = self.current()
        realtime = now.realtime.merged(old, new)
        if realtime is not None:
            self._exchange(replace(now, realtime=realtime))

    def set_incomplete(self, reason: str | None) -> None:
        """Say why answers lack a part of the data, or that they lack nothing."""
        if reason == self._incomplete_reason:
            return
        self._incomplete_reason = reason
        self.ready = self.ready or reason is None
        if self._snapshot is not None:
            self._exchange(replace(self._snapshot, incomplete_reason=reason))

    def _exchange(self, new: Snapshot) -> Snapshot:
        old, self._snapshot = self._snapshot, new
        for listener in self.listeners:
            listener(old or new, new)
        return new
