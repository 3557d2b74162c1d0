"""Bodies of the control API, and what can be wrong with them."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from batch_layer.errors import InvalidRequestError
from batch_layer.transactions.analyses.catalogue import NAMES
from batch_layer.transactions.records import FilterValue
from batch_layer.transactions.schema import FILTERABLE

_TOPIC_NAME = r"^[A-Za-z0-9._-]{1,249}$"


def _offsets(word: str) -> BeforeValidator:
    """Accept ``word`` or ``{"<partition>": offset}``."""

    def check(value: object) -> object:
        if value == word:
            return value
        if isinstance(value, Mapping) and value and all(map(_is_offset, value.items())):
            return {int(partition): offset for partition, offset in value.items()}
        raise ValueError(f'must be "{word}" or {{"<partition>": offset}} with offsets from 0 on')

    return BeforeValidator(check)


def _is_offset(item: tuple[object, object]) -> bool:
    partition, offset = item
    return (
        isinstance(partition, str)
        and re.fullmatch(r"\d{1,9}", partition) is not None
        and isinstance(offset, int)
        and not isinstance(offset, bool)
        and 0 <= offset < 2**63
    )


def _iso_date(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError("must be a date, yyyy-MM-dd")


def _analysis(value: object) -> object:
    if value not in NAMES:
        raise ValueError(f"must be one of {', '.join(NAMES)}")
    return value


_OFFSET_MAP = {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}
StartOffset = Annotated[
    Any, _offsets("earliest"), WithJsonSchema({"anyOf": [{"const": "earliest"}, _OFFSET_MAP]})
]
EndOffset = Annotated[
    Any, _offsets("latest"), WithJsonSchema({"anyOf": [{"const": "latest"}, _OFFSET_MAP]})
]
IsoDate = Annotated[date, BeforeValidator(_iso_date)]
AnalysisType = Annotated[
    str, BeforeValidator(_analysis), WithJsonSchema({"type": "string", "enum": list(NAMES)})
]
Edge = Literal["earliest", "latest"] | dict[int, int]
"""One end of an offset range."""


class _Body(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


class StreamStartRequest(_Body):
    """Which topic to stream."""

    topic: str = Field("transactions-stream", pattern=_TOPIC_NAME)


class BatchRunRequest(_Body):
    """A batch, in one of two forms: a topic and offsets, or dates and filters over the lake."""

    analysis_type: AnalysisType
    topic: str | None = Field(None, pattern=_TOPIC_NAME, description="Kafka form.")
    start_offset: StartOffset = Field(None, validate_default=False)
    end_offset: EndOffset = Field(None, validate_default=False)
    start_date: IsoDate | None = Field(None, description="Lake form; first day, UTC.")
    end_date: IsoDate | None = Field(None, description="Last day, inclusive.")
    filters: dict[str, Any] | None = Field(None, description="Value each column must have.")

    def check_form(self) -> None:
        """Refuse a mix of the two forms, and a form with a hole.

        Raises:
            InvalidRequestError: naming the field.
        """
        lake = {"startDate": self.start_date, "endDate": self.end_date, "filters": self.filters}
        kafka = {"startOffset": self.start_offset, "endOffset": self.end_offset}
        wrong, form = (lake, "topic") if self.topic is not None else (kafka, "startDate, endDate")
        for field, value in wrong.items():
            if value is not None:
                raise InvalidRequestError(field, f"does not go with the form of {form}")
        if self.topic is not None:
            return
        if self.start_date is None and self.end_date is None:
            raise InvalidRequestError("topic", "give topic, or startDate and endDate")
        if self.start_date is None or self.end_date is None:
            missing = "startDate" if self.start_date is None else "endDate"
            raise InvalidRequestError(missing, "is missing")
        if self.end_date < self.start_date:
            raise InvalidRequestError("endDate", f"{self.end_date} is before {self.start_date}")

    def checked_filters(self) -> dict[str, FilterValue]:
        """Return the filters, each of its column's type.

        Raises:
            InvalidRequestError: naming ``filters.<column>``.
        """
        for column, value in (self.filters or {}).items():
            field = f"filters.{column}"
            if column not in FILTERABLE:
                raise InvalidRequestError(field, "is not a column of transactions")
            if not _fits(value, FILTERABLE[column]):
                raise InvalidRequestError(field, f"must be {_expected(FILTERABLE[column])}")
        return dict(self.filters or {})


def _fits(value: object, kind: pa.DataType) -> bool:
    if pa.types.is_boolean(kind):
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if pa.types.is_integer(kind):
        return isinstance(value, int) and -(2**31) <= value < 2**31
    if pa.types.is_floating(kind):
        return isinstance(value, int | float) and abs(value) < float("inf")
    if not isinstance(value, str):
        return False
    if pa.types.is_string(kind):
        return True
    return _is_time(value) if pa.types.is_timestamp(kind) else _is_date(value)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_date(text: str) -> bool:
    try:
        _iso_date(text)
    except ValueError:
        return False
    return True


def _expected(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "an ISO-8601 time with a zone"
    if pa.types.is_date(kind):
        return "a date, yyyy-MM-dd"
    return {"bool": "true or false", "int32": "an integer", "double": "a number"}.get(
        str(kind), "a string"
    )
