"""Alerts: camelCase on the topic, snake_case in the REST API and in Parquet."""

from typing import Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Severity = Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"]
SEVERITIES: tuple[str, ...] = ("LOW", "MEDIUM", "HIGH", "CRITICAL")
NOTIFIED_SEVERITIES = frozenset({"HIGH", "CRITICAL"})

SUSPICIOUS_LOGIN_PATTERN = "SUSPICIOUS_LOGIN_PATTERN"
RAPID_ACTIVITY = "RAPID_ACTIVITY"

MAX_EVIDENCE = 50
"""``event_ids`` and ``source_ips`` of an alert are capped at this many entries."""


class Alert(BaseModel):
    """Something a rule found, with the evidence it rests on.

    ``alert_id`` is a hash of rule, rule version, entity and the events in the window: a replay, a
    restart or the other layer produces the same alert again, and no other alert has its id.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )

    alert_id: str
    user_id: str
    alert_type: str = Field(examples=[SUSPICIOUS_LOGIN_PATTERN, RAPID_ACTIVITY])
    description: str
    timestamp: int = Field(description="Event time of the event that raised it, Unix ms.")
    severity: Severity
    event_count: int
    resolved: bool = False
    rule_id: str
    rule_version: str
    first_seen: int = Field(description="Event time of the earliest evidence, Unix ms.")
    last_seen: int = Field(description="Event time of the latest evidence, Unix ms.")
    event_ids: list[str] = Field(default_factory=list, max_length=MAX_EVIDENCE)
    source_ips: list[str] = Field(default_factory=list, max_length=MAX_EVIDENCE)
    techniques: list[str] = Field(default_factory=list, description="ATT&CK technique ids.")

    def to_wire(self) -> bytes:
        """Return the JSON that goes to ``security-alerts`` and ``notifications``."""
        return self.model_dump_json(by_alias=True).encode()


ALERT_SCHEMA = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("alert_id", pa.string()),
        ("user_id", pa.string()),
        ("alert_type", pa.string()),
        ("description", pa.string()),
        ("timestamp", pa.int64()),
        ("severity", pa.string()),
        ("event_count", pa.int64()),
        ("resolved", pa.bool_()),
        ("rule_id", pa.string()),
        ("rule_version", pa.string()),
        ("first_seen", pa.int64()),
        ("last_seen", pa.int64()),
        ("event_ids", pa.list_(pa.string())),
        ("source_ips", pa.list_(pa.string())),
        ("techniques", pa.list_(pa.string())),
    ]
)
"""Alerts as Parquet rows; topic, partition and offset are those of the event that raised it."""
