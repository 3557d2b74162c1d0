"""``/system``: is every service well, and what waits because one is not."""

from nicegui import ui
from starlette.requests import Request

from serving_layer.dashboard.api import Json
from serving_layer.dashboard.html import Markup, element, figures, join, note, table, tag
from serving_layer.dashboard.services import ask_assistant
from serving_layer.dashboard.shell import Site, View


def add(site: Site) -> None:
    """Serve the page."""

    @ui.page("/system")
    async def system(request: Request) -> None:
        with site.view(request, "System", "/system") as view:
            page = SystemPage(view)
            view.section("Serving layer", page.serving, 2)
            view.section("Speed layer", page.speed, 2)
            view.section("Batch layer", page.batch, 5)
            view.section("Assistant", page.assistant, 5)
            view.section("Webhooks", page.webhooks, 5)
            ui.html(_LINKS, sanitize=False)


class SystemPage:
    """What the sections of one visit ask for."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._api = view.api

    async def serving(self) -> Markup:
        """Return this service's own state."""
        body, live = await self._api.get("/api/health/status"), await self._api.get("/api/metrics")
        fresh = body["freshness_seconds"]
        return figures(
            {
                "State": tag(body["status"]),
                "Ready": body["ready"],
                "Complete": body["complete"],
                "Freshness": "unknown" if fresh is None else f"{fresh:.1f} s",
                "Lag": f"{live['lag_records']:,} records",
                "Runs taken over": live["swaps"],
                "Analyses": live["analyses"],
            }
        )

    async def speed(self) -> Markup:
        """Return which instance owns each partition, and what is wrong with it."""
        body = await self._api.get("/api/health/status")
        return table(
            "Partitions and the speed instances that own them",
            ("Partition", "Instance", "State"),
            [_owner(each) for each in body["speed"]],
            nothing="No speed instance owns a partition.",
        )

    async def batch(self) -> Markup:
        """Return the batch layer's health and its newest run."""
        body = await self._api.get("/api/spark-metrics")
        health, runs = body["health"], body["runs"]
        newest = runs[0] if runs else {}
        uptime = health.get("uptime")
        return figures(
            {
                "State": tag(health["status"]),
                "Spark": health.get("spark"),
                "Up for": None if uptime is None else f"{uptime / 60:.0f} min",
                "Newest run": newest.get("runId") or "none yet",
                "Its status": tag(str(newest.get("status", "none")).lower()),
            }
        )

    async def assistant(self) -> Markup:
        """Return the assistant's health and what it stands on."""
        body = await ask_assistant(self._view.services, "/health")
        rows = [(name, tag(state)) for name, state in body["services"].items()]
        return join(
            [
                figures({"State": tag(body["status"]), "Mode": body["mode"]}),
                table("What the assistant needs", ("Service", "State"), rows),
            ]
        )

    async def webhooks(self) -> Markup:
        """Return targets of alerts, and messages that no attempt could deliver."""
        targets = await self._api.get("/api/webhooks")
        dead = await self._api.get("/api/webhooks/dead-letters", limit=10)
        if not targets["data"]:
            return element("p", "No webhook is set up (SERVING_WEBHOOKS_FILE).", class_="empty")
        parts = [element("p", f"{len(targets['data'])} targets")]
        if dead["data"]:
            parts.append(note(f"{len(dead['data'])} messages were given up.", kind="warning"))
        return join(parts)


def _owner(each: Json) -> tuple[object, ...]:
    failure = each["failure"]
    state = note(failure, kind="warning") if failure else tag("healthy")
    return f"{each['topic']}/{each['partition']}", each["instance"], state


_LINKS = (
    '<p class="wide"><a href="/docs">API documentation</a> · <a href="/openapi.json">OpenAPI</a> · '
    '<a href="/metrics">Metrics</a></p>'
)
