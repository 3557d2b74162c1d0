"""``streamguard alerts``: what waits, one alert with its history, steps on it, the live stream."""

import argparse
import getpass
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

from streamguard_cli.errors import ServiceError, UsageError
from streamguard_cli.filters import add_range_flags, time_range
from streamguard_cli.output import result, say
from streamguard_cli.service import Service, add_flags
from streamguard_cli.tables import (
    Column,
    Json,
    cell,
    clock,
    field,
    moment,
    say_incomplete,
    show_count,
    show_facts,
    show_json,
    show_table,
)

STEPS = (
    "acknowledge", "assign", "resolve", "true_positive", "false_positive", "comment", "reopen",
)  # fmt: skip

_ALERTS: tuple[Column, ...] = (
    ("TIME (UTC)", moment("timestamp")),
    ("SEVERITY", field("severity")),
    ("USER", field("user_id")),
    ("RULE", field("rule_id")),
    ("STATUS", lambda row: row.get("verdict") or row.get("status")),
    ("WITH", field("assignee")),
    ("ALERT", field("alert_id")),
    ("DESCRIPTION", field("description")),
)
_STEPS: tuple[Column, ...] = (
    ("AT (UTC)", moment("at")),
    ("BY", field("by")),
    ("STEP", field("action")),
    ("COMMENT", field("comment")),
)
_TIMES = ("timestamp", "first_seen", "last_seen", "updated_at")
_SILENCE_SECONDS = 60.0
"""The stream says something every 15 seconds; after so long it is dead."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 15.0


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the verb and its flags."""
    parser = commands.add_parser("alerts", help="list waiting alerts, follow them, work on them")
    parser.add_argument("alert_id", metavar="ALERT", nargs="?", help="show this one, or work on it")
    parser.add_argument("--follow", action="store_true", help="go on with new ones, as they come")
    parser.add_argument("--count", action="store_true", help="print only how many there are")
    parser.add_argument("--all", action="store_true", help="resolved and silenced ones too")
    parser.add_argument("--severity", help="LOW, MEDIUM, HIGH or CRITICAL")
    parser.add_argument("--user", help="only this user's")
    parser.add_argument("--rule", help="only of this rule or alert type")
    parser.add_argument("--status", help="open, acknowledged or resolved")
    parser.add_argument("--assignee", help="only those this person has")
    parser.add_argument("--do", choices=STEPS, metavar="STEP", help=f"one of {', '.join(STEPS)}")
    parser.add_argument("--by", default=_login(), help="who takes the step (default: your login)")
    parser.add_argument("--comment", help="goes with the step")
    add_range_flags(parser)
    add_flags(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print alerts, or take a step on one.

    Raises:
        CommandError: If the serving layer does not answer, or refuses; if flags do not fit.
    """
    service = Service(options.url)
    if options.alert_id is not None:
        return _one(service, options)
    if options.do is not None:
        raise UsageError(f"--do {options.do}: needs the ALERT it is done to")
    if options.count:
        show_count(service.get("/api/alerts/count", **_filters(options)), as_json=options.json)
        return 0
    if options.follow:
        return follow(service, options)
    body = service.rows("/api/alerts", options.limit, **_filters(options))
    if options.json:
        show_json(body)
    else:
        show_table(body["data"], _ALERTS, "no such alert is waiting")
        say_incomplete(body)
    return 0


def _filters(options: argparse.Namespace) -> dict[str, Any]:
    waiting: dict[str, Any] = {"resolved": "false", "suppressed": "false"}
    if options.all or options.status == "resolved":
        waiting = {}
    return {
        "severity": options.severity,
        "user": options.user,
        "rule": options.rule,
        "status": options.status,
        "assignee": options.assignee,
        **waiting,
        **time_range(options),
    }


def _one(service: Service, options: argparse.Namespace) -> int:
    path = f"/api/alerts/{quote(options.alert_id, safe='')}"
    if options.do is not None:
        step: Json = {"action": options.do, "by": options.by, "comment": options.comment}
        if options.do == "assign":
            step["assignee"] = options.assignee
        alert = service.post(f"{path}/actions", step)
    else:
        alert = service.get(path)
    steps = service.get(f"{path}/history")["steps"]
    if options.json:
        show_json({**alert, "history": steps})
        return 0
    times = {name: clock(alert[name]) for name in _TIMES}
    shown = {name: value for name, value in alert.items() if value is not None}
    show_facts({name: times.get(name, value) for name, value in shown.items()})
    if steps:
        show_table(steps, _STEPS, "")
    return 0


def follow(service: Service, options: argparse.Namespace) -> int:
    """Print the newest alerts, then each new one until interrupted; none is lost or repeated.

    Raises:
        ServiceError: If the serving layer refuses.
    """
    for alert in live(service, _filters(options), options.limit):
        if options.json:
            result(json.dumps(alert, ensure_ascii=False))
        else:
            words = (field(name)(alert) for name in ("severity", "user_id", "description"))
            result("  ".join([clock(alert["timestamp"]), *map(cell, words), alert["alert_id"]]))
    return 0


def live(service: Service, filters: dict[str, Any], newest: int) -> Iterator[Json]:
    """Yield the newest alerts, oldest of them first, then new ones for ever.

    The stream says first where it stands, in an id without an alert; only then the list is asked
    for. What is raised after that id comes by the stream, which is taken up again by its last id.
    """
    last_id: str | None = None
    shown: set[str] | None = None
    connected = False
    pause = _FIRST_PAUSE_SECONDS
    timeout = httpx.Timeout(30.0, read=_SILENCE_SECONDS)
    while True:
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        try:
            with service.stream("/api/alerts/stream", headers, timeout, **filters) as response:
                connected, pause = True, _FIRST_PAUSE_SECONDS
                for event_id, alert in _events(response):
                    if shown is None:
                        listed = service.rows("/api/alerts", newest, **filters)["data"][::-1]
                        shown = {each["alert_id"] for each in listed}
                        yield from listed
                    last_id = event_id
                    if alert is not None and alert["alert_id"] not in shown:
                        yield alert
            reason = "the stream ended"
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
        except httpx.InvalidURL as error:
            raise ServiceError(f"{service.url} is no URL: {error}") from error
        if not connected:
            raise ServiceError(f"{service.url}: {reason}")
        say(f"{reason}; trying again")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _events(response: httpx.Response) -> Iterator[tuple[str, Json | None]]:
    """Yield (event id, alert) of a stream of server-sent events; None for an id that stands alone."""
    event_id, told, data = "", "", ""
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            event_id = value
        elif name == "data":
            data = value
        elif not line and (data or event_id != told):  # pings have neither
            yield event_id, json.loads(data) if data else None
            told, data = event_id, ""


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user database
        return "operator"
