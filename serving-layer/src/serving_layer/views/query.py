"""What a list or a count asks for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Conditions that all must hold; None asks for nothing.

    Times are event times, Unix ms, ``[start_time, end_time)``. Scores are inclusive bounds.
    """

    user: str | None = None
    event_type: str | None = None
    status: str | None = None
    source_ip: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    min_threat: float | None = None
    max_threat: float | None = None
    anomalies_only: bool = False
    min_anomaly_score: float | None = None

    def only_type_and_status(self) -> bool:
        """Whether pre-aggregated rows per type and status can answer a count."""
        return self == EventFilter(
            event_type=self.event_type,
            status=self.status,
            anomalies_only=self.anomalies_only,
        )
