"""``/rules``: the detection rules, whether their own examples pass, and what they raised.

Rules are the speed and batch layers' code. The page asks the command `streamguard`, in a process of
its own, for their list and runs their examples once per start; alerts come from the API.
"""

import asyncio
import json
import sys
from typing import Any

from nicegui import ui
from starlette.requests import Request

from serving_layer.dashboard.api import ApiError, Json
from serving_layer.dashboard.html import Markup, element, join, note, table, tag
from serving_layer.dashboard.shell import Site, View

_COMMAND = (sys.executable, "-m", "streamguard_cli", "rules", "test", "--json")
_DEADLINE_SECONDS = 300.0


class RuleTests:
    """The outcome of the rules' examples, computed once for all viewers."""

    def __init__(self, command: tuple[str, ...] = _COMMAND) -> None:
        self._command = command
        self._task: asyncio.Task[list[Json]] | None = None

    async def rules(self) -> list[Json]:
        """Return every rule with the outcomes of its examples.

        Raises:
            ApiError: If the command is not installed here, or fails.
        """
        if self._task is None or (self._task.done() and self._task.exception() is not None):
            self._task = asyncio.create_task(self._run())
        return await asyncio.shield(self._task)

    async def _run(self) -> list[Json]:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                out, said = await process.communicate()
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise ApiError(f"the examples took longer than {_DEADLINE_SECONDS:.0f} s") from error
        try:
            found: dict[str, Any] = json.loads(out)
        except ValueError as error:
            words = said.decode(errors="replace").strip().splitlines()
            reason = words[-1] if words else f"exit code {process.returncode}"
            raise ApiError(f"the command streamguard cannot be used here: {reason}") from error
        rules: list[Json] = found["rules"]
        return rules


def add(site: Site) -> None:
    """Serve the page."""
    tests = RuleTests()

    @ui.page("/rules")
    async def rules(request: Request) -> None:
        with site.view(request, "Rules", "/rules") as view:
            section = view.section("Rules in force", lambda: _rules(view, tests), 10)
            section.frame.classes("wide")


async def _rules(view: View, tests: RuleTests) -> Markup:
    rules = await tests.rules()
    rows = [await _row(view, each) for each in rules]
    outcomes = [outcome for each in rules for outcome in each["examples"]]
    failed = sum(not each["passed"] for each in outcomes)
    words = f"{len(outcomes) - failed} examples pass, {failed} fail."
    return join(
        [
            note(words, kind="error" if failed else "info"),
            table(
                "Detection rules",
                ("Rule", "Severity", "Techniques", "Examples", "Alerts", "Waiting"),
                rows,
                numeric=("Alerts", "Waiting"),
                nothing="There are no rules.",
            ),
        ]
    )


async def _row(view: View, rule: Json) -> tuple[object, ...]:
    rule_id = rule["rule_id"]
    alerts = await view.api.get("/api/alerts/count", rule=rule_id)
    waiting = await view.api.get(
        "/api/alerts/count", rule=rule_id, resolved=False, suppressed=False
    )
    examples = rule["examples"]
    passed = all(each["passed"] for each in examples)
    listed = element(
        "details",
        element(
            "summary",
            tag("passed" if passed else "failed"),
            f" {sum(each['passed'] for each in examples)} of {len(examples)}",
        ),
        element("ul", *(_example(each) for each in examples)),
    )
    name = join([element("strong", rule_id), f" version {rule['version']}"])
    return (
        name,
        tag(rule["severity"]),
        ", ".join(rule["techniques"]),
        listed,
        f"{alerts['count']:,}",
        f"{waiting['count']:,}",
    )


def _example(each: Json) -> Markup:
    state = "passed" if each["passed"] else f"failed: raised {each['raised']} alerts"
    return element("li", f"{each['example']}: {state}")
