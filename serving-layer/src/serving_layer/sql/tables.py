"""A snapshot as Arrow files that the child process maps."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from contracts.alerts import ALERT_SCHEMA
from contracts.views import USER_SCHEMA
from serving_layer.views.index import EventIndex
from serving_layer.views.snapshot import Snapshot
from serving_layer.views.stored import STORED_SCHEMA
from serving_layer.views.streams import topic_partition

Body = dict[str, Any]

_ALERTS = pa.schema(
    [
        *ALERT_SCHEMA,
        ("source", pa.string()),
        ("status", pa.string()),
        ("verdict", pa.string()),
        ("assignee", pa.string()),
        ("updated_at", pa.int64()),
        ("updated_by", pa.string()),
        ("suppressed_by", pa.string()),
    ]
)
_USERS = USER_SCHEMA.append(pa.field("is_anomaly", pa.bool_()))
_TEXTS = ("user", "event_type", "status", "source_ip")


def write_tables(snapshot: Snapshot, alerts: list[Body], folder: Path) -> dict[str, str]:
    """Write what no file of the run holds, and return the files by table; blocks.

    The batch view's events are not among them: the child maps the copies that are served.
    """
    realtime = [realtime_table(index) for index in snapshot.realtime.indexes]
    users = snapshot.batch.users.table
    tables = {
        "realtime": pa.concat_tables([STORED_SCHEMA.empty_table(), *realtime]),
        "alerts": pa.Table.from_pylist(alerts, schema=_ALERTS),
        "users": _USERS.empty_table() if users is None else users.select(_USERS.names),
    }
    files = {}
    for name, table in tables.items():
        path = folder / f"{name}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        files[name] = str(path)
    return files


def realtime_table(index: EventIndex) -> pa.Table:
    """Return an index's rows with the columns of ``STORED_SCHEMA``, in the order of the piece."""
    columns = index.columns
    order = np.argsort(columns.row, kind="stable")
    cold = pa.Table.from_batches(index.piece.batches).take(pa.array(columns.row[order]))
    streams = [topic_partition(code) for code in columns.stream[order].tolist()]
    values: dict[str, Any] = {
        "topic": pa.array([topic for topic, _ in streams], pa.string()),
        "partition": pa.array([number for _, number in streams], pa.int32()),
        "offset": -columns.negative_offset[order],
        "ingested_at": columns.ingested_at[order],
        "timestamp": -columns.negative_timestamp[order],
        "threat_score": pa.array(columns.threat_score[order], from_pandas=True),
        "anomaly_score": pa.array(columns.anomaly_score[order], from_pandas=True),
        "is_anomaly": columns.is_anomaly[order],
    }
    for name in _TEXTS:
        interner = getattr(index.interners, name)
        codes = getattr(columns, name)[order].tolist()
        values[name] = pa.array([interner.text(code) for code in codes], pa.string())
    arrays = [
        cold[field.name] if field.name in cold.schema.names else pa.array(values[field.name])
        for field in STORED_SCHEMA
    ]
    return pa.table(arrays, names=STORED_SCHEMA.names).cast(STORED_SCHEMA)
