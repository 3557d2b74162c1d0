"""What the consumer thread tells the HTTP thread."""

import asyncio
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from speed_layer.kafka import Key
from speed_layer.partition import Partition
from speed_layer.store import Position, Stored


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One owned partition as of its last commit; ``recent`` are its newest micro-batches."""

    path: Path
    position: Position
    segments_from: int
    high_watermark: int
    recent: tuple[Stored, ...] = ()


class Status:
    """Shared by two threads: written by the consumer's, read by the HTTP server's."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self._lock = threading.Lock()
        self._partitions: dict[Key, PartitionStatus] = {}
        self._owned: dict[Key, Partition] = {}
        self._problem: tuple[str, str, int] | None = ("starting", "joining the group", _now_ms())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: set[asyncio.Event] = set()
        self._changed = False
        self.turns = 0
        """How often the consumer's loop has turned; only it writes this."""

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop whose requests wait for commits."""
        self._loop = loop

    def publish(self, partition: Partition, high_watermark: int) -> None:
        """Show a partition's newest commit; ``announce`` wakes those who wait for it."""
        store = partition.store
        with self._lock:
            self._owned[partition.key] = partition
            self._partitions[partition.key] = PartitionStatus(
                store.path,
                partition.position,
                store.segments_from,
                max(high_watermark, partition.position.next_offset),
                tuple(store.recent),
            )
        self._changed = True

    def forget(self, key: Key) -> None:
        """Stop showing a partition."""
        with self._lock:
            self._owned.pop(key, None)
            self._partitions.pop(key, None)
        self._changed = True
        self.announce()

    def announce(self) -> None:
        """Wake those who wait, if anything changed.

        Once for all partitions of a round, not for each: a reader then fetches them together, at
        the cost of one request.
        """
        if self._changed and self._loop is not None and self._waiters:
            self._loop.call_soon_threadsafe(self._wake)
        self._changed = False

    def _wake(self) -> None:
        for event in self._waiters:
            event.set()

    def partitions(self) -> dict[Key, PartitionStatus]:
        """Return every owned partition, by topic and number."""
        with self._lock:
            return dict(sorted(self._partitions.items()))

    def partition(self, key: Key) -> PartitionStatus | None:
        """Return one partition's status, None when it is not ours."""
        with self._lock:
            return self._partitions.get(key)

    def owned(self) -> list[Partition]:
        """Return the owned partitions themselves."""
        with self._lock:
            return list(self._owned.values())

    @property
    def waiting(self) -> int:
        """How many requests wait for a commit."""
        return len(self._waiters)

    async def wait_beyond(self, offsets: Mapping[Key, int], timeout_seconds: float) -> None:
        """Return when any partition is stored beyond its offset or is lost, or time is up."""
        changed = asyncio.Event()
        self._waiters.add(changed)
        try:
            async with asyncio.timeout(timeout_seconds):
                while not self._any_beyond(offsets):
                    await changed.wait()
                    changed.clear()
        except TimeoutError:
            return
        finally:
            self._waiters.discard(changed)

    def _any_beyond(self, offsets: Mapping[Key, int]) -> bool:
        found = [(self.partition(key), offset) for key, offset in offsets.items()]
        return any(
            status is None or status.position.next_offset > offset for status, offset in found
        )

    def set_problem(self, kind: str, reason: str) -> None:
        """Say why the process is ``starting`` or ``paused``; keeps the time it began."""
        with self._lock:
            since = self._problem[2] if self._problem and self._problem[0] == kind else _now_ms()
            self._problem = (kind, reason, since)

    def set_healthy(self) -> None:
        """Say that every assigned partition is open and moving."""
        with self._lock:
            self._problem = None

    def problem(self) -> tuple[str, str, int] | None:
        """Return (kind, reason, since Unix ms), None when healthy."""
        with self._lock:
            return self._problem


def _now_ms() -> int:
    return int(time.time() * 1000)
