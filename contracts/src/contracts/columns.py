"""What the decoder produces and detection consumes: one row per readable record."""

import pyarrow as pa

EVENT_SCHEMA = pa.schema(
    [
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("timestamp", pa.int64(), nullable=False),
        pa.field("event_type", pa.string(), nullable=False),
        pa.field("user", pa.string(), nullable=False),
        ("status", pa.string()),
        ("source_ip", pa.string()),
        ("destination_ip", pa.string()),
        ("threat_score", pa.float64()),
        ("geo_location", pa.string()),
        ("hostname", pa.string()),
        ("user_agent", pa.string()),
        ("port", pa.int64()),
        ("process_name", pa.string()),
        ("command_line", pa.string()),
        ("file_path", pa.string()),
        ("domain", pa.string()),
        ("bytes_transferred", pa.int64()),
        ("failure_reason", pa.string()),
    ]
)
"""Decoded events in offset order.

``timestamp`` is event time in Unix ms. ``user`` is ``unknown`` where the event had none.
A value that stands both in ``metadata`` and in the typed details comes from ``metadata``:
``port`` (else ``network_details.destination_port``), ``process_name``, ``file_path``,
``domain`` (else ``dns_details.query_name``), ``bytes_transferred`` (else
``network_details.bytes_sent``, else ``file_details.file_size_bytes``). ``status`` is the
event's own, else ``auth_details.status`` if that is one of the four statuses.
"""
