"""What is kept of a batch, as the control API returns it."""

from datetime import date, datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

FilterValue = str | int | float | bool


class Status(StrEnum):
    """A batch's life: pending, running, then one of three ends."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


UNFINISHED = (Status.PENDING, Status.RUNNING)


class BatchRecord(BaseModel):
    """A batch: what was asked, how far it is, where its data lies. Times are UTC."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    batch_id: str
    status: Status = Status.PENDING
    analysis_type: str
    topic: str | None = Field(None, description="Kafka form only.")
    source_path: str | None = Field(
        None, description="Lake form only: the tables that were read, separated by commas."
    )
    start_offset: dict[str, int] | None = Field(None, description="First offset, by partition.")
    end_offset: dict[str, int] | None = Field(None, description="Offset after the last one.")
    start_date: date | None = None
    end_date: date | None = Field(None, description="Inclusive.")
    filters: dict[str, FilterValue] | None = None
    submit_time: datetime
    start_time: datetime | None = None
    end_time: datetime | None = None
    row_count: int | None = None
    malformed_count: int | None = Field(None, description="Records set aside.")
    delta_raw_path: str | None = None
    delta_agg_path: str | None = None
    malformed_path: str | None = Field(None, description="Where they were set aside.")
    error_message: str | None = None
