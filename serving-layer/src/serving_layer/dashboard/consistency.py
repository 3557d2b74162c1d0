"""``/seams``: the proof that every offset is held exactly once, and the seams before."""

from nicegui import ui
from starlette.requests import Request

from serving_layer.dashboard.api import Json
from serving_layer.dashboard.html import Markup, clock, figures, join, note, table
from serving_layer.dashboard.shell import Site, View

_COUNTS = {
    "First offset": "first_offset",
    "Seam": "seam",
    "Next offset": "next_offset",
    "Batch rows": "batch_rows",
    "Live rows": "realtime_rows",
    "Dead letters": "dead_letters",
    "Duplicates": "duplicates",
    "Skipped": "skipped",
    "Missing": "missing",
    "Double": "double",
}


def add(site: Site) -> None:
    """Serve the page."""

    @ui.page("/seams")
    async def seams(request: Request) -> None:
        with site.view(request, "Consistency", "/seams") as view:
            view.section("Proof", lambda: _proof(view))
            view.section("Per partition", lambda: _partitions(view))
            view.section("Seams taken over", lambda: _history(view), 5)


async def _proof(view: View) -> Markup:
    body = await view.api.get("/consistency")
    holds = not body["missing"] and not body["double"]
    words = (
        "Every offset is a batch row, a live row, a dead letter, a duplicate or was skipped, once."
        if holds
        else "The views do not hold every offset once. Keep the lake and the speed store."
    )
    return join(
        [
            note(words, kind="info" if holds else "error"),
            figures(
                {
                    "Missing": body["missing"],
                    "Double": body["double"],
                    "Batch run": body["run_id"],
                    "Complete": body["complete"],
                }
            ),
        ]
    )


async def _partitions(view: View) -> Markup:
    body = await view.api.get("/consistency")
    rows = [
        (f"{each['topic']}/{each['partition']}", *(each[name] for name in _COUNTS.values()))
        for each in body["partitions"]
    ]
    return table(
        "Account of every partition",
        ("Partition", *_COUNTS),
        rows,
        numeric=_COUNTS,
        nothing="No partition has been read yet.",
    )


async def _history(view: View) -> Markup:
    body = await view.api.get("/consistency")
    return table(
        "The newest seams that were taken over",
        ("Time (UTC)", "Batch run", "Moved by", "Missing", "Double"),
        [_seam(each) for each in body["history"]],
        numeric=("Missing", "Double"),
        nothing="No seam has been taken over since this process started.",
    )


def _seam(each: Json) -> tuple[object, ...]:
    moved = ", ".join(f"{name} +{by:,}" for name, by in each["moved"].items() if by)
    return clock(each["served_at"]), each["run_id"], moved, each["missing"], each["double"]
