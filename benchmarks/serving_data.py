"""Data of ``bench_serving``: a batch run on disk, and the realtime rows above its seam.

A part of the events is generated and decoded by the contract's decoder; the rest repeats it with event
ids, times and offsets of its own. Scores are made up: every 50th event is anomalous.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.alerts import ALERT_SCHEMA
from contracts.decoder import decode
from contracts.lake import SECURITY, manifest_path, run_directory
from contracts.topics import SECURITY_EVENTS
from contracts.views import (
    AGGREGATE_SCHEMA,
    BATCH_EVENT_SCHEMA,
    COMPONENTS,
    HIGH_THREAT_SCORE,
    SEGMENT_SCHEMA,
    USER_SCHEMA,
    Manifest,
    PartitionSeam,
    ViewFile,
)
from event_generator.clock import EventClock
from event_generator.security.stream import BATCH_SIZE, SecurityScenario, SecurityStream

PARTITIONS = 4
USERS = 2_000
START_MS = 1_700_000_000_000
_EVENTS_PER_SECOND = 1_000
_HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Repeated:
    """Events of every partition: ``tables[p]`` over and over."""

    tables: list[pa.Table]

    @property
    def rows(self) -> int:
        """Rows of one repetition of a partition."""
        return int(min(table.num_rows for table in self.tables))

    def chunks(self, partition: int, first: int, end: int) -> Iterator[pa.Table]:
        """Yield the events of offsets ``[first, end)`` as ``SEGMENT_SCHEMA`` rows."""
        while first < end:
            turn, at = divmod(first, self.rows)
            stop = min(end, (turn + 1) * self.rows)
            yield self._chunk(partition, turn, at, stop - first)
            first = stop

    def event_id(self, partition: int, offset: int) -> str:
        """Return the id of an event."""
        return f"evt_{offset * PARTITIONS + partition:016x}"

    def time_ms(self, offset: int) -> int:
        """Return about when an event took place."""
        return START_MS + offset * PARTITIONS * 1_000 // _EVENTS_PER_SECOND

    def _chunk(self, partition: int, turn: int, at: int, rows: int) -> pa.Table:
        table = self.tables[partition].slice(at, rows)
        first = turn * self.rows + at
        offsets = np.arange(first, first + rows)
        later = turn * (self.time_ms(self.rows) - START_MS)
        times = pc.add(table["timestamp"], later)
        values = {
            "offset": pa.array(offsets),
            "event_id": pa.array([self.event_id(partition, n) for n in offsets.tolist()]),
            "timestamp": times,
            "ingested_at": times,
        }
        columns = [values.get(name, table[name]) for name in SEGMENT_SCHEMA.names]
        return pa.table(columns, names=SEGMENT_SCHEMA.names).cast(SEGMENT_SCHEMA)


def generated(count: int) -> Repeated:
    """Generate and decode so many events."""
    clock = EventClock.at_rate(START_MS, _EVENTS_PER_SECOND)
    stream = SecurityStream(SecurityScenario(seed=7, clock=clock, users=USERS))
    values: list[bytes] = []
    for index in range(-(-count // BATCH_SIZE)):
        values.extend(text.encode() for text in stream.batch(index).values)
    return Repeated([_scored(values[part:count:PARTITIONS]) for part in range(PARTITIONS)])


def _scored(values: list[bytes]) -> pa.Table:
    rng = np.random.default_rng(len(values))
    events = decode(SECURITY_EVENTS, 0, range(len(values)), values).events
    rows = events.num_rows
    anomalous = rng.random(rows) < 1 / 50
    reasons = pa.array([["first sight of this address"] if flag else None for flag in anomalous])
    made = {
        "ingested_at": events["timestamp"],
        "kind": pa.array(np.zeros(rows, np.uint8)),
        "anomaly_score": pa.array(np.where(anomalous, 0.7, 0.1) + rng.random(rows) * 0.2),
        "is_anomaly": pa.array(anomalous),
        "reasons": reasons.cast(pa.list_(pa.string())),
        "raw": pa.array(values, pa.binary()),
        **{name: pa.array(rng.random(rows)) for name in COMPONENTS},
    }
    columns = [made[name] if name in made else events[name] for name in SEGMENT_SCHEMA.names]
    return pa.table(columns, schema=SEGMENT_SCHEMA)


def write_run(
    lake: Path, run_id: str, events: Repeated, seam: int, before: tuple[Manifest, int] | None = None
) -> Manifest:
    """Write a run that owns offsets below ``seam`` of each partition; ``CURRENT`` stays.

    Args:
        lake: The lake.
        run_id: Name of the run.
        events: What every partition holds.
        seam: First offset that the run does not own.
        before: The run that it continues, with its seam; its event files are listed again.
    """
    folder = run_directory(run_id).relative_to(SECURITY)
    (lake / SECURITY / folder).mkdir(parents=True)
    first = before[1] if before else 0
    files, sums = [], []
    for partition in range(PARTITIONS):
        file, rows = _event_file(lake, folder, events, partition, first, seam)
        files.append(file)
        sums += rows
    aggregates = _written(lake, folder / "aggregates.parquet", pa.concat_tables(sums))
    alerts = _written(lake, folder / "alerts.parquet", ALERT_SCHEMA.empty_table())
    users = _written(lake, folder / "users/is_anomaly=0/users.parquet", USER_SCHEMA.empty_table())
    (lake / SECURITY / folder / "anomaly_report.json").write_text("{}")
    part = {"topic": SECURITY_EVENTS, "first_offset": 0, "next_offset": seam, "rows": seam}
    manifest = Manifest(
        run_id=run_id,
        created_at=int(time.time() * 1000),
        full=before is None,
        detection_version="bench",
        scorer="bench",
        algorithm="isolation_forest",
        seam=[PartitionSeam(partition=number, **part) for number in range(PARTITIONS)],
        event_files=[*(before[0].event_files if before else []), *files],
        alert_files=[alerts],
        aggregate_files=[*(before[0].aggregate_files if before else []), aggregates],
        user_files=[users],
        state_files=[],
        report=str(folder / "anomaly_report.json"),
    )
    (lake / manifest_path(run_id)).write_text(manifest.model_dump_json())
    return manifest


def _event_file(
    lake: Path, folder: Path, events: Repeated, partition: int, first: int, seam: int
) -> tuple[ViewFile, list[pa.Table]]:
    """Write one partition's events; return the file and its aggregates."""
    path = folder / f"events-{partition}.parquet"
    sums = []
    with pq.ParquetWriter(lake / SECURITY / path, BATCH_EVENT_SCHEMA, compression="zstd") as writer:
        for chunk in events.chunks(partition, first, seam):
            writer.write_table(batch_rows(chunk, partition), row_group_size=131_072)
            sums.append(_aggregated(chunk))
    size = (lake / SECURITY / path).stat().st_size
    return ViewFile(path=str(path), rows=seam - first, bytes=size), sums


def batch_rows(table: pa.Table, partition: int) -> pa.Table:
    """Return the rows of one partition in ``BATCH_EVENT_SCHEMA``."""
    rows = table.num_rows
    columns = {
        "topic": pa.array([SECURITY_EVENTS] * rows),
        "partition": pa.array(np.full(rows, partition, np.int32)),
    }
    return pa.table(
        [columns[name] if name in columns else table[name] for name in BATCH_EVENT_SCHEMA.names],
        schema=BATCH_EVENT_SCHEMA,
    )


def _aggregated(events: pa.Table) -> pa.Table:
    hours = pc.multiply(pc.divide(events["timestamp"], _HOUR_MS), _HOUR_MS)
    threat = events["threat_score"]
    high = pc.fill_null(pc.greater_equal(threat, HIGH_THREAT_SCORE), False)
    table = pa.table(
        {
            "hour": hours,
            "event_type": events["event_type"],
            "status": events["status"],
            "threat": threat,
            "anomaly": pc.cast(events["is_anomaly"], pa.int64()),
            "high": pc.cast(high, pa.int64()),
        }
    )
    keys = ["hour", "event_type", "status"]
    sums = table.group_by(keys).aggregate(
        [([], "count_all"), ("anomaly", "sum"), ("high", "sum"), ("threat", "sum"),
         ("threat", "count")]
    )  # fmt: skip
    names = ("count_all", "anomaly_sum", "high_sum", "threat_sum", "threat_count")
    return pa.table([sums[name] for name in (*keys, *names)], names=AGGREGATE_SCHEMA.names).cast(
        AGGREGATE_SCHEMA
    )


def _written(lake: Path, path: Path, table: pa.Table) -> ViewFile:
    target = lake / SECURITY / path
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, target, compression="zstd")
    return ViewFile(path=str(path), rows=table.num_rows, bytes=target.stat().st_size)
