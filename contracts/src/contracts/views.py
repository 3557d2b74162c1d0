"""Rows and files that the two layers publish and the serving layer merges."""

from enum import IntEnum
from typing import Literal, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from contracts.errors import DamagedManifestError

COMPONENTS: tuple[str, ...] = (
    "time_anomaly",
    "ip_anomaly",
    "location_anomaly",
    "type_anomaly",
    "failure_anomaly",
    "device_anomaly",
    "process_anomaly",
    "port_anomaly",
    "path_anomaly",
    "volume_anomaly",
)
"""Parts of an anomaly score, each 0..1: the five of the API, then ours."""


class RecordKind(IntEnum):
    """What became of a record. Every offset read has exactly one."""

    EVENT = 0
    DEAD_LETTER = 1
    DUPLICATE = 2


_SCORED = [
    ("event_id", pa.string()),
    ("user", pa.string()),
    ("timestamp", pa.int64()),
    ("event_type", pa.string()),
    ("status", pa.string()),
    ("source_ip", pa.string()),
    ("threat_score", pa.float64()),
    ("anomaly_score", pa.float64()),
    ("is_anomaly", pa.bool_()),
    *((name, pa.float64()) for name in COMPONENTS),
    ("reasons", pa.list_(pa.string())),
    ("raw", pa.binary()),
]

SEGMENT_SCHEMA = pa.schema(
    [
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("ingested_at", pa.int64(), nullable=False),
        pa.field("kind", pa.uint8(), nullable=False),
        *_SCORED,
    ]
)
"""One row per record of one partition, in offset order, as the speed layer stores it.

``ingested_at`` is the broker's time of the record, Unix ms. For dead letters and duplicates
every later column is null. ``anomaly_score`` and the components are null where the event was
not scored (unknown user, baseline not ready). ``raw`` is the value as read.
"""

BATCH_EVENT_SCHEMA = pa.schema(
    [
        pa.field("topic", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("ingested_at", pa.int64(), nullable=False),
        *_SCORED,
    ]
)
"""One row per event (no dead letters, no duplicates) in a run's event files."""

HIGH_THREAT_SCORE = 0.7
"""A producer's threat score from which an event counts in ``highThreatEvents``."""

AGGREGATE_SCHEMA = pa.schema(
    [
        ("hour", pa.int64()),
        ("event_type", pa.string()),
        ("status", pa.string()),
        ("events", pa.int64()),
        ("anomalies", pa.int64()),
        ("high_threat_events", pa.int64()),
        ("threat_score_sum", pa.float64()),
        ("threat_score_count", pa.int64()),
    ]
)
"""Counts per event hour (Unix ms of its start), type and status.

The rows of all aggregate files of a manifest are to be summed.
"""

FEATURES: tuple[str, ...] = (
    "total_events",
    "unique_ips",
    "unique_event_types",
    "avg_threat_score",
    "max_threat_score",
    "failed_events",
    "unusual_hour_events",
    "unique_locations",
    "failed_auth_rate",
    "unusual_hour_rate",
    "ip_diversity_score",
    "activity_days",
    "events_per_day",
    "auth_attempt_count",
    "network_connection_count",
    "file_access_count",
    "process_execution_count",
    "dns_query_count",
    "hourly_stddev",
    "hourly_variance",
    "avg_ip_frequency",
    "ip_frequency_stddev",
    "rare_ip_count",
    "rare_ip_ratio",
    "avg_event_interval",
    "event_interval_stddev",
    "min_event_interval",
    "burst_events",
)
"""The 28 features of a user."""

COUNT_FEATURES: frozenset[str] = frozenset(
    {
        "total_events",
        "unique_ips",
        "unique_event_types",
        "failed_events",
        "unusual_hour_events",
        "unique_locations",
        "activity_days",
        "auth_attempt_count",
        "network_connection_count",
        "file_access_count",
        "process_execution_count",
        "dns_query_count",
        "rare_ip_count",
        "burst_events",
    }
)

FEATURE_SCHEMA = pa.schema(
    [
        ("user", pa.string()),
        ("first_seen", pa.int64()),
        ("last_seen", pa.int64()),
        *((name, pa.int64() if name in COUNT_FEATURES else pa.float64()) for name in FEATURES),
    ]
)
"""31 columns: the user, first and last event time (Unix ms), the 28 features."""

USER_SCHEMA = pa.schema(
    [
        *FEATURE_SCHEMA,
        ("anomaly_score", pa.float64()),
        ("anomaly_score_normalized", pa.float64()),
        ("cluster", pa.int32()),
        ("reasons", pa.string()),
    ]
)
"""A user's row in a run's ``users`` files; ``is_anomaly`` is the partition directory.

``reasons`` is a JSON array of ``{feature, value, typical, contribution}`` where ``typical`` is
``[5th percentile, median, 95th percentile]`` of the population and ``contribution`` the feature's
share in what sets the score apart from a typical user's, null where it was not computed.
"""

PatternType = Literal["NORMAL", "SUSPICIOUS", "HIGH_ACTIVITY", "OFF_HOURS"]


class UserPattern(BaseModel):
    """What a batch run sees in a user's behaviour: camelCase on ``analytics-insights``.

    ``pattern_id`` is a hash of run and user: a record that is sent again has the same.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )

    user_id: str
    pattern_id: str
    pattern_type: PatternType
    confidence: float = Field(ge=0, le=1, description="How clear the pattern is.")
    timestamp: int = Field(description="When the run judged, Unix ms.")
    features: dict[str, float | None] = Field(description="The 28 features.")
    user_segment: str = Field(description="Name of the user's segment.")
    risk_score: float = Field(ge=0, le=1, description="`anomaly_score_normalized` of the run.")
    run_id: str

    def to_wire(self) -> bytes:
        """Return the JSON that goes to ``analytics-insights``."""
        return self.model_dump_json(by_alias=True).encode()


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PartitionSeam(_Frozen):
    """One partition's part of a run: everything in ``[first_offset, next_offset)`` is in it.

    ``rows + dead_letters + duplicates + skipped == next_offset - first_offset``.
    """

    topic: str
    partition: int
    first_offset: int = Field(description="First offset the batch view ever covered.")
    next_offset: int = Field(description="The seam: batch owns offsets below, speed the rest.")
    rows: int = Field(description="Events in the view, over all history.")
    dead_letters: int = 0
    duplicates: int = 0
    skipped: int = Field(0, description="Offsets the broker never delivered (control, aborted).")


class ViewFile(_Frozen):
    """A file of a view, by its path relative to ``security/`` in the lake."""

    path: str
    rows: int
    bytes: int


class Manifest(_Frozen):
    """What a published security run holds. Written last; complete when it exists."""

    schema_version: Literal[1] = 1
    run_id: str
    created_at: int = Field(description="Unix ms.")
    previous_run_id: str | None = None
    full: bool = Field(description="True when all history was recomputed.")
    detection_version: str
    scorer: str
    algorithm: str
    seam: list[PartitionSeam]
    event_files: list[ViewFile] = Field(description="All history: also files of earlier runs.")
    alert_files: list[ViewFile]
    aggregate_files: list[ViewFile]
    user_files: list[ViewFile] = Field(description="This run's users.")
    state_files: list[ViewFile] = Field(description="Detection state at the seam, per partition.")
    report: str = Field(description="Path of anomaly_report.json, relative to security/.")
    total_users: int = 0
    anomalous_users: int = 0
    model_run_id: str | None = Field(None, description="The run whose training the model is of.")
    stages: dict[str, float] = Field(default_factory=dict, description="Seconds by stage.")

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the bytes of a ``manifest.json``.

        Raises:
            DamagedManifestError: If they are none; the message names the field.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(map(str, first["loc"]))
            raise DamagedManifestError(
                f"{field}: {first['msg']}" if field else first["msg"]
            ) from error
