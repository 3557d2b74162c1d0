"""The batch view: everything of the published run that answers need, in memory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from contracts.views import Manifest, PartitionSeam
from serving_layer.views.alert_list import AlertList
from serving_layer.views.columns import distinct
from serving_layer.views.index import EventIndex
from serving_layer.views.query import EventFilter
from serving_layer.views.streams import stream_code
from serving_layer.views.users import UserTable


@dataclass(frozen=True, slots=True)
class Aggregates:
    """Sums of the run's pre-aggregated rows."""

    events: Mapping[tuple[str | None, str | None], int] = field(default_factory=dict)
    """Events by (event type, status)."""
    anomalies: Mapping[tuple[str | None, str | None], int] = field(default_factory=dict)
    high_threat_events: int = 0
    threat_score_sum: float = 0.0
    threat_score_count: int = 0

    @classmethod
    def of(cls, table: pa.Table) -> "Aggregates":
        """Sum rows of ``AGGREGATE_SCHEMA``."""
        by_kind = table.group_by(["event_type", "status"], use_threads=False).aggregate(
            [("events", "sum"), ("anomalies", "sum")]
        )
        keys = list(
            zip(by_kind["event_type"].to_pylist(), by_kind["status"].to_pylist(), strict=True)
        )

        def total(name: str) -> float:
            return pc.sum(table[name]).as_py() or 0

        return cls(
            events=dict(zip(keys, by_kind["events_sum"].to_pylist(), strict=True)),
            anomalies=dict(zip(keys, by_kind["anomalies_sum"].to_pylist(), strict=True)),
            high_threat_events=int(total("high_threat_events")),
            threat_score_sum=float(total("threat_score_sum")),
            threat_score_count=int(total("threat_score_count")),
        )

    def count(self, wanted: EventFilter) -> int:
        """Return how many events of a type and status there are, or anomalies of them."""
        counts = self.anomalies if wanted.anomalies_only else self.events
        return sum(
            number
            for (event_type, status), number in counts.items()
            if wanted.event_type in (None, event_type) and wanted.status in (None, status)
        )


@dataclass(frozen=True, slots=True)
class Held:
    """Rows that are really held of one partition: all, and distinct ones by offset."""

    rows: int = 0
    distinct: int = 0


@dataclass(frozen=True)
class BatchView:
    """Immutable; ``manifest`` is None before the first run, and the view is empty."""

    manifest: Manifest | None = None
    indexes: tuple[EventIndex, ...] = ()
    alerts: AlertList = field(default_factory=AlertList)
    aggregates: Aggregates = field(default_factory=Aggregates)
    users: UserTable = field(default_factory=UserTable)
    report: bytes | None = None
    held: Mapping[int, Held] = field(default_factory=dict)

    @property
    def run_id(self) -> str | None:
        return self.manifest.run_id if self.manifest else None

    @cached_property
    def segments(self) -> dict[int, str]:
        """Name of each cluster of users, from the run's report; none where no model made them."""
        report = orjson.loads(self.report) if self.report else None
        segments = report.get("segments") if isinstance(report, dict) else None
        return {each["cluster"]: each["name"] for each in segments or []}

    @cached_property
    def partitions(self) -> dict[int, PartitionSeam]:
        """The run's account of each partition, by stream code."""
        seams: Iterable[PartitionSeam] = self.manifest.seam if self.manifest else ()
        return {stream_code(seam.topic, seam.partition): seam for seam in seams}

    @cached_property
    def seam(self) -> dict[int, int]:
        """First offset of each partition that the run does not own."""
        return {stream: seam.next_offset for stream, seam in self.partitions.items()}

    @cached_property
    def rows(self) -> int:
        """Events held."""
        return sum(len(index) for index in self.indexes)


def below(index: EventIndex, seam: Mapping[int, int]) -> EventIndex | None:
    """Return an index of only the rows that a run owns."""
    offsets = -index.columns.negative_offset
    mask = np.zeros(len(index), dtype=bool)
    for stream in index.streams.tolist():
        mask |= (index.columns.stream == stream) & (offsets < seam.get(stream, 0))
    return index.where(mask)


def held_by_stream(indexes: Sequence[EventIndex]) -> dict[int, Held]:
    """Count what indexes really hold, by query and not from any manifest."""
    streams = {stream for index in indexes for stream in index.streams.tolist()}
    held = {}
    for stream in streams:
        offsets = np.concatenate(
            [index.columns.negative_offset[index.columns.stream == stream] for index in indexes]
        )
        held[stream] = Held(len(offsets), len(distinct(offsets)))
    return held
