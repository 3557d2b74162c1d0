"""What is usual of a user, from the newest ordinary events of both layers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

_MOST_COMMON = 10

Body = dict[str, Any]


def profile(events: Sequence[bytes]) -> Body:
    """Return usual hours (UTC), addresses, places, devices and event types.

    Args:
        events: Events as they are answered (JSON); anomalous ones are left out, or a burst of
            them would soon be what is usual.
    """
    bodies = [body for body in map(orjson.loads, events) if not body["is_anomaly"]]
    times = [body["timestamp"] for body in bodies]
    hours = Counter(datetime.fromtimestamp(time / 1000, UTC).hour for time in times)
    return {
        "events": len(bodies),
        "from": min(times, default=None),
        "to": max(times, default=None),
        "hours": [hours[hour] for hour in range(24)],
        "source_ips": _counted(body.get("source_ip") for body in bodies),
        "places": _counted(_metadata(body, "geo_location") for body in bodies),
        "devices": _counted(_metadata(body, "hostname") for body in bodies),
        "event_types": _counted(body.get("event_type") for body in bodies),
    }


def _metadata(body: Body, name: str) -> object:
    metadata = body.get("metadata")
    return metadata.get(name) if isinstance(metadata, dict) else None


def _counted(values: Iterable[object]) -> list[Body]:
    counts = Counter(value for value in values if isinstance(value, str))
    return [{"value": value, "events": n} for value, n in counts.most_common(_MOST_COMMON)]
