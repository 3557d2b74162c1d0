"""What a backtest asks for."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

MAX_LABELS = 100_000
_LATEST = 9_999_999_999_999

EXAMPLE: dict[str, Any] = {
    "threshold": 0.8,
    "start_time": 1767139200000,
    "end_time": 1767225600000,
    "labels": {"evt_0f8fad5bd9cb469f": True},
}


class BacktestRequest(BaseModel):
    """A rule file or a threshold, and a range of event times ``[start_time, end_time)``."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})

    rule: Annotated[str, StringConstraints(min_length=1, max_length=200_000)] | None = Field(
        None, description="Text of a rule file; see how to write a rule."
    )
    threshold: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False, description="Anomaly score from which on to fire."
    )
    start_time: int = Field(0, ge=0, le=_LATEST, description="Unix ms, inclusive.")
    end_time: int = Field(_LATEST, ge=0, le=_LATEST, description="Unix ms, exclusive.")
    labels: dict[str, bool] = Field(
        default_factory=dict,
        max_length=MAX_LABELS,
        description="Events whose truth is known: true for an attack.",
    )

    @model_validator(mode="after")
    def _fits(self) -> "BacktestRequest":
        if (self.rule is None) == (self.threshold is None):
            raise ValueError("give either a rule or a threshold")
        if self.start_time >= self.end_time:
            raise ValueError("start_time must lie before end_time")
        return self
