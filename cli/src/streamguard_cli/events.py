"""``streamguard events`` and ``streamguard anomalies``: what happened, and what of it is odd."""

import argparse
from urllib.parse import quote

from streamguard_cli.errors import UsageError
from streamguard_cli.filters import add_event_flags, event_filters
from streamguard_cli.output import printable, result
from streamguard_cli.service import Service, add_flags
from streamguard_cli.tables import (
    Column,
    Json,
    field,
    moment,
    reasons,
    say_incomplete,
    score,
    show_count,
    show_facts,
    show_json,
    show_table,
)

_EVENTS: tuple[Column, ...] = (
    ("TIME (UTC)", moment("timestamp")),
    ("USER", field("user")),
    ("TYPE", field("event_type")),
    ("STATUS", field("status")),
    ("ADDRESS", field("source_ip")),
    ("SCORE", score("anomaly_score")),
    ("LAYER", field("source")),
    ("EVENT", field("event_id")),
)
_ANOMALIES: tuple[Column, ...] = (
    ("TIME (UTC)", moment("timestamp")),
    ("SCORE", score("anomaly_score")),
    ("USER", field("user")),
    ("TYPE", field("event_type")),
    ("EVENT", field("event_id")),
    ("WHY", lambda row: reasons(row["reasons"])),
)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe both verbs and their flags."""
    events = commands.add_parser("events", help="list events, newest first, or show one")
    events.add_argument("event_id", metavar="EVENT", nargs="?", help="show this one")
    events.add_argument(
        "--threats", type=float, metavar="SCORE", help="only with this threat score or more"
    )
    add_event_flags(events)
    add_flags(events)
    events.set_defaults(run=run_events)

    anomalies = commands.add_parser(
        "anomalies", help="list anomalous events with the reasons, or explain one"
    )
    anomalies.add_argument("event_id", metavar="EVENT", nargs="?", help="explain this one")
    anomalies.add_argument("--score", type=float, help="only with this anomaly score or more")
    add_event_flags(anomalies)
    add_flags(anomalies)
    anomalies.set_defaults(run=run_anomalies)


def run_events(options: argparse.Namespace) -> int:
    """Print events.

    Raises:
        CommandError: If the serving layer does not answer, or refuses; if flags do not fit.
    """
    service = Service(options.url)
    if options.event_id is not None:
        body = service.get(f"/api/events/{quote(options.event_id, safe='')}")
        show_json(body)  # an event has the keys its producer chose: no table fits all
        return 0
    if options.count:
        _refuse_with_count("--threats", options.threats)
        return _print_count(service, "/api/events/count", options)
    path, more = "/api/events", {}
    if options.threats is not None:
        path, more = "/api/events/threats", {"min_score": options.threats}
    body = service.rows(path, options.limit, **event_filters(options), **more)
    _print(body, _EVENTS, "no such event", as_json=options.json)
    return 0


def run_anomalies(options: argparse.Namespace) -> int:
    """Print anomalies, or what both layers say of one event.

    Raises:
        CommandError: If the serving layer does not answer, or refuses; if flags do not fit.
    """
    service = Service(options.url)
    if options.event_id is not None:
        path = f"/api/anomalies/{quote(options.event_id, safe='')}"
        _explain(service.get(path, explain="true"), as_json=options.json)
        return 0
    if options.count:
        _refuse_with_count("--score", options.score)
        return _print_count(service, "/api/anomalies/count", options)
    path, more = "/api/anomalies", {}
    if options.score is not None:
        path, more = "/api/anomalies/high-score", {"threshold": options.score}
    body = service.rows(path, options.limit, **event_filters(options), **more)
    _print(body, _ANOMALIES, "no such anomaly", as_json=options.json)
    return 0


def _refuse_with_count(flag: str, value: float | None) -> None:
    if value is not None:
        raise UsageError(f"{flag}: goes not together with --count, which counts every score")


def _print_count(service: Service, path: str, options: argparse.Namespace) -> int:
    body = service.get(path, **event_filters(options))
    show_count(body, as_json=options.json)
    return 0


def _print(body: Json, columns: tuple[Column, ...], nothing: str, *, as_json: bool) -> None:
    if as_json:
        show_json(body)
        return
    show_table(body["data"], columns, nothing)
    say_incomplete(body)


def _explain(body: Json, *, as_json: bool) -> None:
    if as_json:
        show_json(body)
        return
    parts = {
        name.removesuffix("_anomaly"): value
        for name, value in body.items()
        if name.endswith("_anomaly") and value
    }
    names = ("event_id", "user", "event_type", "source_ip", "anomaly_score", "source")
    show_facts({name: body.get(name) for name in names} | {"time": moment("timestamp")(body)})
    show_facts({f"part {name}": value for name, value in parts.items()} or {"parts": None})
    for reason in body["reasons"]:
        result(f"- {printable(reason)}")
    for layer in ("batch", "realtime"):
        said = body["explain"][layer]
        result(printable(f"{layer}: {said['says'] or said['why']}"))
    change = body["explain"]["change"]
    if change is not None:
        result(printable(f"changed: {change['reason']}"))
