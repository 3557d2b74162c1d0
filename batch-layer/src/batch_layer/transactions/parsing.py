"""JSON records to transactions: one bad record costs only itself.

Spark reads the JSON, as it runs where the data is; every rule of ``contracts.transactions`` is
then a column expression that names the field it found wrong.
"""

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import StringType

from batch_layer.transactions.schema import (
    COLUMNS,
    CORRUPT,
    MALFORMED_COLUMNS,
    REQUIRED,
    STORED_TYPE,
    TRANSACTION_TYPE,
    wire_type,
)
from contracts import transactions as contract
from contracts.events import MAX_TIMESTAMP_MS, MIN_TIMESTAMP_MS
from contracts.topics import MAX_RECORD_BYTES

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_VOCABULARIES: dict[str, tuple[str, ...]] = {
    "category": contract.CATEGORIES,
    "payment_method": contract.PAYMENT_METHODS,
    "transaction_status": contract.STATUSES,
    "channel": contract.CHANNELS,
    "region": contract.REGIONS,
    "customer_tier": contract.TIERS,
    "card_network": contract.CARD_NETWORKS,
    "device_type": contract.DEVICE_TYPES,
}
_RANGES: dict[str, tuple[float, float | None]] = {
    "quantity": (1, None),
    "unit_price": (0, None),
    "discount_percent": (0, 100),
    "fraud_score": (0, 1),
}
_PATTERNS = {
    "transaction_id": (r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", "is not a UUID"),
    "currency": (r"^[A-Z]{3}$", "is not an ISO 4217 code"),
    "customer_id": (r"(?s)^.", "is empty"),
    "product_id": (r"(?s)^.", "is empty"),
}
# A time without a zone is read as UTC, which is what the field is defined to be.
_ISO_TIME = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?$"
_MAX_FLOAT = 1.7976931348623157e308
_JSON_OPTIONS = {
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": CORRUPT,
    "allowNonNumericNumbers": "false",
}


def parsed(records: "DataFrame") -> "DataFrame":
    """Parse and judge Kafka records.

    Args:
        records: Columns of Spark's Kafka source.

    Returns:
        The stored columns of a transaction, and ``key, value, broker_time, reason, error``; the
        last two are null for a good record. Every record that came in comes out.
    """
    text = F.col("value").cast("string")
    read = records.select(
        F.col("topic").alias("source_topic"),
        F.col("partition").alias("source_partition"),
        F.col("offset").alias("source_offset"),
        F.col("timestamp").alias("broker_time"),
        "key",
        "value",
        F.from_json(text, wire_type(), _JSON_OPTIONS).alias("wire"),
    )
    judged = read.withColumn("event_timestamp", _time("event_timestamp")).withColumn(
        "rejection", _rejection(text)
    )
    columns = [_stored(name) for name in COLUMNS]
    return judged.select(
        *columns,
        F.to_date("event_timestamp").alias("event_date"),
        "source_topic",
        "source_partition",
        "source_offset",
        "broker_time",
        "key",
        "value",
        F.col("rejection.reason").alias("reason"),
        F.col("rejection.error").alias("error"),
    )


def valid(parsed_records: "DataFrame") -> "DataFrame":
    """Keep the good records, as stored."""
    return parsed_records.where(F.col("error").isNull()).select(*STORED_TYPE.names)


def malformed(parsed_records: "DataFrame") -> "DataFrame":
    """Keep the bad records: their bytes, where they came from, what is wrong with them."""
    return parsed_records.where(F.col("error").isNotNull()).select(*MALFORMED_COLUMNS)


def _stored(name: str) -> "Column":
    if name == "event_timestamp":
        return F.col(name)
    if name == "processing_timestamp":
        return F.current_timestamp().alias(name)
    return F.col(f"wire.{name}").alias(name)


def _time(name: str) -> "Column":
    text = F.col(f"wire.{name}")
    return F.when(text.rlike(_ISO_TIME), text.try_cast("timestamp"))


def _rejection(text: "Column") -> "Column":
    """Return ``{reason, error}`` of a bad record, null for a good one; the first finding wins."""
    findings = [
        (F.col("value").isNull() | (F.octet_length("value") == 0), "empty", F.lit("no value")),
        (
            F.octet_length("value") > MAX_RECORD_BYTES,
            "too_large",
            F.lit(f"larger than {MAX_RECORD_BYTES} bytes"),
        ),
        (~F.is_valid_utf8(text), "undecodable", F.lit("not UTF-8")),
        # Spark's parser stops after the first object and takes an array's first element.
        (~text.rlike(r"(?s)^\s*\{.*\}\s*$"), "undecodable", F.lit("not a JSON object")),
        (F.col(f"wire.{CORRUPT}").isNotNull(), "invalid", _wrong_types(text)),
        *((bad, "invalid", F.lit(message)) for bad, message in _violations()),
    ]
    none = F.lit(None).cast("struct<reason: string, error: string>")
    return reduce(
        lambda otherwise, finding: F.when(
            finding[0], F.struct(F.lit(finding[1]).alias("reason"), finding[2].alias("error"))
        ).otherwise(otherwise),
        reversed(findings),
        none,
    )


def _wrong_types(text: "Column") -> "Column":
    """Name the fields that were there but could not be read."""
    wrong = [
        F.when(
            F.get_json_object(text, f"$.{field.name}").isNotNull()
            & F.col(f"wire.{field.name}").isNull(),
            F.lit(f"{field.name}: is not of type {field.dataType.simpleString()}"),
        )
        for field in TRANSACTION_TYPE.fields
        if not isinstance(field.dataType, StringType) and field.name not in _TIMES
    ]
    return F.coalesce(*wrong, F.lit("not valid JSON"))


_TIMES = ("event_timestamp", "processing_timestamp")


def _violations() -> "list[tuple[Column, str]]":
    """Return each rule of the contract as (is broken, message)."""
    found = [(F.col(f"wire.{name}").isNull(), f"{name}: is missing") for name in REQUIRED]
    for name, (pattern, problem) in _PATTERNS.items():
        found.append((~F.col(f"wire.{name}").rlike(pattern), f"{name}: {problem}"))
    for name, words in _VOCABULARIES.items():
        found.append(
            (~F.col(f"wire.{name}").isin(*words), f"{name}: not one of {', '.join(words)}")
        )
    for name, (low, high) in _RANGES.items():
        value = F.col(f"wire.{name}")
        found.append((value < low, f"{name}: is below {low}"))
        if high is not None:
            found.append((value > high, f"{name}: is above {high}"))
    found += [
        # NaN compares above every number.
        (F.abs(F.col(f"wire.{name}")) > _MAX_FLOAT, f"{name}: is not finite")
        for name in ("unit_price", "total_amount", "tax_amount")
    ]
    event_time = F.col("event_timestamp")
    found += [
        (event_time.isNull(), "event_timestamp: is not an ISO-8601 time"),
        (
            ~event_time.between(
                F.timestamp_millis(F.lit(MIN_TIMESTAMP_MS)),
                F.timestamp_millis(F.lit(MAX_TIMESTAMP_MS)),
            ),
            "event_timestamp: is out of range",
        ),
    ]
    return found
