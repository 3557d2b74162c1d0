"""``/ask``: a question to the assistant; its answer arrives in parts, each sentence with evidence."""

import re

from nicegui import ui
from starlette.requests import Request

from serving_layer.dashboard.api import ApiError, Json
from serving_layer.dashboard.html import (
    Markup,
    element,
    empty,
    figures,
    join,
    link,
    note,
    record,
    text,
)
from serving_layer.dashboard.services import answer_events
from serving_layer.dashboard.shell import Site, View
from serving_layer.front_door.credentials import bearer

_WINDOWS = ("1h", "24h", "7d", "4w")
_SHORTEST, _LONGEST = 5, 500
_TURNS = 20
_CITED = re.compile(r"\[(E\d+(?:, ?E\d+)*)\]")
_EXAMPLES = (
    "Who is riskiest?",
    "Which alerts are open and what should I do first?",
    "How healthy is the pipeline?",
)


def add(site: Site) -> None:
    """Serve the page; ``question`` is asked at once."""

    @ui.page("/ask")
    async def ask(request: Request, question: str = "") -> None:
        with site.view(request, "Ask", "/ask") as view:
            Conversation(view).build(question)


class Conversation:
    """One visitor's questions; follow-ups refer to the ones before."""

    def __init__(self, view: View) -> None:
        self._services = view.services
        self._credentials = bearer(view.request.headers)
        self._turns: list[Json] = []
        self._number = 0
        self._busy = False

    def build(self, question: str) -> None:
        """Draw the question's field and the place for answers."""
        with ui.element("div").classes("wide"):
            with ui.element("div").classes("tools"):
                self._question = ui.input("Question", value=question).props(
                    f"maxlength={_LONGEST} autofocus"
                )
                self._question.style("flex: 1 1 20em").on("keydown.enter", self._ask)
                self._window = ui.select(list(_WINDOWS), value="24h", label="Look back")
                ui.button("Ask", on_click=self._ask, color=None).props("flat no-caps")
            with ui.element("div").classes("tools"):
                for example in _EXAMPLES:
                    ui.button(
                        example, on_click=lambda _, each=example: self._ask_this(each), color=None
                    ).props("flat dense no-caps")
            self._nothing = ui.html(empty("Nothing asked yet."), sanitize=False)
        self._answers = ui.element("div").classes("wide")
        if question:
            ui.timer(0.1, self._ask, once=True)

    async def _ask_this(self, question: str) -> None:
        self._question.set_value(question)
        await self._ask()

    async def _ask(self) -> None:
        question = (self._question.value or "").strip()
        if self._busy:
            return
        if len(question) < _SHORTEST:
            words = f"A question has {_SHORTEST} to {_LONGEST} characters."
            self._nothing.set_content(note(words, kind="warning"))
            return
        self._busy = True
        self._number += 1
        self._nothing.set_content("")
        with self._answers, ui.element("article") as article:
            ui.html(element("h2", question), sanitize=False)
            shown = ui.html(note("Looking for evidence …"), sanitize=False).classes("answer")
            shown.props("aria-live=polite")
        article.move(target_index=0)
        try:
            await self._stream(question, shown)
        finally:
            self._busy = False

    async def _stream(self, question: str, shown: ui.html) -> None:
        """Show the answer as it comes about."""
        answer = Answer(f"a{self._number}")
        query = {
            "question": question,
            "context_window": self._window.value,
            "conversation": self._turns[-_TURNS:],
        }
        try:
            async for name, body in answer_events(self._services, query, self._credentials):
                answer.take(name, body)
                shown.set_content(answer.shown())
        except ApiError as error:
            failed = note(f"Not answered: {error}", kind="error")
            shown.set_content(join([answer.shown(), failed]))
            return
        self._turns.append({"question": question})
        self._question.set_value("")


class Answer:
    """An answer in the making: parts of text and the records they cite."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._parts: list[str] = []
        self._evidence: dict[str, Json] = {}
        self._final: Json | None = None

    def take(self, name: str, body: Json) -> None:
        """Take one event of the stream."""
        if name == "evidence":
            self._evidence[body["id"]] = body
        elif name == "part":
            self._parts.append(body["text"])
        elif name == "answer":
            self._final = body
            self._evidence = {each["id"]: each for each in body["evidence"]}

    def shown(self) -> Markup:
        """Return what is known so far."""
        final = self._final
        words = final["answer"] if final is not None else "\n\n".join(self._parts)
        if not words:
            found = len(self._evidence)
            return note(f"Looking for evidence … {found} records so far")
        parts = [element("p", self._cited(each)) for each in words.split("\n") if each.strip()]
        if final is not None:
            parts += [self._actions(final), self._facts(final)]
        cited = "".join(parts)
        evidence = [
            each for each in self._evidence.values() if f"#{self._anchor(each['id'])}" in cited
        ]
        parts.append(element("h3", "Evidence"))
        parts += [self._record(each) for each in evidence]
        return join(parts)

    def _anchor(self, number: str) -> str:
        return f"{self._name}-{number}"

    def _cited(self, words: str) -> Markup:
        """Return text in which each citation is a link to its record."""
        pieces: list[object] = []
        end = 0
        for found in _CITED.finditer(words):
            pieces.append(words[end : found.start()] or Markup(""))
            numbers = re.split(r", ?", found.group(1))
            links = (element("a", each, href=f"#{self._anchor(each)}") for each in numbers)
            pieces.append(join(["[", join(links, ", "), "]"]))
            end = found.end()
        pieces.append(words[end:] or Markup(""))
        return join(pieces)

    def _record(self, each: Json) -> Markup:
        values = each["record"]
        links = [
            link(base, values[name], f"open {name.removesuffix('_id')}")
            for name, base in _PAGES.items()
            if isinstance(values.get(name), str)
        ]
        title = f"{each['id']}: {each['kind']} from {each['source']}"
        # A browser opens what a link points into.
        inner = element(
            "div",
            join(links, " · "),
            record(values),
            id=self._anchor(each["id"]),
            class_="evidence",
        )
        return element("details", element("summary", title), inner)

    def _actions(self, final: Json) -> Markup:
        actions = final["action_details"]
        if not actions:
            return Markup("")
        items = (
            element("li", f"{each['action']} ", element("span", each["reason"], class_="quiet"))
            for each in actions
        )
        return join([element("h3", "What to do"), element("ol", *items)])

    def _facts(self, final: Json) -> Markup:
        check = final["citation_check"]
        return figures(
            {
                "Verdict": text(final["verdict"] or "none asked"),
                "Confidence": f"{final['confidence']:.2f}",
                "Sentences that hold": f"{check['valid']} of {check['cited']}",
                "Mode": final["mode"],
                "Took": f"{final['query_time_ms']:,.0f} ms",
            }
        )


_PAGES = {
    "user": "/users/",
    "user_id": "/users/",
    "event_id": "/events/",
    "alert_id": "/alerts?alert=",
}
"""Keys of a record that have a page."""
