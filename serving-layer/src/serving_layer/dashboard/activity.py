"""A section of ``/``: what came over the user-activity stream, by kind."""

from contracts.topics import USER_EVENTS
from serving_layer.dashboard.api import Api
from serving_layer.dashboard.html import Markup, bars

KINDS = ("USER_LOGIN", "USER_LOGIN_FAILED", "USER_SEARCH", "USER_REGISTERED")


async def user_activity(api: Api) -> Markup:
    """Return how many events of each kind both layers hold, and how many of other kinds."""
    account = await api.get("/consistency")
    total = sum(
        each["batch_rows"] + each["realtime_rows"]
        for each in account["partitions"]
        if each["topic"] == USER_EVENTS
    )
    counts = {
        kind: (await api.get("/api/events/count", event_type=kind))["count"] for kind in KINDS
    }
    counts["other kinds"] = max(0, total - sum(counts.values()))
    return bars(
        f"User activity: {total:,} events",
        [(kind, float(count), f"{count:,}") for kind, count in counts.items() if count],
        heads=("Kind", "Events"),
        nothing="No user activity has come yet.",
    )
