"""``/users`` and ``/users/{user}``: who deserves attention, and why."""

from nicegui import ui
from starlette.requests import Request

from serving_layer.dashboard.api import Json
from serving_layer.dashboard.html import (
    Markup,
    address,
    bar,
    bars,
    clock,
    columns,
    element,
    figures,
    join,
    link,
    note,
    reasons,
    table,
    tag,
    waiting,
)
from serving_layer.dashboard.shell import Site, View

_ROWS = 50
_SECONDS = 2.0


def add(site: Site) -> None:
    """Serve both pages."""

    @ui.page("/users")
    async def users(request: Request) -> None:
        with site.view(request, "Users", "/users") as view:
            _build_search()
            view.section("By risk", lambda: _ranked(view), 5, on_alert=True)

    @ui.page("/users/{name:path}")
    async def user(request: Request, name: str) -> None:
        with site.view(request, f"User {name}", "/users") as view:
            page = UserPage(view, name)
            view.section("Why", page.why, 5, on_alert=True).frame.classes("wide")
            view.section("Risk", page.risk, _SECONDS, on_alert=True)
            view.section("Usual against seen", page.features, _SECONDS)
            view.section("Habits", page.habits, _SECONDS)
            view.section("Timeline across both layers", page.timeline, _SECONDS, on_alert=True)
            view.section("Alerts", page.alerts, _SECONDS, on_alert=True)


def _build_search() -> None:
    with ui.element("div").classes("tools wide"):
        name = ui.input("User name").props("maxlength=256")

        def open_page() -> None:
            if name.value:
                ui.navigate.to(address("/users/", name.value))

        name.on("keydown.enter", open_page)
        ui.button("Open", on_click=open_page, color=None).props("flat no-caps")


async def _ranked(view: View) -> Markup:
    page = await view.api.get("/api/users", sort="risk", limit=_ROWS)
    return table(
        "Users by risk",
        ("User", "Risk", "Batch score", "Batch verdict", "Live score", "Waiting alerts"),
        [_ranked_row(each) for each in page["data"]],
        numeric=("Batch score", "Live score"),
        nothing="No user is known yet.",
    )


def _ranked_row(each: Json) -> tuple[object, ...]:
    return (
        link("/users/", each["user"]),
        join([bar(each["risk"]), element("span", f"{each['risk']:.2f}", class_="beside")]),
        f"{each['batch_score']:.2f}",
        "anomalous" if each["is_anomaly"] else "ordinary",
        f"{each['realtime_score']:.2f}",
        waiting(each["open_alerts"]),
    )


class UserPage:
    """The sections of a user's page; one answer of the API serves them all for a moment."""

    def __init__(self, view: View, user: str) -> None:
        self._view = view
        self._user = user

    async def _body(self) -> Json:
        return await self._view.api.get(address("/api/users/", self._user))

    async def why(self) -> Markup:
        """Return what each layer says, when one overruled the other, and the reasons."""
        body = await self._view.api.get(address("/api/users/", self._user), explain="true")
        told = body["explain"]
        parts = [
            element("p", tag(layer), f" {_word(told[layer], since)}")
            for layer, since in (("batch", "in the run"), ("realtime", "since the seam"))
        ]
        change = told["change"]
        if change is not None:
            parts.append(note(f"The newest run changed its mind: {change['reason']}."))
        parts.append(
            table(
                "Newest anomalous events with their reasons",
                ("Time (UTC)", "Score", "Event", "Why", "Layer"),
                [_anomaly(each) for each in body["anomalies"]],
                nothing="No event of this user is anomalous.",
            )
        )
        return join(parts)

    async def risk(self) -> Markup:
        """Return the risk and its parts, and how much each layer holds."""
        body = await self._body()
        risk, events = body["risk"], body["events"]
        return figures(
            {
                "Risk": f"{risk['risk']:.2f}",
                "Batch score": f"{risk['batch_score']:.2f}",
                "Highest live score": f"{risk['realtime_score']:.2f}",
                "Waiting alerts": waiting(risk["open_alerts"]),
                "Segment": body["batch"]["segment"] or "none",
                "Events": events["count"],
                "From batch": events["batch"],
                "Live": events["realtime"],
            }
        )

    async def features(self) -> Markup:
        """Return each feature: usual of all users, of this one in the run, and live."""
        body = await self._body()
        verdict, live = body["batch"]["verdict"], body["live"]
        batch = (verdict or {}).get("features") or {}
        seen = live["features"] or {}
        told_of = {each["feature"]: each for each in (verdict or {}).get("reasons", [])}
        others = [name for name in dict.fromkeys([*batch, *seen]) if name not in told_of]
        told, more = (
            table(
                title,
                ("Feature", "Usual (5 %, median, 95 %)", "Batch run", "Live", "Share in verdict"),
                [_feature(n, told_of.get(n), batch.get(n), seen.get(n)) for n in names],
                numeric=("Batch run", "Live"),
                nothing=nothing,
            )
            for title, names, nothing in (
                ("Features that set this user apart", list(told_of), "No feature stands out."),
                ("All other features", others, "Neither layer has features of this user."),
            )
        )
        parts = [told, element("details", element("summary", "All other features"), more)]
        if live["reason"]:
            parts.insert(0, note(f"No live features: {live['reason']}", kind="warning"))
        return join(parts)

    async def habits(self) -> Markup:
        """Return usual hours, with those of anomalies marked, and usual addresses and devices."""
        body = await self._body()
        profile = body["profile"]
        odd = {each["timestamp"] // 3_600_000 % 24 for each in body["anomalies"]}
        hours = [(f"{hour}:00", float(number)) for hour, number in enumerate(profile["hours"])]
        parts = [
            element(
                "p",
                f"From the newest {profile['events']} ordinary events; hours of anomalies marked.",
            ),
            columns("Events per hour of day (UTC)", hours, marked=odd),
        ]
        for name, title in (
            ("source_ips", "Addresses"),
            ("places", "Places"),
            ("devices", "Devices"),
        ):
            rows = [(e["value"], float(e["events"]), f"{e['events']:,}") for e in profile[name]]
            if rows:
                parts += [element("h3", title), bars(title, rows, heads=(title, "Events"))]
        return join(parts)

    async def timeline(self) -> Markup:
        """Return the newest events and alerts, with a line where the live part ends."""
        body = await self._body()
        entries = body["timeline"]
        seam = next((n for n, each in enumerate(entries) if each["source"] == "batch"), None)
        rows: list[tuple[object, ...] | Markup] = []
        for place, each in enumerate(entries):
            if place == seam:
                words = f"Seam: below this line from batch run {body['batch']['run_id']}"
                rows.append(element("tr", element("td", words, colspan=4), class_="seam"))
            base = "/alerts?alert=" if each["kind"] == "alert" else "/events/"
            rows.append(
                (
                    clock(each["timestamp"]),
                    link(base, each["id"], each["text"]),
                    tag(each["kind"]),
                    tag(each["source"]),
                )
            )
        return table(
            "Timeline, newest first",
            ("Time (UTC)", "What", "Kind", "Layer"),
            rows,
            nothing="No event of this user is held.",
        )

    async def alerts(self) -> Markup:
        """Return the user's newest alerts."""
        body = await self._body()
        return table(
            "Alerts of this user",
            ("Time (UTC)", "Severity", "Alert", "Status"),
            [
                (
                    clock(each["timestamp"]),
                    tag(each["severity"]),
                    link("/alerts?alert=", each["alert_id"], each["description"]),
                    tag(each["verdict"] or each["status"]),
                )
                for each in body["alerts"]
            ],
            nothing="No alert of this user.",
        )


def _word(said: Json, since: str) -> str:
    """Return one layer's word on the user as a sentence."""
    if said["says"] is None:
        return f"says nothing: {said['why']}."
    if "events" in said:
        return (
            f"says {said['says']}: {said['anomalous_events']:,} of {said['events']:,} events {since} "
            "are anomalous."
        )
    return f"says {said['says']}: score {said['anomaly_score']:.2f} {since} {said['run_id']}."


def _anomaly(each: Json) -> tuple[object, ...]:
    return (
        clock(each["timestamp"]),
        f"{each['anomaly_score']:.2f}",
        link("/events/", each["event_id"], each["event_type"]),
        reasons(each["reasons"]),
        tag(each["source"]),
    )


def _feature(
    name: str, reason: Json | None, batch: float | None, live: float | None
) -> tuple[object, ...]:
    typical = ", ".join(f"{value:,.3g}" for value in reason["typical"]) if reason else None
    share = (reason or {}).get("contribution")
    beside = join([bar(share), f"{share:.0%}"]) if share is not None else None
    return name.replace("_", " "), typical, batch, live, beside
