"""``/``: how much comes in, how current it is, what needs attention."""

import time
from collections import deque

from nicegui import ui
from starlette.requests import Request

from serving_layer.dashboard.activity import user_activity
from serving_layer.dashboard.api import Json
from serving_layer.dashboard.html import (
    SEVERITIES,
    Markup,
    age,
    bars,
    clock,
    columns,
    element,
    figures,
    join,
    link,
    table,
    tag,
)
from serving_layer.dashboard.shell import Site, View

_ROWS = 10
_MINUTES = 30
_MINUTE_MS = 60_000
_RATE_SECONDS = 10.0
_OPEN = {"resolved": False, "suppressed": False}


def add(site: Site) -> None:
    """Serve the page."""

    @ui.page("/")
    async def overview(request: Request) -> None:
        with site.view(request, "StreamGuard: overview", "/") as view:
            page = Overview(view)
            view.section("Now", page.now, 1)
            view.section("Share of each layer", page.shares)
            view.section("Waiting alerts by severity", page.severities, 5, on_alert=True)
            view.section("Events per minute", page.minutes, 5)
            view.section("User activity", lambda: user_activity(view.api), 10)
            view.section("Newest waiting alerts", page.alerts, on_alert=True)
            view.section("Users by risk", page.users, 5, on_alert=True)


class Overview:
    """What the sections of one visit ask for."""

    def __init__(self, view: View) -> None:
        self._api = view.api
        self._seen: deque[tuple[float, int]] = deque()
        self._minutes: dict[int, int] = {}

    async def now(self) -> Markup:
        """Return totals, rate, lag, freshness and the seam."""
        live = await self._api.get("/api/metrics")
        run = live["run"]
        behind = sum(each["next_offset"] - each["seam"] for each in live["partitions"])
        fresh = live["freshness_seconds"]
        return figures(
            {
                "Events": live["events"]["total"],
                "Rate": f"{self._rate(live['events']['total']):,.1f} per s",
                "Lag": f"{live['lag_records']:,} records",
                "Freshness": "unknown" if fresh is None else f"{fresh:.1f} s",
                "Behind the seam": f"{behind:,} offsets",
                "Anomalies": live["anomalies"],
                "Alerts": live["alerts"],
                "Age of the batch run": age(run["age_seconds"]) or "none yet",
                "Anomalous users": f"{run['anomalous_users']:,} of {run['users']:,}",
            }
        )

    def _rate(self, total: int) -> float:
        """Return events per second that became visible over the last ten seconds."""
        now = time.monotonic()
        self._seen.append((now, total))
        while now - self._seen[0][0] > _RATE_SECONDS:
            self._seen.popleft()
        started, before = self._seen[0]
        return (total - before) / (now - started) if now > started else 0.0

    async def shares(self) -> Markup:
        """Return both layers' share, in all and per partition beside the seam."""
        live = await self._api.get("/api/metrics")
        events = live["events"]
        total = events["total"] or 1
        stacked = join(
            element(
                "span", Markup(""), class_=layer, style=f"width:{100 * events[layer] / total:.2f}%"
            )
            for layer in ("batch", "realtime")
        )
        words = ", ".join(
            f"{layer} {events[layer]:,} ({events[layer] / total:.1%})"
            for layer in ("batch", "realtime")
        )
        return join(
            [
                element("div", stacked, class_="stacked", aria_hidden="true"),
                element("p", words),
                table(
                    "Seam per partition",
                    ("Partition", "Seam", "Next offset", "Live part"),
                    [_partition(each) for each in live["partitions"]],
                    numeric=("Seam", "Next offset", "Live part"),
                    nothing="No partition has been read yet.",
                ),
            ]
        )

    async def severities(self) -> Markup:
        """Return how many alerts wait, by severity."""
        rows = []
        for severity in SEVERITIES:
            counted = await self._api.get("/api/alerts/count", severity=severity, **_OPEN)
            number = counted["count"]
            rows.append((tag(severity), float(number), f"{number:,}"))
        return bars("Waiting alerts by severity", rows, heads=("Severity", "Alerts"))

    async def minutes(self) -> Markup:
        """Return events per minute of event time; only the newest minutes are asked again."""
        this = int(time.time() * 1000) // _MINUTE_MS
        wanted = range(this - _MINUTES + 1, this + 1)
        for minute in wanted:
            if minute not in self._minutes or minute >= this - 1:
                counted = await self._api.get(
                    "/api/events/count",
                    start_time=minute * _MINUTE_MS,
                    end_time=(minute + 1) * _MINUTE_MS,
                )
                self._minutes[minute] = counted["count"]
        points = [(_hour(minute), float(self._minutes[minute])) for minute in wanted]
        return columns(f"Events per minute, last {_MINUTES} minutes (UTC)", points)

    async def alerts(self) -> Markup:
        """Return the newest alerts that are neither resolved nor silenced."""
        page = await self._api.get("/api/alerts", limit=_ROWS, **_OPEN)
        return table(
            "Newest waiting alerts",
            ("Time (UTC)", "Severity", "User", "Alert", "With"),
            [_alert(each) for each in page["data"]],
            nothing="No alert is waiting.",
        )

    async def users(self) -> Markup:
        """Return the users that deserve attention first."""
        page = await self._api.get("/api/users", sort="risk", limit=_ROWS)
        return bars(
            "Users by risk",
            [
                (link("/users/", each["user"]), each["risk"], f"{each['risk']:.2f}")
                for each in page["data"]
            ],
            heads=("User", "Risk, 0 to 1"),
            most=1.0,
            nothing="No user is known yet.",
        )


def _partition(each: Json) -> tuple[object, ...]:
    behind = each["next_offset"] - each["seam"]
    return f"{each['topic']}/{each['partition']}", each["seam"], each["next_offset"], behind


def _alert(each: Json) -> tuple[object, ...]:
    return (
        clock(each["timestamp"]),
        tag(each["severity"]),
        link("/users/", each["user_id"]),
        element("a", each["description"], href=f"/alerts?alert={each['alert_id']}"),
        each["assignee"],
    )


def _hour(minute: int) -> str:
    return time.strftime("%H:%M", time.gmtime(minute * 60))
