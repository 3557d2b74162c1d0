"""``/events/{event_id}``: one event, its score in parts, and what was written about it."""

from nicegui import ui
from starlette.requests import Request

from serving_layer.dashboard.api import ApiError, Json
from serving_layer.dashboard.html import (
    Markup,
    address,
    bars,
    clock,
    element,
    empty,
    figures,
    join,
    link,
    note,
    record,
    table,
    tag,
)
from serving_layer.dashboard.shell import Site, View

_NOT_FOUND = 404


def add(site: Site) -> None:
    """Serve the page."""

    @ui.page("/events/{event_id:path}")
    async def event(request: Request, event_id: str) -> None:
        with site.view(request, "Event", "/events") as view:
            page = EventPage(view, event_id)
            view.section("Event", page.event, 5)
            view.section("Why it is an anomaly", page.anomaly, 5)
            view.section("Analyses", page.analyses, 10)


class EventPage:
    """What the sections of one visit ask for."""

    def __init__(self, view: View, event_id: str) -> None:
        self._api = view.api
        self._id = event_id

    async def event(self) -> Markup:
        """Return the stored event, every key of it."""
        body = await self._api.get(address("/api/events/", self._id))
        facts = figures(
            {
                "Time (UTC)": clock(body["timestamp"]),
                "User": link("/users/", body["user"]),
                "Layer": tag(body["source"]),
            }
        )
        return join([facts, record(body)])

    async def anomaly(self) -> Markup:
        """Return reasons and parts of the score."""
        try:
            body = await self._api.get(address("/api/anomalies/", self._id), explain="true")
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return empty("This event is no anomaly.")
            raise
        parts = [
            (name.removesuffix("_anomaly"), value, f"{value:.2f}")
            for name, value in body.items()
            if name.endswith("_anomaly") and isinstance(value, float)
        ]
        parts.sort(key=lambda part: -part[1])
        change = body["explain"]["change"]
        changed = note(f"A run changed the verdict: {change['reason']}.") if change else Markup("")
        return join(
            [
                changed,
                element("p", f"Score {body['anomaly_score']:.2f}"),
                element("ul", *(element("li", each) for each in body["reasons"])),
                bars("Parts of the score", parts, heads=("Part", "0 to 1"), most=1.0),
            ]
        )

    async def analyses(self) -> Markup:
        """Return what the analyst wrote about the event."""
        page = await self._api.get(address("/api/analyses/event/", self._id), limit=5)
        return table(
            "Analyses",
            ("Time (UTC)", "Severity", "Summary", "Mode"),
            [_analysis(each) for each in page["data"]],
            nothing="Nothing was written about this event.",
        )


def _analysis(each: Json) -> tuple[object, ...]:
    return clock(each["created_at"]), tag(each["severity"]), each["summary"], each["mode"]
