"""One assigned partition: its store, its detection state, and how a micro-batch becomes a commit."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from contracts.alerts import Alert
from contracts.decoder import Decoded
from contracts.views import SEGMENT_SCHEMA
from detection import Result
from speed_layer.decoding import decode
from speed_layer.kafka import Key
from speed_layer.outgoing import dead_letter_entries
from speed_layer.published_run import snake_case
from speed_layer.recovery import recover
from speed_layer.segments import Records, build, duplicates_of, encode, kinds_of
from speed_layer.settings import Settings
from speed_layer.store import Commit, OutboxEntry, Position, Store, advanced, store_path
from speed_layer.tracing import traced_alert_entries

_SNAPSHOT_BYTES_PER_EVENT = 1_000
"""To write so much of a snapshot takes about as long as an event: a state of a gigabyte is written
every million events, not every 200,000, or the partition would do little else."""

_NO_ROWS = encode(pa.RecordBatch.from_pylist([], schema=SEGMENT_SCHEMA))


@dataclass(frozen=True, slots=True)
class Processed:
    """A micro-batch after detection: what to store, and what to count once it is stored."""

    commit: Commit
    records: Records | None = None
    decoded: Decoded | None = None
    result: Result | None = None
    alerts: Sequence[Alert] = ()


class Partition:
    """A partition owned by this process.

    ``process`` moves the detection state, ``write`` moves the store. Between the two the state
    is ahead by exactly one commit, which is kept and tried again until the store takes it; a
    process that dies in between finds the earlier state in the store.
    """

    def __init__(self, key: Key, settings: Settings, log_start: int) -> None:
        """Open the store and recover.

        Raises:
            StoreBusyError: Another process owns the partition's store.
            StoreUnavailableError: The store cannot be written now.
        """
        self.key = key
        path = store_path(settings.store_dir, *key)
        self.store = Store(path, max_bytes=settings.store_max_bytes)
        try:
            recovered = recover(self.store, key, settings.lake_dir, settings.scorer, log_start)
        except BaseException:
            self.store.close()
            raise
        self.engine = recovered.engine
        self.engine_lock = threading.Lock()
        self.recovered_from = recovered.source
        self._snapshot_events = settings.snapshot_events
        self._since_snapshot = 0
        self._snapshot_bytes = 0

    @property
    def position(self) -> Position:
        """What is stored."""
        position = self.store.position
        if position is None:
            raise RuntimeError("recovery sets a position")
        return position

    def process(self, records: Records, end: int) -> Processed:
        """Decode and score records; ``end`` is the offset up to which nothing else exists."""
        if not records.offsets:
            return self.skip(end)
        decoded = decode(records.topic, records.partition, records.offsets, records.values)
        with self.engine_lock:
            result = self.engine.process(decoded.events)
        kinds = kinds_of(decoded, result.duplicate, len(records.offsets))
        duplicates = duplicates_of(records, kinds)
        dead_letters = len(decoded.rejects)
        doubled = 0 if duplicates is None else duplicates.num_rows
        alerts = [alert for _, alert in result.alerts]
        commit = Commit(
            first_offset=self.position.next_offset,
            position=advanced(
                self.position,
                max(end, records.offsets[-1] + 1),
                rows=len(kinds) - dead_letters - doubled,
                dead_letters=dead_letters,
                duplicates=doubled,
            ),
            segment=encode(build(records, kinds, decoded, result)),
            duplicates=None if duplicates is None else encode(duplicates),
            alerts=_keyed(decoded, result),
            outbox=[*traced_alert_entries(alerts), *dead_letter_entries(records, decoded.rejects)],
            snapshot=self._due_snapshot(decoded.events.num_rows),
        )
        return Processed(commit, records, decoded, result, alerts)

    def skip(self, end: int, *, lost: bool = False) -> Processed:
        """Cover offsets up to ``end`` that hold no record, or (``lost``) no longer do."""
        begin = self.position.next_offset
        position = advanced(self.position, end, **({"lost": end - begin} if lost else {}))
        return Processed(Commit(begin, position, _NO_ROWS))

    def write(self, commit: Commit) -> list[OutboxEntry]:
        """Store a commit; see ``Store.write``."""
        return self.store.write(commit)

    def snapshot(self) -> None:
        """Store the detection state, unless the newest snapshot is of this position."""
        if self.store.snapshot_offset != self.position.next_offset:
            self.store.write_snapshot(self._taken_snapshot())

    def prune(self, seam: int) -> bool:
        """Delete stored segments below the seam; see ``Store.prune``."""
        if self.store.snapshot_offset < seam <= self.position.next_offset:
            self.snapshot()
        return self.store.prune(seam)

    def close(self) -> None:
        """Close the store and give up its lock."""
        self.store.close()

    def _due_snapshot(self, events: int) -> bytes | None:
        self._since_snapshot += events
        due = max(self._snapshot_events, self._snapshot_bytes // _SNAPSHOT_BYTES_PER_EVENT)
        return self._taken_snapshot() if self._since_snapshot >= due else None

    def _taken_snapshot(self) -> bytes:
        state: bytes = self.engine.snapshot()
        self._since_snapshot, self._snapshot_bytes = 0, len(state)
        return state


def _keyed(decoded: Decoded, result: Result) -> list[tuple[int, int, bytes]]:
    offsets = decoded.events.column("offset")
    keyed: list[tuple[int, int, bytes]] = []
    for row, alert in result.alerts:
        offset = offsets[row].as_py()
        ordinal = keyed[-1][1] + 1 if keyed and keyed[-1][0] == offset else 0
        keyed.append((offset, ordinal, snake_case(alert)))
    return keyed
