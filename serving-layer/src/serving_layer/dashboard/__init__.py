"""The dashboard: NiceGUI pages, served by the application whose API they ask.

* ``api``       asks this application's own routes, in process, with the viewer's credentials
* ``services``  asks the batch layer and the assistant, where the data is theirs
* ``html``      tables, bars and charts as escaped, semantic HTML
* ``shell``     what every page has: navigation, status line, sections that load, fail and go stale
* one module per page
"""

from fastapi import FastAPI
from nicegui import ui
from starlette.exceptions import HTTPException

from serving_layer.dashboard import (
    alerts,
    ask,
    consistency,
    event,
    overview,
    rules,
    runs,
    system,
    transactions,
    users,
)
from serving_layer.dashboard.shell import Site

PAGES = (overview, alerts, users, event, runs, transactions, rules, consistency, ask, system)


def mount(app: FastAPI) -> None:
    """Serve the pages of ``app`` from ``/`` on; unknown API paths stay problems."""

    @app.api_route("/api/{path:path}", include_in_schema=False)
    async def unknown(path: str) -> None:
        raise HTTPException(404, f"there is no /api/{path}")

    site = Site(app)
    for page in PAGES:
        page.add(site)
    ui.run_with(
        app,
        title="StreamGuard",
        dark=None,
        language="en-US",
        tailwind=False,
        show_welcome_message=False,
    )
