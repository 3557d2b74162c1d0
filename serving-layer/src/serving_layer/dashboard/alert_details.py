"""What is known of one alert: the rule's words, its evidence, what people did with it."""

from serving_layer.dashboard.api import Api, Json
from serving_layer.dashboard.html import (
    Markup,
    address,
    clock,
    element,
    empty,
    join,
    link,
    note,
    table,
    tag,
    text,
)

_EVENTS = 12


async def details(api: Api, alert_id: str | None) -> Markup:
    """Return an alert with its history; of a false positive also what silencing would hide.

    Raises:
        ApiError: If the API does not know it.
    """
    if alert_id is None:
        return empty("No alert is selected.")
    path = address("/api/alerts/", alert_id)
    alert = await api.get(path)
    history = await api.get(f"{path}/history")
    parts = [_facts(alert), _history(history["steps"])]
    if alert["verdict"] == "false_positive" and alert["suppressed_by"] is None:
        found = await api.post("/api/suppressions/preview", {"alert_id": alert_id})
        parts.append(note(f"Silencing alerts like it: {found['summary']}."))
    return join(parts)


def _facts(alert: Json) -> Markup:
    events = alert["event_ids"]
    shown = join((link("/events/", each) for each in events[:_EVENTS]), ", ")
    more = f" and {len(events) - _EVENTS} more" if len(events) > _EVENTS else Markup("")
    facts = {
        "Alert": alert["description"],
        "User": link("/users/", alert["user_id"]),
        "Severity": tag(alert["severity"]),
        "Rule": f"{alert['rule_id']}, version {alert['rule_version']}",
        "Techniques": ", ".join(alert["techniques"]),
        "From": clock(alert["first_seen"]),
        "To": clock(alert["last_seen"]),
        "Addresses": ", ".join(alert["source_ips"]),
        "Events": join([shown, more]) if events else None,
        "Layer": tag(alert["source"]),
        "Status": tag(alert["status"]),
        "Verdict": alert["verdict"],
        "With": alert["assignee"],
        "Silenced by": alert["suppressed_by"],
    }
    pairs = (join([element("dt", name), element("dd", text(each))]) for name, each in facts.items())
    return element("dl", *pairs, class_="record")


def _history(steps: list[Json]) -> Markup:
    rows = [
        (clock(each["at"]), each["by"], each["action"].replace("_", " "), each["comment"])
        for each in steps
    ]
    return join(
        [
            element("h3", "What people did"),
            table("History", ("Time (UTC)", "Who", "Step", "Comment"), rows, nothing="Nobody yet."),
        ]
    )
