"""What is usual of a user, from the newest ordinary events of both layers."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from serving_layer.views.rendering import parsed

_MOST_COMMON = 10

Body = dict[str, Any]


def profile(events: Sequence[Mapping[str, Any]]) -> Body:
    """Return usual hours (UTC), addresses, places, devices and event types.

    Args:
        events: What is stored of events (``reads.gathered`` with ``raw``); anomalous ones are
            left out, or a burst of them would soon be what is usual.
    """
    usual = [event for event in events if not event["is_anomaly"]]
    metadata = [_metadata(event["raw"]) for event in usual]
    times = [event["timestamp"] for event in usual]
    hours = Counter(datetime.fromtimestamp(time / 1000, UTC).hour for time in times)
    return {
        "events": len(usual),
        "from": min(times, default=None),
        "to": max(times, default=None),
        "hours": [hours[hour] for hour in range(24)],
        "source_ips": _counted(event["source_ip"] for event in usual),
        "places": _counted(each.get("geo_location") for each in metadata),
        "devices": _counted(each.get("hostname") for each in metadata),
        "event_types": _counted(event["event_type"] for event in usual),
    }


def _metadata(raw: bytes) -> Body:
    metadata = parsed(raw).get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _counted(values: Iterable[object]) -> list[Body]:
    counts = Counter(value for value in values if isinstance(value, str))
    return [{"value": value, "events": n} for value, n in counts.most_common(_MOST_COMMON)]
