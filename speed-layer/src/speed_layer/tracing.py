"""Spans of micro-batches and alerts, where traces are on; see ``contracts.traces``."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from confluent_kafka import Message

from contracts import traces
from contracts.alerts import Alert
from contracts.topics import SECURITY_ALERTS
from speed_layer.kafka import Key
from speed_layer.outgoing import alert_entries
from speed_layer.store import OutboxEntry

_OFF = nullcontext()


def traced(key: Key, messages: Sequence[Message]) -> AbstractContextManager[object]:
    """Measure what is done with a micro-batch, linked to the spans that produced its records.

    One span for the whole micro-batch: a span for each event would cost more than its score. While
    traces are off the records' headers are not read.
    """
    current = traces.current()
    if current is None or not messages:
        return _OFF
    parents = traces.distinct_parents(message.headers() for message in messages)  # type: ignore[misc]
    return current.processed(*key, parents, len(messages))


def traced_alert_entries(alerts: Sequence[Alert]) -> list[OutboxEntry]:
    """Return alerts as ``alert_entries`` does, within a span that their headers carry."""
    current = traces.current()
    if current is None or not alerts:
        return alert_entries(alerts)
    with current.produced(SECURITY_ALERTS, len(alerts)) as headers:
        return alert_entries(alerts, headers)
