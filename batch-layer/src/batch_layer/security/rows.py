"""Rows of the batch view: events with their scores, alerts, hourly aggregates."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.alerts import ALERT_SCHEMA, Alert
from contracts.views import AGGREGATE_SCHEMA, BATCH_EVENT_SCHEMA, COMPONENTS, HIGH_THREAT_SCORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from contracts.decoder import Decoded
    from detection import Result

_MS_PER_HOUR = 3_600_000
_KEYS = ["hour", "event_type", "status"]
_SUMS = tuple(name for name in AGGREGATE_SCHEMA.names if name not in _KEYS)


def event_rows(batch: pa.RecordBatch, decoded: "Decoded", result: "Result") -> pa.Table:
    """Join records, their decoded columns and their scores; duplicates are left out.

    Args:
        batch: The records as read: topic, partition, offset, ingested_at, value.
        decoded: What the decoder made of them.
        result: What detection made of ``decoded.events``.
    """
    records = batch.take(pa.array(decoded.indexes, pa.int64()))
    events = decoded.events
    columns: dict[str, pa.Array] = {
        name: records[name] for name in ("topic", "partition", "offset", "ingested_at")
    }
    columns |= {
        name: events[name] for name in BATCH_EVENT_SCHEMA.names if name in events.schema.names
    }
    columns["anomaly_score"] = _nullable(result.anomaly_score)
    columns["is_anomaly"] = pa.array(np.asarray(result.is_anomaly, dtype=bool))
    components = np.asarray(result.components)
    columns |= {name: _nullable(components[:, i]) for i, name in enumerate(COMPONENTS)}
    columns["reasons"] = pa.array(result.reasons, pa.list_(pa.string()))
    columns["raw"] = records["value"]
    table = pa.table(
        [columns[field.name].cast(field.type) for field in BATCH_EVENT_SCHEMA],
        schema=BATCH_EVENT_SCHEMA,
    )
    return table.filter(pa.array(~np.asarray(result.duplicate, dtype=bool)))


def alert_rows(
    topic: str, partition: int, events: pa.RecordBatch, alerts: list[tuple[int, Alert]]
) -> pa.Table:
    """Return alerts as rows, each with the coordinates of the event that raised it."""
    offsets = events["offset"]
    rows = [
        {"topic": topic, "partition": partition, "offset": offsets[row].as_py()}
        | alert.model_dump(by_alias=False)
        for row, alert in alerts
    ]
    return pa.Table.from_pylist(rows, schema=ALERT_SCHEMA)


def aggregate_rows(events: pa.Table) -> pa.Table:
    """Count events by hour, type and status: ``AGGREGATE_SCHEMA``."""
    threat = events["threat_score"]
    # Event times are positive, so division toward zero rounds down.
    hour = pc.multiply(pc.divide(events["timestamp"], _MS_PER_HOUR), _MS_PER_HOUR)
    high = pc.fill_null(pc.greater_equal(threat, HIGH_THREAT_SCORE), False)
    ones = pa.array(np.ones(events.num_rows, dtype=np.int64))
    return sum_aggregates(
        [
            pa.table(
                {
                    "hour": hour,
                    "event_type": events["event_type"],
                    "status": events["status"],
                    "events": ones,
                    "anomalies": pc.cast(events["is_anomaly"], pa.int64()),
                    "high_threat_events": pc.cast(high, pa.int64()),
                    "threat_score_sum": pc.fill_null(threat, 0.0),
                    "threat_score_count": pc.cast(pc.is_valid(threat), pa.int64()),
                }
            )
        ]
    )


def sum_aggregates(tables: list[pa.Table]) -> pa.Table:
    """Add up rows of the same hour, type and status, sorted by these."""
    together = pa.concat_tables(tables)
    grouped = together.group_by(_KEYS).aggregate([(name, "sum") for name in _SUMS])
    return (
        grouped.select([*_KEYS, *(f"{name}_sum" for name in _SUMS)])
        .rename_columns(AGGREGATE_SCHEMA.names)
        .cast(AGGREGATE_SCHEMA)
        .sort_by([(name, "ascending") for name in _KEYS])
    )


def _nullable(values: "NDArray[np.float64]") -> pa.Array:
    """Return floats with null where there is NaN."""
    values = np.ascontiguousarray(values, dtype=np.float64)
    return pa.array(values, mask=np.isnan(values))
