"""Bodies that the REST services exchange with each other and with clients."""

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from contracts.alerts import Severity

T = TypeVar("T")

Source = Literal["batch", "realtime"]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Page(_Body, Generic[T]):
    """One page of a merged list, newest first."""

    data: list[T]
    next_cursor: str | None = Field(None, description="Pass as `cursor` for the next page.")
    complete: bool = Field(True, description="False while a part of the data cannot be reached.")
    incomplete_reason: str | None = None
    sources: dict[Source, int] = Field(
        default_factory=dict, description="Rows of this page by the layer they came from."
    )


class Count(_Body):
    """An exact count over the merged view and each layer's share of it."""

    count: int
    batch: int
    realtime: int
    complete: bool = True


class EventRecord(BaseModel):
    """A stored event: every key it arrived with, and what the system added."""

    model_config = ConfigDict(frozen=True, extra="allow")

    event_id: str
    timestamp: int = Field(description="Event time, Unix ms.")
    event_type: str
    user: str
    anomaly_score: float | None = None
    is_anomaly: bool = False
    topic: str
    partition: int
    offset: int
    ingested_at: int = Field(description="Broker time, Unix ms.")
    source: Source


class AnomalyRecord(_Body):
    """An anomalous event with its score, the parts of it, and the reasons in words."""

    event_id: str
    user: str
    timestamp: int
    event_type: str
    source_ip: str | None = None
    anomaly_score: float = Field(ge=0, le=1)
    time_anomaly: float
    ip_anomaly: float
    location_anomaly: float
    type_anomaly: float
    failure_anomaly: float
    device_anomaly: float = 0.0
    process_anomaly: float = 0.0
    port_anomaly: float = 0.0
    path_anomaly: float = 0.0
    volume_anomaly: float = 0.0
    reasons: list[str] = Field(default_factory=list)
    source: Source


class FeatureReason(_Body):
    """A feature that set a user apart in a batch run."""

    feature: str
    value: float
    typical: tuple[float, float, float] = Field(
        description="5th percentile, median and 95th percentile of the population."
    )
    contribution: float | None = Field(
        None, description="Share in what sets the score apart from a typical user's."
    )


class UserAnomaly(_Body):
    """A user's verdict in the published batch run."""

    user: str
    is_anomaly: bool
    anomaly_score: float
    anomaly_score_normalized: float
    total_events: int
    avg_threat_score: float | None = None
    unique_ips: int
    failed_auth_rate: float | None = None
    cluster: int | None = None
    first_seen: int
    last_seen: int
    features: dict[str, float | None] = Field(default_factory=dict)
    reasons: list[FeatureReason] = Field(default_factory=list)
    run_id: str | None = None


class Summary(_Body):
    """Totals over the merged view, in the spelling of older clients."""

    totalEvents: int
    highThreatEvents: int
    averageThreatScore: float
    totalAnalyses: int
    totalAnomalies: int
    batchEvents: int = Field(description="Share of totalEvents that the batch view holds.")
    realtimeEvents: int
    complete: bool = True


class PartitionConsistency(_Body):
    """One partition's account: every offset is one of these, once."""

    topic: str
    partition: int
    first_offset: int
    seam: int
    next_offset: int
    batch_rows: int
    realtime_rows: int
    dead_letters: int
    duplicates: int
    skipped: int
    missing: int
    double: int


class Consistency(_Body):
    """Proof that the merged view holds every offset exactly once."""

    missing: int
    double: int
    run_id: str | None = None
    complete: bool = True
    partitions: list[PartitionConsistency]


class Analysis(_Body):
    """A written explanation of an anomalous event or alert."""

    id: str
    event_id: str
    alert_id: str | None = None
    user: str
    severity: Severity
    summary: str
    recommended_actions: list[str] = Field(default_factory=list)
    techniques: list[str] = Field(default_factory=list)
    confidence: float = Field(ge=0, le=1)
    mode: str = Field(description="`evidence` without a language model, else the model's name.")
    created_at: int = Field(description="Unix ms.")
