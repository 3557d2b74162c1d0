"""``/alerts``: the queue, worked through with the keyboard."""

from typing import Any
from urllib.parse import unquote

from nicegui import ui
from nicegui.events import GenericEventArguments
from starlette.requests import Request

from serving_layer.dashboard import alert_details
from serving_layer.dashboard.api import ApiError, Json
from serving_layer.dashboard.html import (
    SEVERITIES,
    Markup,
    address,
    clock,
    element,
    empty,
    link,
    note,
    tag,
)
from serving_layer.dashboard.shell import Site, View, remember

_ROWS = 50
_NAME_COOKIE = "streamguard_name"
_COLUMNS = ("Marked", "Time (UTC)", "Severity", "User", "Description", "Status", "With")
_ACTIONS = {
    "a": ("acknowledge", "Acknowledge"),
    "m": ("assign", "Assign to me"),
    "t": ("true_positive", "True positive"),
    "f": ("false_positive", "False positive"),
    "r": ("resolve", "Resolve"),
    "o": ("reopen", "Reopen"),
    "c": ("comment", "Comment"),
}
_WAITING: dict[str, Any] = {"resolved": False, "suppressed": False}
_SHOWN: dict[str, dict[str, Any]] = {
    "waiting": _WAITING,
    "open": {**_WAITING, "status": "open"},
    "acknowledged": {**_WAITING, "status": "acknowledged"},
    "resolved": {"resolved": True},
    "silenced": {"suppressed": True},
    "all": {},
}
_MOVES = {"j": 1, "ArrowDown": 1, "k": -1, "ArrowUp": -1, "Home": -_ROWS, "End": _ROWS}
_KEYS = """(event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('a')) return;
  const named = ['ArrowDown', 'ArrowUp', 'Home', 'End', 'Enter'];
  if (!named.includes(event.key) && !'jkxsamtfroc'.includes(event.key)) return;
  event.preventDefault();
  if (event.key === 'c') document.querySelector('.comment input').focus();
  else emit(event.key);
}"""
_BACK = "() => document.querySelector('.queue').focus()"
_CLICKS = """(event) => {
  const row = event.target.closest('tr[data-place]');
  if (row && !event.target.closest('a')) emit(Number(row.dataset.place));
}"""
_HELP = (
    "<p class=quiet>With the queue in focus: <kbd>j</kbd> <kbd>k</kbd> or arrows move, <kbd>x</kbd> marks for "
    "a step on many, <kbd>Enter</kbd> opens the user, <kbd>c</kbd> goes to the comment and <kbd>Esc</kbd> back, <kbd>s</kbd> "
    "silences alerts like a false positive. The letters on the buttons do what the buttons do.</p>"
)


def add(site: Site) -> None:
    """Serve the page."""

    @ui.page("/alerts")
    async def alerts(request: Request, alert: str = "") -> None:
        with site.view(request, "Alerts", "/alerts") as view:
            Queue(view, alert).build()


class Queue:
    """One visitor's place in the queue. The selected alert stays selected while others arrive."""

    def __init__(self, view: View, selected: str) -> None:
        self._view = view
        self._alerts: list[Json] = []
        self._selected = selected or None
        self._place = 0
        self._marked: set[str] = set()

    def build(self) -> None:
        """Draw tools, queue and details."""
        with ui.element("div").classes("wide"):
            self._build_tools()
            self._said = ui.html("", sanitize=False).props("role=status")
        self._queue = self._view.section("Queue", self._load, on_alert=True)
        grid = self._queue.content.classes("queue")
        grid.props('tabindex=0 role=grid aria-label="Alert queue"')
        grid.on("keydown", self._on_key, js_handler=_KEYS)
        grid.on("click", self._on_click, js_handler=_CLICKS)
        with ui.element("section").props('aria-label="Selected alert"'):
            ui.html("Selected alert", tag="h2", sanitize=False)
            self._details = ui.html(empty("No alert is selected."), sanitize=False)

    def _build_tools(self) -> None:
        name = unquote(self._view.request.cookies.get(_NAME_COOKIE, ""))
        with ui.element("div").classes("tools"):
            self._shown = ui.select(list(_SHOWN), value="waiting", label="Show")
            self._severity = ui.select(["any", *SEVERITIES], value="any", label="Severity")
            for choice in (self._shown, self._severity):
                choice.on_value_change(lambda: self._queue.refresh())
            self._by = ui.input("Your name", value=name).props("maxlength=100")
            self._by.on_value_change(lambda event: remember(_NAME_COOKIE, event.value or ""))
            self._comment = ui.input("Comment").props("maxlength=4000")
            self._comment.classes("comment").on("keydown.enter", lambda: self._act("comment"))
            self._comment.on("keydown.esc", js_handler=_BACK)
        with ui.element("div").classes("tools"):
            for key, (action, words) in _ACTIONS.items():
                ui.button(
                    f"{words} ({key})",
                    on_click=lambda _, each=action: self._act(each),
                    color=None,
                ).props("flat dense no-caps")
            ui.button("Silence alerts like it (s)", on_click=self._silence, color=None).props(
                "flat dense no-caps"
            )
        ui.html(_HELP, sanitize=False)

    async def _load(self) -> Markup:
        severity = None if self._severity.value == "any" else self._severity.value
        page = await self._view.api.get(
            "/api/alerts", limit=_ROWS, severity=severity, **_SHOWN[self._shown.value or "all"]
        )
        self._alerts = page["data"]
        self._marked &= {each["alert_id"] for each in self._alerts}
        await self._keep_place()
        return self._grid()

    async def _keep_place(self) -> None:
        """Select the same alert as before; where it has gone, the one that took its place."""
        ids = [each["alert_id"] for each in self._alerts]
        if self._selected in ids:
            self._place = ids.index(self._selected)
        else:
            self._place = min(self._place, max(len(ids) - 1, 0))
            self._selected = ids[self._place] if ids else None
        await self._show_details()

    def _grid(self) -> Markup:
        if not self._alerts:
            return empty(f"No alert: {self._shown.value}, severity {self._severity.value}.")
        self._queue.content.props(f"aria-activedescendant=alert-{self._place}")
        head = element(
            "tr", *(element("th", name, role="columnheader") for name in _COLUMNS), role="row"
        )
        rows = (self._row(place, each) for place, each in enumerate(self._alerts))
        return element(
            "table",
            element("thead", head, role="rowgroup"),
            element("tbody", *rows, role="rowgroup"),
            role="presentation",
        )

    def _row(self, place: int, each: Json) -> Markup:
        cells = (
            "●" if each["alert_id"] in self._marked else Markup(""),
            clock(each["timestamp"]),
            tag(each["severity"]),
            link("/users/", each["user_id"]),
            each["description"],
            tag(each["verdict"] or each["status"]),
            each["assignee"],
        )
        return element(
            "tr",
            *(
                element("td", cell, role="gridcell", data_label=name)
                for cell, name in zip(cells, _COLUMNS, strict=True)
            ),
            id=f"alert-{place}",
            role="row",
            class_="line",
            data_place=place,
            aria_selected=str(place == self._place).lower(),
        )

    async def _on_key(self, event: GenericEventArguments) -> None:
        key = event.args
        if key in _MOVES:
            await self._move(self._place + _MOVES[key])
        elif key == "x" and self._selected is not None:
            self._marked ^= {self._selected}
            await self._move(self._place + 1)
        elif key == "Enter" and self._alerts:
            ui.navigate.to(address("/users/", self._alerts[self._place]["user_id"]))
        elif key == "s":
            await self._silence()
        elif key in _ACTIONS:
            await self._act(_ACTIONS[key][0])

    async def _on_click(self, event: GenericEventArguments) -> None:
        await self._move(int(event.args))

    async def _move(self, place: int) -> None:
        if not self._alerts:
            return
        self._place = min(max(place, 0), len(self._alerts) - 1)
        self._selected = self._alerts[self._place]["alert_id"]
        self._queue.content.set_content(self._grid())
        ui.run_javascript(
            f"document.getElementById('alert-{self._place}')?.scrollIntoView({{block: 'nearest'}})"
        )
        await self._show_details()

    async def _show_details(self) -> None:
        try:
            shown = await alert_details.details(self._view.api, self._selected)
        except ApiError as error:
            shown = note(f"The alert cannot be shown: {error}", kind="error")
        self._details.set_content(shown)

    async def _act(self, action: str) -> None:
        """Take a step on the marked alerts, or on the selected one."""
        wanted = sorted(self._marked) or [each for each in [self._selected] if each]
        name = (self._by.value or "").strip()
        if not wanted or not name:
            self._say("No alert is selected." if name else "Say your name first.", kind="warning")
            return
        body: Json = {"alert_ids": wanted, "action": action, "by": name}
        comment = (self._comment.value or "").strip()
        if comment:
            body["comment"] = comment
        if action == "assign":
            body["assignee"] = name
        try:
            done = await self._view.api.post("/api/alerts/actions", body)
        except ApiError as error:
            self._say(f"Not done: {error}", kind="error")
            return
        self._comment.set_value("")
        self._marked.clear()
        self._say(f"{action.replace('_', ' ')}: {len(done['changed'])} of {len(wanted)} alerts")
        await self._queue.refresh()

    async def _silence(self) -> None:
        """Silence alerts like the selected false positive, after its preview was shown."""
        name = (self._by.value or "").strip()
        if self._selected is None or not name:
            self._say("No alert is selected." if name else "Say your name first.", kind="warning")
            return
        reason = (self._comment.value or "").strip() or "Marked a false positive on the dashboard."
        body = {"alert_id": self._selected, "by": name, "reason": reason}
        try:
            made = await self._view.api.post("/api/suppressions", body)
        except ApiError as error:
            self._say(f"Not done: {error}", kind="error")
            return
        self._say(f"Alerts like it are silenced: suppression {made['id']}")
        await self._queue.refresh()

    def _say(self, words: str, kind: str = "info") -> None:
        self._said.set_content(note(words, kind=kind))
