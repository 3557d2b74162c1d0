"""What leaves through the outbox: alerts, notifications, dead letters."""

from collections.abc import Sequence

from contracts.alerts import NOTIFIED_SEVERITIES, Alert
from contracts.decoder import Reject
from contracts.topics import NOTIFICATIONS, SECURITY_ALERTS, dead_letter_topic
from contracts.traces import Headers
from speed_layer.segments import Records
from speed_layer.store import OutboxEntry

MAX_ERROR_CHARACTERS = 500


def alert_entries(alerts: Sequence[Alert], headers: Headers = ()) -> list[OutboxEntry]:
    """Return one entry per alert, and one more for those a person is told of."""
    entries: list[OutboxEntry] = []
    for alert in alerts:
        key, value = alert.user_id.encode(), alert.to_wire()
        entries.append(OutboxEntry(SECURITY_ALERTS, key, value, headers))
        if alert.severity in NOTIFIED_SEVERITIES:
            entries.append(OutboxEntry(NOTIFICATIONS, key, value, headers))
    return entries


def dead_letter_entries(records: Records, rejects: Sequence[Reject]) -> list[OutboxEntry]:
    """Return each refused record as read, with where it came from and what is wrong."""
    topic = dead_letter_topic(records.topic)
    return [
        OutboxEntry(
            topic,
            records.keys[reject.index],
            records.values[reject.index],
            headers=(
                ("reason", reject.reason),
                ("source-topic", records.topic),
                ("source-partition", str(records.partition)),
                ("source-offset", str(records.offsets[reject.index])),
                ("error", reject.error[:MAX_ERROR_CHARACTERS]),
            ),
        )
        for reject in rejects
    ]
