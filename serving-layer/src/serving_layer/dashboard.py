"""The dashboard at ``/``: one NiceGUI page over the same snapshot as the API."""

import time
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from nicegui import ui
from starlette.exceptions import HTTPException

from serving_layer.errors import NotReadyError
from serving_layer.services import Services
from serving_layer.status import live_figures
from serving_layer.views.query import EventFilter
from serving_layer.views.reads import AlertFilter, alert_page, event_page
from serving_layer.views.rendering import anomaly_bodies

_REFRESH_SECONDS = 1.0
_ROWS = 10
_ANOMALY_POOL = 1_000
"""The page shows the highest scores among so many newest anomalies."""


def mount(app: FastAPI) -> None:
    """Serve the dashboard at ``/`` of ``app``; unknown API paths stay problems."""

    @app.api_route("/api/{path:path}", include_in_schema=False)
    async def unknown(path: str) -> None:
        raise HTTPException(404, f"there is no /api/{path}")

    ui.run_with(
        app,
        root=lambda: _page(app.state.services),
        title="StreamGuard",
        dark=None,
        show_welcome_message=False,
    )


def _page(services: Services) -> None:
    with ui.column().classes("w-full max-w-screen-xl mx-auto p-4").props("role=main"):
        ui.html("<h1>StreamGuard</h1>", sanitize=False).classes("text-2xl font-bold")
        refreshers = [
            section(title, content, services)
            for title, content in (
                ("Overview", _overview),
                ("Newest alerts that are not resolved", _alerts),
                ("Top anomalies", _anomalies),
                ("Batch run", _run),
                ("Seam per partition", _partitions),
            )
        ]

        def refresh() -> None:
            for refresher in refreshers:
                refresher()

        ui.timer(_REFRESH_SECONDS, refresh)
        with ui.row():
            ui.link("API documentation", "/docs")
            ui.link("Consistency", "/consistency")
            ui.link("Metrics", "/metrics")


def section(
    title: str, content: Callable[[Services], None], services: Services
) -> Callable[[], Any]:
    """Add a titled section and return what draws it again."""

    @ui.refreshable
    def body() -> None:
        try:
            content(services)
        except NotReadyError as error:
            ui.label(f"Not ready: {error.detail}").props("role=status")

    with ui.card().classes("w-full"):
        ui.html(f"<h2>{title}</h2>", sanitize=False).classes("text-lg font-semibold")
        body()
    return body.refresh


def _overview(services: Services) -> None:
    figures = live_figures(services)
    events = figures["events"]
    reason = services.views.current().incomplete_reason
    with ui.row().classes("gap-8"):
        for name, value in (
            ("Events", f"{events['total']:,}"),
            ("From batch", _share(events["batch"], events["total"])),
            ("From realtime", _share(events["realtime"], events["total"])),
            ("Anomalies", f"{figures['anomalies']:,}"),
            ("Alerts", f"{figures['alerts']:,}"),
            ("Freshness", f"{figures['freshness_seconds']:.1f} s"),
            ("Lag", f"{figures['lag_records']:,} records"),
        ):
            with ui.column().classes("gap-0"):
                ui.label(name).classes("text-sm opacity-70")
                ui.label(value).classes("text-xl")
    ui.label(f"Incomplete: {reason}" if reason else "Complete").props("role=status")


def _alerts(services: Services) -> None:
    wanted = AlertFilter(resolved=False, suppressed=False)
    found = alert_page(services.views.current(), wanted, None, _ROWS, services.cases)
    _table(
        ["time", "severity", "user", "alert", "description", "status", "assignee"],
        [
            [
                _clock(entry.record["timestamp"]),
                entry.record["severity"],
                entry.record["user_id"],
                entry.record["alert_type"],
                entry.record["description"],
                case.status,
                case.assignee or "",
            ]
            for entry, case in (
                (entry, services.cases.case(entry.alert_id)) for entry, _ in found.items
            )
        ],
        empty="No alert is waiting.",
    )


def _anomalies(services: Services) -> None:
    wanted = EventFilter(anomalies_only=True)
    newest = event_page(services.views.current(), wanted, None, _ANOMALY_POOL).items
    newest.sort(key=lambda row: -row.owner.columns.anomaly_score[row.position])
    _table(
        ["score", "time", "user", "event", "reasons"],
        [
            [
                f"{body['anomaly_score']:.2f}",
                _clock(body["timestamp"]),
                body["user"],
                body["event_type"],
                "; ".join(body["reasons"]),
            ]
            for body in anomaly_bodies(newest[:_ROWS])
        ],
        empty="No anomalies yet.",
    )


def _run(services: Services) -> None:
    run = live_figures(services)["run"]
    if services.watcher.failure is not None:
        failure = services.watcher.failure.detail
        ui.label(f"The newest run cannot be loaded: {failure}").props("role=alert")
    if run["run_id"] is None:
        ui.label("No batch run has been published yet.")
        return
    ui.label(
        f"{run['run_id']}, {run['age_seconds'] / 60:.0f} min old: {run['users']:,} users, "
        f"{run['anomalous_users']:,} of them anomalous"
    )


def _partitions(services: Services) -> None:
    lag = services.tail.lag()
    _table(
        ["partition", "seam", "next offset"],
        [
            [
                f"{each['topic']}/{each['partition']}",
                f"{each['seam']:,}",
                f"{each['next_offset']:,}",
            ]
            for each in live_figures(services)["partitions"]
        ],
        empty="No partitions yet.",
    )
    ui.label(f"{sum(lag.values()):,} records of the log are not here yet.")


def _table(names: list[str], rows: list[list[str]], *, empty: str) -> None:
    if not rows:
        ui.label(empty)
        return
    columns = [
        {"name": name, "label": name.capitalize(), "field": name, "align": "left"} for name in names
    ]
    ui.table(columns=columns, rows=[dict(zip(names, row, strict=True)) for row in rows]).classes(
        "w-full"
    ).props("dense flat wrap-cells")


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.0%})" if whole else f"{part:,}"


def _clock(timestamp: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(timestamp / 1000))
