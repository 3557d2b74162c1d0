"""What the loop does every second beside consuming: offsets, lag, pruning, health."""

import logging
import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from contracts import lake
from contracts.errors import LakeError
from contracts.log_lines import at
from speed_layer.assignment import Slot
from speed_layer.errors import BatchStateError, SpeedLayerError
from speed_layer.kafka import Key
from speed_layer.metrics import Metrics
from speed_layer.partition import Partition
from speed_layer.published_run import PublishedRun
from speed_layer.settings import Settings
from speed_layer.status import Status

logger = logging.getLogger(__name__)

_TICK_SECONDS = 1.0
_PROBE_TIMEOUT_SECONDS = 0.5


class Housekeeping:
    """Periodic duties of the consumer's thread."""

    def __init__(
        self, settings: Settings, consumer: Consumer, status: Status, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._status = status
        self._metrics = metrics
        self._next_tick = 0.0
        self._broker_problem = ""
        self._committed: dict[Key, int] = {}
        self._run_id: str | None = None
        self._run: PublishedRun | None = None
        self._run_problem = ""

    def broker_failed(self, reason: str) -> None:
        """Note that the client reported an error of the connection."""
        self._broker_problem = reason

    @property
    def broker_problem(self) -> str:
        """What the client last said is wrong with the broker; empty when it answers."""
        return self._broker_problem

    def broker_answers(self) -> None:
        """Note that records or the end of a partition came."""
        self._broker_problem = ""

    def tick(self, slots: Mapping[Key, Slot], *, joined: bool, rejoining: bool) -> None:
        """Do what is due; cheap when nothing is.

        Args:
            slots: The assigned partitions.
            joined: Whether the process ever was in the group.
            rejoining: Whether it lost its place there and has no new one yet.
        """
        now = time.monotonic()
        if now < self._next_tick:
            return
        self._next_tick = now + _TICK_SECONDS
        if self._broker_problem:
            self._probe()
        self._watch_watermarks(slots)
        self._prune(slots)
        self.commit_offsets(slots, wait=False)
        self._report(slots, joined=joined, rejoining=rejoining)

    def _probe(self) -> None:
        try:
            self._consumer.list_topics(self._settings.topics[0], timeout=_PROBE_TIMEOUT_SECONDS)
        except KafkaException:
            return
        logger.info("the broker answers again")
        self._broker_problem = ""

    def _watch_watermarks(self, slots: Mapping[Key, Slot]) -> None:
        for key, slot in slots.items():
            if slot.partition is None:
                continue
            if slot.fetching:
                _, high = self._consumer.get_watermark_offsets(TopicPartition(*key), cached=True)
                slot.high_watermark = max(high, 0)
            self._status.publish(slot.partition, slot.high_watermark)
            lag = max(0, slot.high_watermark - slot.partition.position.next_offset)
            self._metrics.lag.labels(key[0], str(key[1])).set(lag)

    def _prune(self, slots: Mapping[Key, Slot]) -> None:
        run = self._published_run()
        if run is None:
            return
        for key, slot in slots.items():
            seam = run.seam(*key)
            if seam is not None and slot.partition is not None and slot.pending is None:
                self._prune_partition(slot.partition, seam.next_offset)

    def _prune_partition(self, partition: Partition, seam: int) -> None:
        try:
            before = partition.store.segments_from
            partition.prune(seam)
        except SpeedLayerError as error:
            self._metrics.storage_errors.inc()
            logger.warning(
                "pruning %s[%d] failed: %s", *partition.key, error, extra=at(*partition.key)
            )
            return
        if partition.store.segments_from != before:
            first = partition.store.segments_from
            logger.info(
                "%s[%d] pruned to %d", *partition.key, first, extra=at(*partition.key, first)
            )

    def _published_run(self) -> PublishedRun | None:
        """Return the published run, or the last one that could be read."""
        problem = ""
        try:
            run_id = lake.read_current(self._settings.lake_dir)
            if run_id != self._run_id:
                self._run = PublishedRun.read(self._settings.lake_dir)
                self._run_id = run_id
        except (BatchStateError, LakeError, OSError) as error:
            problem = str(error)
            if problem != self._run_problem:
                logger.warning("not following the published run: %s", problem)
        self._run_problem = problem
        return self._run

    def commit_offsets(self, slots: Mapping[Key, Slot], *, wait: bool) -> None:
        """Tell the group how far the stores are, for lag tools; nothing reads it back."""
        stored = {
            key: slot.partition.position.next_offset
            for key, slot in slots.items()
            if slot.partition is not None
        }
        changed = [
            TopicPartition(*key, offset)
            for key, offset in stored.items()
            if self._committed.get(key) != offset
        ]
        if not changed or self._broker_problem:
            return
        try:
            if wait:
                self._consumer.commit(offsets=changed, asynchronous=False)
            else:
                self._consumer.commit(offsets=changed, asynchronous=True)
            self._committed = stored
        except KafkaException as error:
            logger.debug("group offsets not committed: %s", error)

    def _report(self, slots: Mapping[Key, Slot], *, joined: bool, rejoining: bool) -> None:
        self._metrics.partitions.set(sum(slot.partition is not None for slot in slots.values()))
        self._metrics.outbox_pending.set(sum(slot.lane.pending for slot in slots.values()))
        stuck = [f"{k[0]}[{k[1]}]: {slot.problem}" for k, slot in slots.items() if slot.problem]
        opening = all(slot.problem and slot.partition is None for slot in slots.values())
        if self._broker_problem:
            kind = "paused" if joined else "starting"
            servers = self._settings.kafka_bootstrap_servers
            reason = f"broker at {servers}: {self._broker_problem}"
        elif not joined:
            kind, reason = "starting", "joining the group"
        elif rejoining:
            kind, reason = "paused", "rejoining the group"
        elif stuck:
            kind, reason = "starting" if opening else "paused", "; ".join(stuck)
        else:
            self._metrics.paused.set(0)
            self._status.set_healthy()
            return
        self._metrics.paused.set(1 if kind == "paused" else 0)
        self._status.set_problem(kind, reason)
