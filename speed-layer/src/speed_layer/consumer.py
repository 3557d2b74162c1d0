"""The loop: consume, process, store, publish.

For each micro-batch of a partition:

1. consume     nothing is remembered; a crash reads the records again
2. process     detection state moves ahead of the store by this one micro-batch
3. store       one transaction: segment, alerts, outbox, position (and a snapshot when due)
4. publish     the outbox, by an idempotent producer
5. forget      acknowledged outbox entries; a crash before this publishes them again
6. commit      the offset to the group, for lag tools only

When 3 fails, the partition pauses and the same commit is tried again until the store takes it.
When 2 fails, or the store is found damaged, the partition is closed and recovered.
"""

import logging
import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from contracts.log_lines import at
from speed_layer.assignment import Slot
from speed_layer.errors import (
    GroupLostError,
    LogTruncatedError,
    SpeedLayerError,
    StoreBusyError,
    StoreDamagedError,
    StoreUnavailableError,
)
from speed_layer.housekeeping import Housekeeping
from speed_layer.kafka import (
    Key,
    Polled,
    consumer_config,
    log_range,
    producer_config,
    records_of,
    sort_messages,
)
from speed_layer.metrics import Metrics
from speed_layer.partition import Partition, Processed
from speed_layer.publisher import Publisher
from speed_layer.segments import Records
from speed_layer.settings import Settings
from speed_layer.status import Status
from speed_layer.tracing import traced

logger = logging.getLogger(__name__)

_EXIT_FLUSH_SECONDS = 3.0
_REJOIN_SECONDS = 30.0
"""Five sessions: how long the client may look for its group while the broker answers."""
_LOG_SECONDS = 30.0


class SpeedLayer:
    """One member of the consumer group. ``run`` blocks; everything happens in its thread."""

    def __init__(self, settings: Settings, status: Status, metrics: Metrics) -> None:
        self._settings = settings
        self._status = status
        self._metrics = metrics
        servers = settings.kafka_bootstrap_servers
        self._publisher = Publisher(
            producer_config(servers, self._on_client_error), metrics.kafka_errors.inc
        )
        self._consumer = Consumer(consumer_config(settings, self._on_client_error))
        self._slots: dict[Key, Slot] = {}
        self._joined = False
        self._lost_at: float | None = None
        self._logged_at = float("-inf")
        self._housekeeping = Housekeeping(settings, self._consumer, status, metrics)

    def run(self, running: Callable[[], bool]) -> None:
        """Consume until ``running`` turns false, then leave everything flushed and closed.

        Raises:
            GroupLostError: The client does not find back to its group. It is not closed, which
                might take for ever; nothing is lost when the process ends.
        """
        self._consumer.subscribe(
            list(self._settings.topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        size, age_seconds = self._settings.batch_events, self._settings.batch_age_ms / 1000
        try:
            while running():
                self._take(sort_messages(self._consumer.consume(size, age_seconds)))
                self._retry()
                self._status.announce()
                self._publish()
                self._check_group()
                self._housekeeping.tick(
                    self._slots, joined=self._joined, rejoining=self._lost_at is not None
                )
                self._status.turns += 1
        except GroupLostError:
            raise
        except BaseException:
            self._stop()
            raise
        self._stop()

    def _take(self, polled: Polled) -> None:
        for error in polled.errors:
            self._on_client_error(error)
        for key in polled.out_of_range:
            self._reopen(key, "the position is outside the log")
        for key in polled.messages.keys() | polled.ends.keys():
            slot = self._slots.get(key)
            if slot is None or slot.partition is None or not slot.fetching:
                continue  # not ours any more, or asked for again later
            expected = slot.partition.position.next_offset
            records = records_of(key, polled.messages.get(key, ()), expected)
            end = max(polled.ends.get(key, 0), expected)
            if not records.offsets and end <= expected:
                continue
            with traced(key, polled.messages.get(key, ())):
                self._process(slot, slot.partition, records, end)
        if polled.messages or polled.ends:
            self._housekeeping.broker_answers()

    def _process(self, slot: Slot, partition: Partition, records: Records, end: int) -> None:
        try:
            processed = partition.process(records, end)
        except Exception:  # detection state may be half-way: only the store knows the whole one
            logger.exception("processing %s[%d] failed", *slot.key, extra=at(*slot.key))
            self._reopen(slot.key, "processing failed, see the log")
        else:
            self._store(slot, partition, processed)

    def _store(self, slot: Slot, partition: Partition, processed: Processed) -> None:
        try:
            entries = partition.write(processed.commit)
        except StoreUnavailableError as error:
            self._metrics.storage_errors.inc()
            slot.pending = processed
            self._hold(slot)
            if slot.wait(f"store: {error}", self._settings.retry_seconds):
                logger.error("%s[%d] paused: %s", *slot.key, error, extra=at(*slot.key))  # noqa: TRY400  # no bug: its place says nothing
        except StoreDamagedError as error:
            self._metrics.storage_errors.inc()
            self._set_aside(partition, str(error))
            self._reopen(slot.key, str(error))
        else:
            slot.pending = None
            slot.lane.waiting.extend(entries)
            self._metrics.count(slot.key, processed, time.time() * 1000)
            self._status.publish(partition, slot.high_watermark)

    def _set_aside(self, partition: Partition, reason: str) -> None:
        try:
            partition.store.set_aside(reason)
        except (SpeedLayerError, OSError):  # opening it again finds out what it can be used for
            logger.exception(
                "%s[%d]: the damaged store cannot be moved",
                *partition.key,
                extra=at(*partition.key),
            )

    def _hold(self, slot: Slot) -> None:
        """Stop delivery; records delivered meanwhile are ignored and asked for again."""
        if slot.fetching:
            self._consumer.pause([TopicPartition(*slot.key)])
            slot.fetching = False

    def _reopen(self, key: Key, reason: str) -> None:
        slot = self._slots.get(key)
        if slot is None:
            return
        self._hold(slot)
        self._close_partition(slot)
        slot.wait(reason, self._settings.retry_seconds)
        logger.error("%s[%d] will be opened again: %s", *key, reason, extra=at(*key))

    def _retry(self) -> None:
        for slot in self._slots.values():
            if slot.problem and slot.due():
                self._try(slot)

    def _try(self, slot: Slot) -> None:
        """Move a partition one step towards fetching: open, store what is pending, fetch."""
        try:
            if slot.partition is None:
                self._open(slot)
            if slot.partition is not None and slot.pending is not None:
                self._store(slot, slot.partition, slot.pending)
            if slot.partition is not None and slot.pending is None:
                self._fetch(slot, slot.partition.position.next_offset)
                slot.recovered()
                logger.info(
                    "%s[%d] fetching",
                    *slot.key,
                    extra=at(*slot.key, slot.partition.position.next_offset),
                )
        except (SpeedLayerError, KafkaException, OSError) as error:
            if isinstance(error, StoreDamagedError | StoreUnavailableError | OSError):
                self._metrics.storage_errors.inc()
            if slot.wait(str(error), self._settings.retry_seconds):
                level = logging.INFO if isinstance(error, StoreBusyError) else logging.ERROR
                logger.log(level, "%s[%d] waits: %s", *slot.key, error, extra=at(*slot.key))

    def _open(self, slot: Slot) -> None:
        log_start, log_end = log_range(self._consumer, slot.key)
        slot.high_watermark = log_end
        partition = Partition(slot.key, self._settings, log_start)
        position = partition.position
        if position.next_offset > log_end:
            partition.close()
            raise LogTruncatedError(
                f"{slot.key[0]}[{slot.key[1]}] was processed up to {position.next_offset}, but the "
                f"log ends at {log_end}: was the topic recreated? Remove {partition.store.path}"
            )
        slot.partition = partition
        slot.lane = self._publisher.open_lane(partition.store.outbox())
        logger.info(
            "%s[%d] at offset %d from %s",
            *slot.key,
            position.next_offset,
            partition.recovered_from,
            extra=at(*slot.key, position.next_offset),
        )
        if position.next_offset < log_start:
            self._lose(slot, partition, log_start)
        self._status.publish(partition, log_end)

    def _lose(self, slot: Slot, partition: Partition, log_start: int) -> None:
        """Go on behind a range that retention deleted; it stays counted as missing."""
        lost = log_start - partition.position.next_offset
        logger.error(
            "%s[%d]: %d records, offsets %d to %d, were deleted by retention before being read",
            *slot.key,
            lost,
            partition.position.next_offset,
            log_start - 1,
            extra=at(*slot.key, partition.position.next_offset),
        )
        slot.pending = partition.skip(log_start, lost=True)
        self._metrics.offsets_lost.labels(slot.key[0]).inc(lost)

    def _fetch(self, slot: Slot, offset: int) -> None:
        start = TopicPartition(*slot.key, offset)
        if slot.assigned_to_client:
            self._consumer.seek(start)
            self._consumer.resume([start])
        else:
            self._consumer.incremental_assign([start])
            slot.assigned_to_client = True
        slot.fetching = True

    def _publish(self) -> None:
        self._publisher.pump()
        for slot in self._slots.values():
            self._forget_acknowledged(slot)

    def _forget_acknowledged(self, slot: Slot) -> None:
        if slot.partition is None or not (ids := slot.lane.take_acknowledged()):
            return
        try:
            slot.partition.store.remove_from_outbox(ids)
        except SpeedLayerError:  # the next one succeeds, or they are published once more
            self._metrics.storage_errors.inc()
            slot.lane.acknowledged.extend(ids)

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Take partitions on; they are opened, and handed to the client, one by one in the loop.

        A store may be held by the process that just lost the partition, and the offset to
        start from is known only when it is open.
        """
        self._consumer.incremental_assign([])
        self._joined = True
        self._lost_at = None
        for found in partitions:
            key = (found.topic, found.partition)
            self._slots[key] = Slot(key)
        logger.info("assigned %s", [f"{p.topic}[{p.partition}]" for p in partitions])

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._lost_at = time.monotonic()
        self._on_revoke(consumer, partitions)

    def _check_group(self) -> None:
        if self._lost_at is None:
            return
        now = time.monotonic()
        if self._housekeeping.broker_problem:
            self._lost_at = now  # nobody rejoins without a broker
        elif now - self._lost_at > _REJOIN_SECONDS:
            raise GroupLostError(f"no way back to the group for {_REJOIN_SECONDS:.0f} s")

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        logger.info("revoked %s", [f"{p.topic}[{p.partition}]" for p in partitions])
        slots = [self._slots.pop((p.topic, p.partition), None) for p in partitions]
        self._release([slot for slot in slots if slot is not None])
        self._consumer.incremental_unassign(
            [TopicPartition(*slot.key) for slot in slots if slot and slot.assigned_to_client]
        )

    def _release(self, slots: list[Slot]) -> None:
        """Write what can be written, publish what can be published, and close."""
        for slot in slots:
            if slot.partition is not None and slot.pending is not None:
                self._store(slot, slot.partition, slot.pending)
        self._publisher.flush(_EXIT_FLUSH_SECONDS)
        for slot in slots:
            self._forget_acknowledged(slot)
            self._snapshot(slot)
            self._close_partition(slot)

    def _snapshot(self, slot: Slot) -> None:
        if slot.partition is not None and slot.pending is None:
            try:
                slot.partition.snapshot()
            except SpeedLayerError as error:  # only makes the next start slower
                logger.warning("no snapshot of %s[%d]: %s", *slot.key, error, extra=at(*slot.key))

    def _close_partition(self, slot: Slot) -> None:
        self._status.forget(slot.key)
        self._metrics.forget(slot.key)
        if slot.partition is not None:
            self._publisher.close_lane(slot.lane)
            slot.partition.close()
        slot.partition = None
        slot.pending = None

    def _stop(self) -> None:
        self._release(list(self._slots.values()))
        self._housekeeping.commit_offsets(self._slots, wait=True)
        self._consumer.close()
        self._slots.clear()

    def _on_client_error(self, error: KafkaError) -> None:
        self._metrics.kafka_errors.inc()
        self._housekeeping.broker_failed(error.str())
        if time.monotonic() - self._logged_at > _LOG_SECONDS:
            self._logged_at = time.monotonic()
            logger.error("Kafka: %s", error)
