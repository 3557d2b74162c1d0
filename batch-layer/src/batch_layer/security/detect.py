"""Detection over one partition's records, in offset order: what a Spark task runs.

The same decoder and the same engine as in the speed layer, so the same events get the same
scores. A task writes its view files itself and returns one small row: events never pass through
the driver.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from batch_layer.security.files import PartitionFiles
from batch_layer.security.progress import tell
from batch_layer.security.rows import alert_rows, event_rows
from contracts.decoder import decode
from detection import Engine, Scorer, StateError

if TYPE_CHECKING:
    from collections.abc import Callable

INPUT_COLUMNS = ("topic", "partition", "offset", "ingested_at", "value")

SUMMARY_SCHEMA = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("rows", pa.int64()),
        ("dead_letters", pa.int64()),
        ("duplicates", pa.int64()),
        ("alerts", pa.int64()),
        ("aggregates", pa.int64()),
        ("state_error", pa.string()),
    ]
)
SUMMARY_DDL = (
    "topic string, partition int, rows long, dead_letters long, duplicates long, alerts long, "
    "aggregates long, state_error string"
)


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """One partition's part of a run: its new offsets ``[start, end)`` and where it continues."""

    topic: str
    partition: int
    start: int
    end: int
    state_file: Path | None


@dataclass(frozen=True, slots=True)
class DetectionPlan:
    """What the tasks of a run need to know; pickled to them."""

    run_directory: Path
    scorer: Scorer
    partitions: tuple[PartitionPlan, ...]

    def of(self, topic: str, partition: int) -> PartitionPlan:
        """Return one partition's plan."""
        for plan in self.partitions:
            if (plan.topic, plan.partition) == (topic, partition):
                return plan
        raise KeyError(f"{topic}[{partition}] is not part of the run")


@dataclass(slots=True)
class PartitionSummary:
    """What became of the records of one partition."""

    topic: str
    partition: int
    rows: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    alerts: int = 0
    aggregates: int = 0
    state_error: str | None = None

    @property
    def records(self) -> int:
        """Records read."""
        return self.rows + self.dead_letters + self.duplicates


@dataclass(slots=True)
class PartitionDetection:
    """Runs batches of one partition through decoder and engine, and counts."""

    engine: Engine
    summary: PartitionSummary
    _last_offset: int = field(default=-1)

    def process(self, batch: pa.RecordBatch) -> tuple[pa.Table, pa.Table]:
        """Process records in offset order.

        Args:
            batch: Columns ``INPUT_COLUMNS``.

        Returns:
            New rows of the view: events (``BATCH_EVENT_SCHEMA``) and alerts (``ALERT_SCHEMA``).

        Raises:
            ValueError: If an offset does not follow the one before.
        """
        self._check_order(batch["offset"])
        topic, partition = self.summary.topic, self.summary.partition
        decoded = decode(topic, partition, batch["offset"].to_pylist(), batch["value"].to_pylist())
        result = self.engine.process(decoded.events)
        events = event_rows(batch, decoded, result)
        alerts = alert_rows(topic, partition, decoded.events, result.alerts)
        self.summary.rows += events.num_rows
        self.summary.dead_letters += len(decoded.rejects)
        self.summary.duplicates += decoded.events.num_rows - events.num_rows
        self.summary.alerts += alerts.num_rows
        return events, alerts

    def _check_order(self, offsets: pa.Array) -> None:
        follows = pc.all(pc.greater(offsets[1:], offsets[:-1])).as_py()
        if offsets[0].as_py() <= self._last_offset or follows is False:
            raise ValueError(
                f"{self.summary.topic}[{self.summary.partition}]: the master dataset holds an "
                f"offset twice between {offsets[0].as_py()} and {offsets[-1].as_py()}"
            )
        self._last_offset = offsets[-1].as_py()


def detection_task(
    plan: DetectionPlan,
) -> "Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]":
    """Return the function for ``mapInArrow``."""
    return partial(_detect, plan)


def _detect(plan: DetectionPlan, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Process one task's records, all of one partition, sorted by offset; yield its summary."""
    batches = (batch for batch in batches if batch.num_rows)
    first = next(batches, None)
    if first is None:
        return
    part = plan.of(first["topic"][0].as_py(), first["partition"][0].as_py())
    summary = PartitionSummary(part.topic, part.partition)
    try:
        engine = restored_engine(part, plan.scorer)
    except (OSError, StateError) as error:  # the driver decides what to do about it
        summary.state_error = f"{type(error).__name__}: {error}"
        yield _summary_batch(summary)
        return
    detection = PartitionDetection(engine, summary)
    with PartitionFiles(plan.run_directory, part.topic, part.partition) as files:
        for batch in _chain(first, batches):
            files.append(*detection.process(batch))
            tell(plan.run_directory, f"{part.topic}-{part.partition}", summary.records)
        summary.aggregates = files.close(engine.snapshot())
    yield _summary_batch(summary)


def restored_engine(part: PartitionPlan, scorer: Scorer) -> Engine:
    """Return the engine where the last run left it, or a new one.

    Raises:
        OSError: If the state file cannot be read.
        StateError: If it is damaged, or of another version of detection.
    """
    if part.state_file is None:
        return Engine(scorer=scorer)
    return Engine.restore(part.state_file.read_bytes())


def _chain(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest


def _summary_batch(summary: PartitionSummary) -> pa.RecordBatch:
    row = {name: getattr(summary, name) for name in SUMMARY_SCHEMA.names}
    return pa.RecordBatch.from_pylist([row], schema=SUMMARY_SCHEMA)
