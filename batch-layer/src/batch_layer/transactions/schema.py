"""Spark's view of a transaction, derived from the contract."""

import pyarrow as pa
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import (
    DateType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from contracts.transactions import TRANSACTION_SCHEMA

CORRUPT = "_corrupt_record"
"""Where ``from_json`` leaves the text of a record that is not JSON or has a wrongly typed field."""

TRANSACTION_TYPE: StructType = from_arrow_schema(TRANSACTION_SCHEMA)
"""The 31 columns of the contract."""

REQUIRED = tuple(field.name for field in TRANSACTION_SCHEMA if not field.nullable)

COLUMNS = tuple(TRANSACTION_SCHEMA.names)

FILTERABLE: dict[str, pa.DataType] = {
    **{field.name: field.type for field in TRANSACTION_SCHEMA},
    "event_date": pa.date32(),
}
"""Columns a lake batch may filter by."""


def _nullable(fields: list[StructField]) -> StructType:
    return StructType([StructField(field.name, field.dataType, nullable=True) for field in fields])


STORED_TYPE = _nullable(
    [
        *TRANSACTION_TYPE.fields,
        StructField("event_date", DateType()),
        StructField("source_topic", StringType()),
        StructField("source_partition", IntegerType()),
        StructField("source_offset", LongType()),
    ]
)
"""A stored transaction: the contract's columns, its day, and the record it came from."""

MALFORMED_COLUMNS = (
    "source_topic",
    "source_partition",
    "source_offset",
    "broker_time",
    "key",
    "value",
    "reason",
    "error",
)


def wire_type() -> StructType:
    """Return the type records are parsed with: times stay text, so that each can be judged."""
    fields = [
        StructField(field.name, StringType())
        if isinstance(field.dataType, TimestampType)
        else field
        for field in TRANSACTION_TYPE.fields
    ]
    return _nullable([*fields, StructField(CORRUPT, StringType())])
