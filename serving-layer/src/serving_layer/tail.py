"""Tail every speed instance into the realtime view.

Two kinds of tasks run on the event loop: one per instance asks what it owns (``/positions``), one
per partition long-polls its owner for the segments behind what is held. Whatever fails, what is
held stays; answers say that they are incomplete, and why, until the tail is in sync again.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import httpx

from contracts.log_lines import at
from serving_layer.metrics import Metrics
from serving_layer.settings import Settings
from serving_layer.speed_client import (
    NotOwnedError,
    PartitionPosition,
    PrunedError,
    SpeedClient,
    SpeedError,
)
from serving_layer.views.accounts import Position
from serving_layer.views.index import merged
from serving_layer.views.snapshot import Snapshot, Views
from serving_layer.views.streams import stream_name, topic_partition
from serving_layer.views.tiers import mergeable

logger = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 2.0


@dataclass(slots=True)
class Partition:
    """What the tail knows of one partition."""

    reported: PartitionPosition
    owner: SpeedClient | None
    catch_up_to: int | None
    """Next offset that has to be reached before answers are complete; None once it was."""
    confirmed: Position | None = None
    pending: Position | None = None
    in_sync_at: float = field(default_factory=time.monotonic)
    failure: str | None = None


class Tail:
    """Keeps the realtime view in step with the speed layer."""

    def __init__(
        self,
        settings: Settings,
        views: Views,
        http: httpx.AsyncClient,
        metrics: Metrics,
        reload_run: Callable[[], None],
    ) -> None:
        self._views = views
        self._metrics = metrics
        self._reload_run = reload_run
        self._clients = [SpeedClient(url, http) for url in settings.speed_instances]
        self._interval = settings.positions_interval.total_seconds()
        self._wait_ms = int(settings.long_poll.total_seconds() * 1000)
        self._down: dict[str, str] = {client.url: "not asked yet" for client in self._clients}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wakes: dict[int, asyncio.Event] = {}
        self.partitions: dict[int, Partition] = {}
        views.listeners.append(self._on_exchange)

    async def run(self) -> None:
        """Tail until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for client in self._clients:
                    group.create_task(self._follow_positions(client))
                group.create_task(self._merge_large())
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def clients(self) -> list[SpeedClient]:
        """Every speed instance."""
        return self._clients

    def positions(self) -> dict[int, Position]:
        """Return, per partition, the newest position that what is held has reached."""
        return {
            stream: partition.confirmed
            for stream, partition in self.partitions.items()
            if partition.confirmed is not None
        }

    def freshness_seconds(self) -> float:
        """Return how long ago the stalest partition was in sync with its owner."""
        now = time.monotonic()
        return max((now - each.in_sync_at for each in self.partitions.values()), default=0.0)

    def lag(self) -> dict[int, int]:
        """Return, per partition, records in the log that are not held yet."""
        loaded = self._views.loaded
        coverage = loaded.realtime.coverage if loaded else {}
        return {
            stream: max(0, partition.reported.high_watermark - coverage[stream].next_offset)
            for stream, partition in self.partitions.items()
            if stream in coverage
        }

    async def _follow_positions(self, client: SpeedClient) -> None:
        retry = _FIRST_RETRY_SECONDS
        while True:
            try:
                reported = await client.positions()
            except SpeedError as error:
                self._instance_down(client, str(error))
                await asyncio.sleep(retry)
                retry = min(retry * 2, _LAST_RETRY_SECONDS)
                continue
            retry = _FIRST_RETRY_SECONDS
            if self._views.loaded is not None:
                self._down.pop(client.url, None)
                self._take_over(client, reported)
                await asyncio.sleep(self._interval)
            else:  # no seam is known before a run is loaded: nothing can be tailed yet
                await asyncio.sleep(_FIRST_RETRY_SECONDS)

    def _instance_down(self, client: SpeedClient, reason: str) -> None:
        if client.url not in self._down:
            logger.warning("%s", reason)
        self._down[client.url] = reason
        for partition in self.partitions.values():
            if partition.owner is client:
                partition.failure = reason
        self._report()

    def _take_over(self, client: SpeedClient, reported: list[PartitionPosition]) -> None:
        owned = {position.stream for position in reported}
        for stream, partition in self.partitions.items():
            if partition.owner is client and stream not in owned:
                partition.owner = None
        for position in reported:
            self._seen(client, position)
        self._report()

    def _seen(self, client: SpeedClient, position: PartitionPosition) -> None:
        stream = position.stream
        coverage = self._views.current().realtime.coverage
        if stream not in coverage:
            self._views.open(stream, position.first_offset)
        partition = self.partitions.get(stream)
        if partition is None:
            partition = Partition(position, client, catch_up_to=position.next_offset)
            self.partitions[stream] = partition
            self._wakes[stream] = asyncio.Event()
            self._start(self._tail(stream, partition))
        if partition.owner is not client:
            name, where = stream_name(stream), at(*topic_partition(stream))
            logger.info("%s is served by %s", name, client.url, extra=where)
        partition.reported, partition.owner = position, client
        partition.failure = None
        partition.pending = Position(position.first_offset, position.next_offset, position.skipped)
        self._wakes[stream].set()
        self._confirm(stream, partition)

    async def _tail(self, stream: int, partition: Partition) -> None:
        """Poll the owner of one partition, whoever that is at the time."""
        retry = _FIRST_RETRY_SECONDS
        while True:
            wake = self._wakes[stream]
            wake.clear()
            held = self._views.current().realtime.coverage[stream].next_offset
            owner = partition.owner
            if owner is None:
                await wake.wait()
                continue
            try:
                await self._poll(owner, stream, held)
            except NotOwnedError:
                if partition.owner is owner:
                    partition.owner = None
            except PrunedError as error:
                self._reload_run()
                await self._failed(partition, str(error), retry)
            except SpeedError as error:
                await self._failed(partition, str(error), retry)
                retry = min(retry * 2, _LAST_RETRY_SECONDS)
                continue
            except Exception as error:  # an answer nobody foresaw must not end the tail for good
                logger.exception(
                    "tailing %s", stream_name(stream), extra=at(*topic_partition(stream))
                )
                await self._failed(partition, f"{type(error).__name__}: {error}", retry)
                retry = min(retry * 2, _LAST_RETRY_SECONDS)
                continue
            retry = _FIRST_RETRY_SECONDS

    async def _failed(self, partition: Partition, reason: str, retry: float) -> None:
        partition.failure = reason
        self._report()
        await asyncio.sleep(retry)

    async def _poll(self, owner: SpeedClient, stream: int, held: int) -> None:
        segment = await owner.segment(stream, held, self._wait_ms)
        partition = self.partitions[stream]
        if segment is not None or partition.reported.next_offset >= held:
            partition.in_sync_at = time.monotonic()  # not while the owner rebuilds its store
        partition.failure = None
        coverage = self._views.current().realtime.coverage[stream]
        # A run published meanwhile may have moved the seam: appending skips what it took over, and
        # after a run was taken back the segment lies too far ahead.
        if segment is not None and segment.first_offset <= coverage.next_offset:
            self._views.append(segment)
            if segment.rows.num_rows:
                newest = segment.rows["ingested_at"][-1].as_py()
                self._metrics.delay.observe(max(0.0, time.time() - newest / 1000))
        self._confirm(stream, partition)
        self._report()

    def _confirm(self, stream: int, partition: Partition) -> None:
        held = self._views.current().realtime.coverage[stream].next_offset
        if partition.catch_up_to is not None and held >= partition.catch_up_to:
            partition.catch_up_to = None
        if partition.pending is not None and partition.pending.next_offset <= held:
            partition.confirmed, partition.pending = partition.pending, None

    def _on_exchange(self, old: Snapshot, new: Snapshot) -> None:
        """A run was taken back: what its seam freed has to be tailed again."""
        if old.batch is new.batch:
            return
        for stream, covered in new.realtime.coverage.items():
            before = old.realtime.coverage.get(stream)
            partition = self.partitions.get(stream)
            if partition and before and covered.next_offset < before.next_offset:
                partition.catch_up_to = before.next_offset
                partition.confirmed = None
                self._wakes[stream].set()
        self._report()

    def _report(self) -> None:
        """Tell the views whether answers are complete."""
        self._views.set_incomplete(self._incomplete_reason())

    def _incomplete_reason(self) -> str | None:
        loaded = self._views.loaded
        if loaded is None:
            return "the batch view has not been loaded yet"
        for url, reason in self._down.items():
            served = any(each.owner and each.owner.url == url for each in self.partitions.values())
            if served or reason == "not asked yet" or len(self._clients) == 1:
                return reason
        for stream in loaded.realtime.coverage:
            partition = self.partitions.get(stream)
            name = stream_name(stream)
            if partition is None or partition.owner is None:
                return f"no speed instance serves {name}"
            if partition.failure:
                return partition.failure
            if partition.catch_up_to is not None:
                return f"{name} is being loaded up to offset {partition.catch_up_to}"
        return None

    async def _merge_large(self) -> None:
        """Merge large tiers in a thread: they would hold up requests on the event loop."""
        while True:
            await asyncio.sleep(self._interval)
            loaded = self._views.loaded
            group = mergeable(loaded.realtime.indexes) if loaded else []
            if group:
                self._views.merge(group, await asyncio.to_thread(merged, group))

    def _start(self, tail: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(tail)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        with contextlib.suppress(asyncio.CancelledError):
            error = task.exception()
            if error is not None:
                logger.error("tailing a partition ended", exc_info=error)
