"""The view files of one partition in one run, each written under a name of its own attempt."""

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from batch_layer.errors import RunAlreadyRunningError
from batch_layer.security.rows import aggregate_rows, sum_aggregates
from contracts.alerts import ALERT_SCHEMA
from contracts.lake import state_name
from contracts.views import AGGREGATE_SCHEMA, BATCH_EVENT_SCHEMA

ROW_GROUP_ROWS = 65_536
_ROW_GROUP_BYTES = 64 * 1024 * 1024
_AGGREGATE_ROWS = 100_000

_DICTIONARY_COLUMNS = ["topic", "partition", "user", "event_type", "status", "source_ip", "reasons"]


def view_name(topic: str, partition: int) -> str:
    """Return the file name of one partition's rows in a run's event, alert, aggregate folders."""
    return f"{topic}-{partition}.parquet"


class PartitionFiles:
    """Writes events, alerts, aggregates and state of one partition.

    Use as a context manager: a task that fails, or that runs twice, leaves no half file under a
    final name.
    """

    def __init__(self, run_directory: Path, topic: str, partition: int) -> None:
        self._run_directory = run_directory
        self._name = view_name(topic, partition)
        self._state_name = state_name(topic, partition)
        self._attempt = uuid.uuid4().hex
        self._drafts: list[tuple[Path, Path]] = []
        self._events: list[pa.Table] = []
        self._alerts: list[pa.Table] = []
        self._aggregates: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None
        self._open = ExitStack()

    def append(self, events: pa.Table, alerts: pa.Table) -> None:
        """Add rows that follow those before in offset order."""
        if events.num_rows:
            self._events.append(events)
            self._aggregates.append(aggregate_rows(events))
        if alerts.num_rows:
            self._alerts.append(alerts)
        rows = sum(table.num_rows for table in self._events)
        if rows >= ROW_GROUP_ROWS:
            self._write_events(rows - rows % ROW_GROUP_ROWS)
        elif sum(table.nbytes for table in self._events) >= _ROW_GROUP_BYTES:
            self._write_events(rows)
        if sum(table.num_rows for table in self._aggregates) > _AGGREGATE_ROWS:
            self._aggregates = [sum_aggregates(self._aggregates)]

    def close(self, state: bytes) -> int:
        """Write what is left and give every file its final name.

        Returns:
            The number of aggregate rows.
        """
        self._write_events()
        self._open.close()
        if self._alerts:
            write_parquet(self._draft("alerts"), pa.concat_tables(self._alerts), ALERT_SCHEMA)
        aggregates = 0
        if self._aggregates:
            table = sum_aggregates(self._aggregates)
            aggregates = table.num_rows
            write_parquet(self._draft("aggregates"), table, AGGREGATE_SCHEMA)
        self._draft("state", self._state_name).write_bytes(state)
        for draft, final in self._drafts:
            sync(draft)
            draft.replace(final)
        self._drafts = []
        return aggregates

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()
        for draft, _ in self._drafts:
            draft.unlink(missing_ok=True)

    def _write_events(self, rows: int | None = None) -> None:
        """Write the first ``rows`` waiting rows (all of them if None) in whole row groups."""
        if not self._events:
            return
        if self._writer is None:
            self._writer = self._open.enter_context(event_writer(self._draft("events")))
        waiting = pa.concat_tables(self._events)
        rows = waiting.num_rows if rows is None else rows
        self._writer.write_table(waiting.slice(0, rows), row_group_size=ROW_GROUP_ROWS)
        self._events = [waiting.slice(rows)] if rows < waiting.num_rows else []

    def _draft(self, folder: str, name: str | None = None) -> Path:
        final = self._run_directory / folder / (name or self._name)
        final.parent.mkdir(parents=True, exist_ok=True)
        draft = final.with_name(f".{final.name}.{self._attempt}")
        self._drafts.append((draft, final))
        return draft


def event_writer(path: Path) -> pq.ParquetWriter:
    """Open an event file: one sorted by offset, quick to prune and to look ids up in."""
    return pq.ParquetWriter(
        path,
        BATCH_EVENT_SCHEMA,
        compression="zstd",
        use_dictionary=_DICTIONARY_COLUMNS,
        sorting_columns=[pq.SortingColumn(BATCH_EVENT_SCHEMA.get_field_index("offset"))],
        bloom_filter_options={"event_id": {"ndv": ROW_GROUP_ROWS, "fpp": 0.01}},
        write_page_index=True,
        write_page_checksum=True,
    )


def write_parquet(path: Path, table: pa.Table, schema: pa.Schema) -> None:
    """Write a small table."""
    pq.write_table(table.cast(schema), path, compression="zstd", write_page_checksum=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, so that two runs do not write to it; it ends with the process.

    Raises:
        RunAlreadyRunningError: If another process, or another run of this one, holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunAlreadyRunningError(f"a security run is going on in {folder}") from error
        yield


def sync(path: Path) -> None:
    """Make sure a file's bytes outlive a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
