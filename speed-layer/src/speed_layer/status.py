"""What the consumer thread tells the HTTP thread."""

import asyncio
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from speed_layer.kafka import Key
from speed_layer.partition import Partition
from speed_layer.store import Position


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One owned partition as of its last commit."""

    path: Path
    position: Position
    segments_from: int
    high_watermark: int


class Status:
    """Shared by two threads: written by the consumer's, read by the HTTP server's."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self._lock = threading.Lock()
        self._partitions: dict[Key, PartitionStatus] = {}
        self._owned: dict[Key, Partition] = {}
        self._problem: tuple[str, str, int] | None = ("starting", "joining the group", _now_ms())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: dict[Key, set[asyncio.Event]] = defaultdict(set)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop whose requests wait for commits."""
        self._loop = loop

    def publish(self, partition: Partition, high_watermark: int) -> None:
        """Show a partition's newest commit and wake those who wait for it."""
        store = partition.store
        with self._lock:
            self._owned[partition.key] = partition
            self._partitions[partition.key] = PartitionStatus(
                store.path,
                partition.position,
                store.segments_from,
                max(high_watermark, partition.position.next_offset),
            )
        self._wake_later(partition.key)

    def forget(self, key: Key) -> None:
        """Stop showing a partition."""
        with self._lock:
            self._owned.pop(key, None)
            self._partitions.pop(key, None)
        self._wake_later(key)

    def _wake_later(self, key: Key) -> None:
        if self._loop is not None and self._waiters.get(key):
            self._loop.call_soon_threadsafe(self._wake, key)

    def _wake(self, key: Key) -> None:
        for event in self._waiters.get(key, ()):
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

    async def wait_beyond(self, key: Key, offset: int, timeout_seconds: float) -> None:
        """Return when the partition is stored beyond ``offset``, is lost, or time is up."""
        committed = asyncio.Event()
        self._waiters[key].add(committed)
        try:
            async with asyncio.timeout(timeout_seconds):
                while (status := self.partition(key)) and status.position.next_offset <= offset:
                    await committed.wait()
                    committed.clear()
        except TimeoutError:
            return
        finally:
            self._waiters[key].discard(committed)

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
