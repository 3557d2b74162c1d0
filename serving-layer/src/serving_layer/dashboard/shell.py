"""What every page has: navigation, a line that says how current the data is, live sections."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from fastapi import FastAPI
from nicegui import background_tasks, ui
from starlette.requests import Request

from serving_layer.dashboard.api import Api, ApiError, Json
from serving_layer.dashboard.html import Markup, element, join, note, text
from serving_layer.front_door import sign_in
from serving_layer.front_door.credentials import COOKIE
from serving_layer.services import Services

NAVIGATION = {
    "/": "Overview",
    "/alerts": "Alerts",
    "/users": "Users",
    "/runs": "Batch runs",
    "/transactions": "Transactions",
    "/rules": "Rules",
    "/seams": "Consistency",
    "/ask": "Ask",
    "/system": "System",
}

_TICK_SECONDS = 0.2
"""How soon after an alert the page asks for it."""
_STATUS_SECONDS = 2.0
_STALE_SECONDS = 30.0
_THEME_COOKIE = "streamguard_theme"
_THEMES: dict[str, bool | None] = {"auto": None, "dark": True, "light": False}
_STYLE = Path(__file__).with_name("style.css")
_YEAR_SECONDS = 31_536_000

Load = Callable[[], Awaitable[Markup]]


class Site:
    """The application that pages are added to."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def view(self, request: Request, title: str, here: str) -> "View":
        """Return the frame of one visit; enter it to fill it."""
        return View(self._app.state.services, Api(self._app, request), request, title, here)


class Section:
    """A part of a page, asked for again and again; what it showed last stays while that fails."""

    def __init__(self, title: str, load: Load, every_seconds: float, *, on_alert: bool) -> None:
        """Draw the section where the page stands.

        Args:
            title: Heading.
            load: Asks for the content.
            every_seconds: Pause between two askings.
            on_alert: Whether to ask at once when an alert was raised or changed.
        """
        self.on_alert = on_alert
        self._load = load
        self._every = every_seconds
        self._due = 0.0
        self._lock = asyncio.Lock()
        self._shown_at: float | None = None
        self.frame = ui.element("section").props(f'aria-label="{title}"')
        with self.frame:
            ui.html(title, tag="h2", sanitize=False)
            self._notice = ui.html("", sanitize=False)
            self.content = ui.html(note("Loading …"), sanitize=False).props("aria-busy=true")

    def start_if_due(self, *, now: bool) -> None:
        """Ask for the content in the background if it is time to, or if ``now``."""
        if self._lock.locked() or not (now or time.monotonic() >= self._due):
            return
        background_tasks.create(self.refresh(), name="dashboard section")

    async def refresh(self) -> None:
        """Ask for the content and show it, or say why it is not current."""
        async with self._lock:
            self._due = time.monotonic() + self._every
            try:
                content = await self._load()
            except ApiError as error:
                self._notice.set_content(self._failure(error))
                if self._shown_at is None:
                    self.content.set_content("")
                return
            self._shown_at = time.time()
            self._notice.set_content("")
            self.content.set_content(content)
            self.content.props("aria-busy=false")

    def _failure(self, error: ApiError) -> Markup:
        if self._shown_at is None:
            return note(f"Cannot be shown: {error}", kind="error")
        shown = time.strftime("%H:%M:%S", time.gmtime(self._shown_at))
        return note(f"Not current: {error}. This is as of {shown} UTC.", kind="warning")


class View:
    """One visit of a page: its API, its sections, its timer."""

    def __init__(
        self, services: Services, api: Api, request: Request, title: str, here: str
    ) -> None:
        self.services = services
        self.api = api
        self.request = request
        self._title = title
        self._here = here
        self._sections: list[Section] = []
        self._ring = services.bell.next_ring()

    def __enter__(self) -> Self:
        ui.page_title("StreamGuard" if self._here == "/" else f"{self._title} - StreamGuard")
        ui.add_css(_STYLE)
        ui.html('<a class="skip" href="#main">Skip to content</a>', sanitize=False)
        with ui.element("header").classes("top"):
            ui.html(_navigation(self._here), tag="nav", sanitize=False).props("aria-label=Pages")
            _theme_button(self.request)
            if COOKIE in self.request.cookies:
                ui.html(element("a", "Key", href=sign_in.PATH), sanitize=False)
        self._status = ui.html("", sanitize=False).props("role=status").classes("status")
        ui.html('<span id="main" tabindex="-1"></span>', sanitize=False)
        self._content = ui.element("div").classes("content")  # the page around it is a <main>
        self._content.__enter__()
        ui.html(text(self._title), tag="h1", sanitize=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._content.__exit__(kind, error, trace)
        ui.timer(_TICK_SECONDS, self._tick)
        ui.timer(_STATUS_SECONDS, self._show_status)

    def section(
        self, title: str, load: Load, every_seconds: float = 2.0, *, on_alert: bool = False
    ) -> Section:
        """Add a section to where the page stands."""
        made = Section(title, load, every_seconds, on_alert=on_alert)
        self._sections.append(made)
        return made

    def _tick(self) -> None:
        ring = self.services.bell.next_ring()
        rung, self._ring = ring is not self._ring, ring
        for section in self._sections:
            section.start_if_due(now=rung and section.on_alert)

    async def _show_status(self) -> None:
        try:
            body = await self.api.get("/api/health/status")
        except ApiError as error:
            self._status.set_content(note(f"The API does not answer: {error}", kind="error"))
            return
        self._status.set_content(_condition(body))


def _navigation(here: str) -> Markup:
    links = (
        element("a", name, href=path, aria_current="page" if path == here else None)
        for path, name in NAVIGATION.items()
    )
    return join(links)


def _condition(body: Json) -> Markup:
    """Return what a reader must know before trusting a figure; short when there is nothing."""
    said: list[Markup] = []
    if not body["ready"]:
        said.append(note("Not ready: the views are being loaded.", kind="warning"))
    elif not body["complete"]:
        said.append(note(f"Incomplete: {body['incomplete_reason']}", kind="warning"))
    failure = body["run_failure"]
    if failure is not None:
        words = (
            f"The newest batch run cannot be loaded, the one before is shown: {failure['reason']}"
        )
        said.append(note(f"{words} ({failure['file']})", kind="error"))
    fresh = body["freshness_seconds"]
    if fresh is not None and fresh > _STALE_SECONDS:
        # Tens of seconds: a screen reader is told of each change.
        said.append(note(f"Stale: no news for {fresh // 10 * 10:.0f} s.", kind="warning"))
    return join(said) if said else element("p", text("Complete and current"), class_="current")


def _theme_button(request: Request) -> None:
    theme = request.cookies.get(_THEME_COOKIE, "auto")
    theme = theme if theme in _THEMES else "auto"
    mode = ui.dark_mode(_THEMES[theme])
    names = list(_THEMES)

    def turn() -> None:
        nonlocal theme
        theme = names[(names.index(theme) + 1) % len(names)]
        mode.value = _THEMES[theme]
        button.set_text(f"Theme: {theme}")
        remember(_THEME_COOKIE, theme)

    button = ui.button(f"Theme: {theme}", on_click=turn, color=None).props("flat dense no-caps")


def remember(cookie: str, value: str) -> None:
    """Keep a choice of the viewer in the browser; ``value`` is a word without special characters."""
    ui.run_javascript(
        f"document.cookie = {cookie!r} + '=' + encodeURIComponent({value!r}) "
        f"+ '; path=/; max-age={_YEAR_SECONDS}; samesite=strict'"
    )
