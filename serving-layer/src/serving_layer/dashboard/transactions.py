"""``/transactions``: the stream's windows as they stand, and the newest analyses as charts."""

from collections import defaultdict

from nicegui import ui
from starlette.requests import Request

from serving_layer.dashboard.api import ApiError, Json
from serving_layer.dashboard.html import (
    Markup,
    bar,
    bars,
    clock,
    columns,
    element,
    empty,
    figures,
    join,
    note,
    table,
    tag,
)
from serving_layer.dashboard.services import ask_batch
from serving_layer.dashboard.shell import Site, View

_WINDOWS = "stream/stream_aggregations"
_MOST_ROWS = 10_000
_SHOWN_WINDOWS = 60
_BATCHES = 50
_CHART_ROWS = 12
_FULL, _SCORING = "full_report", "fraud_scoring"
_NOT_FOUND = 404

_CHARTS: dict[str, tuple[str, str, str]] = {
    "revenue_by_category": ("Revenue by category", "category", "total_revenue"),
    "revenue_by_region": ("Revenue by region", "region", "total_revenue"),
    "payment_analysis": ("Revenue by payment", "payment_method", "total_revenue"),
    "customer_segmentation": ("Lifetime value by customer tier", "customer_tier", "lifetime_value"),
    "fraud_analysis": ("Frauds by category", "category", "fraud_count"),
    "hourly_trends": ("Revenue by hour", "event_hour", "hourly_revenue"),
    "channel_performance": ("Revenue by channel", "channel", "total_revenue"),
    "inventory_velocity": ("Units sold by product", "product_name", "total_units_sold"),
}
"""Title, what rows are named by, and what is drawn, of each analysis."""


def add(site: Site) -> None:
    """Serve the page."""

    @ui.page("/transactions")
    async def transactions(request: Request) -> None:
        with site.view(request, "Transactions", "/transactions") as view:
            page = TransactionsPage(view)
            view.section("Stream", page.stream, 5)
            view.section("Windows", page.windows, 5)
            view.section("Newest analyses", page.analyses, 15)
            view.section("Batches", page.batches, 5).frame.classes("wide")


class TransactionsPage:
    """What the sections of one visit ask for; the batch layer holds all of it."""

    def __init__(self, view: View) -> None:
        self._services = view.services
        self._analyses: tuple[tuple[str, ...], Markup] | None = None

    async def stream(self) -> Markup:
        """Return whether the streaming queries run, and how fast."""
        body = await ask_batch(self._services, "/stream/status")
        if not body["queries"]:
            return empty("The stream is not started: POST /stream/start of the batch layer.")
        return table(
            f"Streaming queries over {body['topic']}",
            ("Query", "State", "Rows per s", "Restarts", "Last error"),
            [_query(each) for each in body["queries"]],
            numeric=("Rows per s", "Restarts"),
        )

    async def windows(self) -> Markup:
        """Return the newest windows: revenue, transactions, fraud."""
        path = f"/tables/{_WINDOWS}/data"
        try:
            first = await ask_batch(self._services, path, limit=1)
            offset = max(first["rowCount"] - _MOST_ROWS, 0)
            body = await ask_batch(self._services, path, limit=_MOST_ROWS, offset=offset)
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return empty("No window has been computed yet.")
            raise
        newest = windows_of(body["data"])[-_SHOWN_WINDOWS:]
        if not newest:
            return empty("No window has been computed yet.")
        last = newest[-1]
        revenue = [(each["name"], each["revenue"]) for each in newest]
        fraud = [(each["name"], float(each["fraud"])) for each in newest]
        return join(
            [
                figures(
                    {
                        "Newest window (UTC)": last["name"],
                        "Transactions": last["transactions"],
                        "Revenue": f"{last['revenue']:,.2f}",
                        "Fraud alerts": last["fraud"],
                    }
                ),
                columns("Revenue per window of 5 minutes", revenue),
                columns("Fraud alerts per window of 5 minutes", fraud),
            ]
        )

    async def analyses(self) -> Markup:
        """Return the newest report and fraud scoring; read again when there is a newer one."""
        body = await ask_batch(self._services, "/batch/list", status="COMPLETED", limit=_BATCHES)
        if not body["batches"]:
            return empty("No analysis has completed yet: POST /batch/run of the batch layer.")
        ended = body["batches"]
        full = [each for each in ended if each["analysisType"] == _FULL]
        scored = [each for each in ended if each["analysisType"] == _SCORING]
        others = [each for each in ended if each["analysisType"] != _SCORING]
        wanted = [*(full or others)[:1], *scored[:1]]
        names = tuple(each["batchId"] for each in wanted)
        if self._analyses is None or self._analyses[0] != names:
            self._analyses = (names, join([await self._charts(each) for each in wanted]))
        return self._analyses[1]

    async def _charts(self, batch: Json) -> Markup:
        body = await ask_batch(self._services, f"/batch/data/{batch['batchId']}/aggregated")
        data = body["data"]
        found = data if isinstance(data, dict) else {batch["analysisType"]: data}
        rows = f"{batch['rowCount']:,} transactions" if batch["rowCount"] is not None else ""
        said = f"{batch['batchId']}, {batch['analysisType']}, {rows}, ended "
        parts = [element("p", said, clock(batch["endTime"]))]
        for name, each in found.items():
            parts += [
                element("h3", _CHARTS.get(name, (name.replace("_", " ").capitalize(),))[0]),
                chart(name, each),
            ]
        return join(parts)

    async def batches(self) -> Markup:
        """Return the newest batches, whatever became of them."""
        body = await ask_batch(self._services, "/batch/list", limit=_CHART_ROWS)
        return table(
            "Newest batches",
            ("Asked (UTC)", "Batch", "Analysis", "Status", "Rows", "Error"),
            [
                (
                    clock(each["submitTime"]),
                    each["batchId"],
                    each["analysisType"],
                    tag(each["status"].lower()),
                    each["rowCount"],
                    each["errorMessage"],
                )
                for each in body["batches"]
            ],
            numeric=("Rows",),
            nothing="No batch was asked for yet.",
        )


def windows_of(rows: list[Json]) -> list[Json]:
    """Return one entry per window over all categories, oldest first."""
    found: dict[str, Json] = defaultdict(lambda: {"transactions": 0, "revenue": 0.0, "fraud": 0})
    for row in rows:
        window = found[row["window_start"]]
        window["transactions"] += row["txn_count"]
        window["revenue"] += float(row["window_revenue"] or 0)
        window["fraud"] += row["fraud_alerts"]
    return [{"name": start[:16].replace("T", " "), **found[start]} for start in sorted(found)]


def chart(name: str, rows: list[Json]) -> Markup:
    """Return an analysis as a bar chart: rows of the same name are added up, largest first."""
    if name == _SCORING:
        return _suspicious(rows)
    if name not in _CHARTS or (rows and _CHARTS[name][2] not in rows[0]):
        return note(f"{len(rows):,} rows.")
    title, label, value = _CHARTS[name]
    sums: dict[str, float] = defaultdict(float)
    for row in rows:
        sums[str(row.get(label))] += float(row[value] or 0)
    order = sorted(sums) if label == "event_hour" else sorted(sums, key=lambda one: -sums[one])
    if label == "event_hour":
        points = [(f"{int(hour):02}:00", sums[hour]) for hour in sorted(order, key=int)]
        return columns(title, points)
    drawn = [(each, sums[each], f"{sums[each]:,.0f}") for each in order[:_CHART_ROWS]]
    return bars(title, drawn, heads=(label.replace("_", " "), value.replace("_", " ")))


def _suspicious(rows: list[Json]) -> Markup:
    return table(
        "Suspicious transactions, highest risk first",
        ("Risk", "Transaction", "Customer", "Amount", "Why"),
        [
            (
                join([bar(each["risk"]), f"{each['risk']:.2f}"]),
                each["transaction_id"],
                each["customer_id"],
                f"{float(each['total_amount']):,.2f}",
                "; ".join(each["reasons"]),
            )
            for each in rows[:_CHART_ROWS]
        ],
        numeric=("Amount",),
        nothing="No transaction is suspicious.",
    )


def _query(each: Json) -> tuple[object, ...]:
    progress = each.get("lastProgress") or {}
    state = "running" if each["isActive"] else "stopped"
    error = each.get("lastError") or each.get("exception")
    return each["name"], tag(state), progress.get("processedRowsPerSecond"), each["restarts"], error
