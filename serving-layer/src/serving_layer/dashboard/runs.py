"""``/runs``: the batch runs in the lake, two of them compared, and how features have drifted."""

from collections.abc import Collection

from nicegui import ui
from starlette.requests import Request

from serving_layer.dashboard.api import Json
from serving_layer.dashboard.html import (
    Markup,
    bars,
    clock,
    element,
    empty,
    figures,
    join,
    link,
    note,
    table,
    tag,
)
from serving_layer.dashboard.services import ask_batch
from serving_layer.dashboard.shell import Site, View

SMALL_SHIFT, LARGE_SHIFT = 0.1, 0.25
"""Of the population stability index, by convention."""

_RUNS = 20
_USERS = 10


def add(site: Site) -> None:
    """Serve the page; ``a`` and ``b`` name the runs to compare."""

    @ui.page("/runs")
    async def runs(request: Request, a: str = "", b: str = "") -> None:
        with site.view(request, "Batch runs", "/runs") as view:
            page = RunsPage(view, a, b)
            view.section("In the lake", page.listed, 2).frame.classes("wide")
            view.section("Jobs", page.jobs, 2).frame.classes("wide")
            view.section("Comparison", page.compared, 10)
            view.section("Drift of the newest run", page.drift, 10)


class RunsPage:
    """What the sections of one visit ask for."""

    def __init__(self, view: View, a: str, b: str) -> None:
        self._view = view
        self._a, self._b = a, b

    async def _runs(self) -> tuple[str | None, list[Json]]:
        body = await self._view.api.get("/api/runs", limit=_RUNS)
        return body["current"], body["runs"]

    async def _pair(self) -> tuple[str, str] | None:
        """Return the runs to compare: those of the address, else the newest two."""
        if self._a and self._b:
            return self._a, self._b
        _, runs = await self._runs()
        ids = [each["run_id"] for each in runs]
        if self._b in ids:
            ids = ids[ids.index(self._b) :]
        return (ids[1], ids[0]) if len(ids) > 1 else None

    async def listed(self) -> Markup:
        """Return the runs that lie in the lake, newest first."""
        current, runs = await self._runs()
        return table(
            "Batch runs, newest first",
            ("Made (UTC)", "Run", "Served", "Events", "Scorer", "Algorithm", "Compare"),
            [_run(each, current) for each in runs],
            numeric=("Events",),
            nothing="No batch run has been published yet.",
        )

    async def jobs(self) -> Markup:
        """Return the batch layer's newest jobs, failed ones too."""
        body = await self._view.api.get("/api/spark-metrics")
        return table(
            "Newest jobs of the batch layer",
            ("Asked (UTC)", "Run", "Status", "What came of it"),
            [
                (
                    clock(each.get("submitTime")),
                    each["runId"],
                    tag(each["status"].lower()),
                    each.get("errorMessage") or each.get("message"),
                )
                for each in body["runs"]
            ],
            nothing="No job since the batch layer started.",
        )

    async def compared(self) -> Markup:
        """Return who is anomalous in one run and not in the other, and why."""
        pair = await self._pair()
        if pair is None:
            return empty("There are no two runs to compare yet.")
        a, b = pair
        body = await ask_batch(
            self._view.services, "/security/runs/compare", a=a, b=b, limit=_USERS
        )
        totals = body["totals"]
        parts = [
            element("p", f"{b} against {a}"),
            figures(
                {
                    "Newly anomalous": totals["added"],
                    "No longer": totals["dropped"],
                    "Score moved": totals["changed"],
                    "New users": body["usersNew"],
                    "Anomalous before": body["a"]["anomalousUsers"],
                    "Anomalous now": body["b"]["anomalousUsers"],
                }
            ),
        ]
        if body["settingsChanged"]:
            changed = ", ".join(body["settingsChanged"])
            parts.append(note(f"Settings differ: {changed}", kind="warning"))
        for name, title in (("added", "Newly anomalous"), ("dropped", "No longer anomalous")):
            rows = [_change(each) for each in body[name]]
            heads = ("User", "Before", "Now", "What moved")
            parts += [element("h3", title), table(title, heads, rows, nothing="Nobody.")]
        shifts = [_shift(name, index) for name, index in body["drift"].items()]
        parts += [element("h3", "Shift of features between the two"), _shifts(shifts)]
        return join(parts)

    async def drift(self) -> Markup:
        """Return the newest run's drift against the training it is compared with."""
        _, runs = await self._runs()
        if not runs:
            return empty("No batch run has been published yet.")
        body = await self._view.api.get(f"/api/runs/{runs[0]['run_id']}")
        report = body["report"] or {}
        drift = report.get("drift") or {}
        if not drift.get("features"):
            return empty("This run measured no drift: there was no training before it.")
        drifted = drift.get("drifted") or []
        words = "no feature has moved further than chance may move it among so many users"
        if drifted:
            words = f"moved far: {', '.join(drifted)}"
        kind = "warning" if drifted else "info"
        return join(
            [
                note(f"Against {drift.get('against')}: {words}.", kind=kind),
                _shifts([_shift(name, at, drifted) for name, at in drift["features"].items()]),
            ]
        )


def _run(each: Json, current: str | None) -> tuple[object, ...]:
    run_id = each["run_id"]
    return (
        clock(each["created_at"]),
        link("/api/runs/", run_id),
        tag("served") if run_id == current else None,
        each["events"],
        each["scorer"],
        each["algorithm"],
        link("/runs?b=", run_id, "with the one before"),
    )


def _change(each: Json) -> tuple[object, ...]:
    moved = "; ".join(
        f"{one['feature']} {one['a']:,.3g} to {one['b']:,.3g}" for one in each["moved"]
    )
    return link("/users/", each["user"]), each["scoreA"], each["scoreB"], moved


def _shift(name: str, index: float, drifted: Collection[str] = ()) -> tuple[object, float, str]:
    words = f"{index:.3f} moved far" if name in drifted else f"{index:.3f}"
    return name.replace("_", " "), index, words


def _shifts(rows: list[tuple[object, float, str]]) -> Markup:
    return bars(
        "Population stability index of each feature",
        rows,
        heads=("Feature", f"Index: small shift above {SMALL_SHIFT}, large above {LARGE_SHIFT}"),
        most=max([2 * LARGE_SHIFT, *(index for _, index, _ in rows)]),
        nothing="No shift was measured.",
    )
