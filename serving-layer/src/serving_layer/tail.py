"""Tail every speed instance into the realtime view.

Two tasks per instance run on the event loop: one asks what it owns (``/positions``), one
long-polls it for what lies behind what is held, all its partitions in one request (``/tail``).
Whatever fails, what is held stays; answers say that they are incomplete, and why, until the tail
is in sync again. One partition's failure holds up no other.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from contracts.log_lines import at
from serving_layer.metrics import Metrics
from serving_layer.settings import Settings
from serving_layer.speed_client import (
    Answered,
    NotOwnedError,
    PartitionPosition,
    PrunedError,
    SpeedClient,
    SpeedError,
)
from serving_layer.views.accounts import Position
from serving_layer.views.index import EventIndex, merged
from serving_layer.views.realtime import Segment
from serving_layer.views.scratch import Scratch
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
    retry_seconds: float = _FIRST_RETRY_SECONDS
    retry_at: float = 0.0
    """Of ``time.monotonic``: not asked for before, because something was wrong with it."""

    def failed(self, reason: str) -> None:
        """Leave it alone for a while, longer each time."""
        self.failure = reason
        self.retry_at = time.monotonic() + self.retry_seconds
        self.retry_seconds = min(self.retry_seconds * 2, _LAST_RETRY_SECONDS)


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
        self._scratch = Scratch(settings.data_dir / "scratch")
        self._interval = settings.positions_interval.total_seconds()
        self._wait_ms = int(settings.long_poll.total_seconds() * 1000)
        self._down: dict[str, str] = {client.url: "not asked yet" for client in self._clients}
        self._wakes = {client.url: asyncio.Event() for client in self._clients}
        """Set when an instance has to be asked for something else than it is being asked for."""
        self.partitions: dict[int, Partition] = {}
        views.listeners.append(self._on_exchange)

    async def run(self) -> None:
        """Tail until cancelled."""
        async with asyncio.TaskGroup() as group:
            for client in self._clients:
                group.create_task(self._follow_positions(client))
                group.create_task(self._follow_commits(client))
            group.create_task(self._merge_large())

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
            self._wakes[client.url].set()
        if partition.owner is not client:
            self._wakes[client.url].set()
            name, where = stream_name(stream), at(*topic_partition(stream))
            logger.info("%s is served by %s", name, client.url, extra=where)
        partition.reported, partition.owner = position, client
        partition.failure = None
        partition.pending = Position(position.first_offset, position.next_offset, position.skipped)
        self._confirm(stream, partition)

    async def _follow_commits(self, client: SpeedClient) -> None:
        """Poll one instance for the partitions that it owns at the time."""
        wake, retry = self._wakes[client.url], _FIRST_RETRY_SECONDS
        while True:
            wake.clear()
            offsets, wait_ms = self._wanted(client)
            if not offsets:
                await _either(wake.wait(), asyncio.sleep(wait_ms / 1000))
                continue
            try:
                answered = await _either(client.tail(offsets, wait_ms), wake.wait())
                if isinstance(answered, list):
                    self._take(client, offsets, answered)
            except SpeedError as error:
                reason = str(error)
            except Exception as error:  # an answer nobody foresaw must not end the tail for good
                logger.exception("tailing %s", client.url)
                reason = f"{type(error).__name__}: {error}"
            else:
                retry = _FIRST_RETRY_SECONDS
                continue
            for partition in self._owned_by(client).values():
                partition.failure = reason
            self._report()
            await asyncio.sleep(retry)
            retry = min(retry * 2, _LAST_RETRY_SECONDS)

    def _owned_by(self, client: SpeedClient) -> dict[int, Partition]:
        return {stream: each for stream, each in self.partitions.items() if each.owner is client}

    def _wanted(self, client: SpeedClient) -> tuple[dict[int, int], int]:
        """Return where to go on, by stream, and for how many ms to wait for the first."""
        now, wait_ms = time.monotonic(), self._wait_ms
        offsets: dict[int, int] = {}
        coverage = self._views.loaded.realtime.coverage if self._views.loaded else {}
        for stream, partition in self._owned_by(client).items():
            if partition.retry_at > now:
                wait_ms = min(wait_ms, int(1000 * (partition.retry_at - now)) + 1)
            elif stream in coverage:
                offsets[stream] = coverage[stream].next_offset
        return offsets, wait_ms

    def _take(
        self, client: SpeedClient, offsets: Mapping[int, int], answered: Sequence[Answered]
    ) -> None:
        """Hold what came, and note what is wrong."""
        failures = {each.stream: each.failure for each in answered if each.failure}
        for stream, held in offsets.items():
            partition = self.partitions[stream]
            if stream in failures:
                self._refused(client, partition, failures[stream])
                continue
            partition.failure, partition.retry_seconds = None, _FIRST_RETRY_SECONDS
            came = any(each.stream == stream for each in answered)
            if came or partition.reported.next_offset >= held:
                partition.in_sync_at = time.monotonic()  # not while the owner rebuilds its store
        coverage = self._views.current().realtime.coverage
        # A run published meanwhile may have moved the seam: appending skips what it took over, and
        # after a run was taken back the segment lies too far ahead.
        segments = [
            each.segment
            for each in answered
            if each.segment and each.segment.first_offset <= coverage[each.stream].next_offset
        ]
        if segments:
            self._views.append(segments)
            self._observe_delay(segments)
        for stream in offsets:
            self._confirm(stream, self.partitions[stream])
        self._report()

    def _refused(self, client: SpeedClient, partition: Partition, failure: SpeedError) -> None:
        if isinstance(failure, NotOwnedError):
            if partition.owner is client:
                partition.owner = None
            return
        if isinstance(failure, PrunedError):
            self._reload_run()
        partition.failed(str(failure))

    def _observe_delay(self, segments: Sequence[Segment]) -> None:
        now = time.time()
        for segment in segments:
            if segment.rows.num_rows:
                newest = segment.rows["ingested_at"][-1].as_py()
                self._metrics.delay.observe(max(0.0, now - newest / 1000))

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
                if partition.owner is not None:
                    self._wakes[partition.owner.url].set()
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
            async with self._views.rearranging:
                loaded = self._views.loaded
                group = mergeable(loaded.realtime.indexes) if loaded else []
                if group:
                    self._views.merge(group, await asyncio.to_thread(self._merged, group))

    def _merged(self, group: list[EventIndex]) -> EventIndex:
        """Return one index of many, in a file; in memory while the disk does not take it."""
        try:
            return merged(group, self._scratch)
        except OSError as error:
            logger.warning("%s takes no more, keeping rows in memory: %s", self._scratch, error)
            return merged(group)


async def _either(first: Awaitable[Any], second: Awaitable[Any]) -> Any:  # noqa: ANN401  # of any type
    """Return what the first of two gives, None when the second ends before it."""
    wanted, other = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        await asyncio.wait((wanted, other), return_when=asyncio.FIRST_COMPLETED)
        return wanted.result() if wanted.done() else None
    finally:
        for task in (wanted, other):
            task.cancel()
        await asyncio.gather(wanted, other, return_exceptions=True)
