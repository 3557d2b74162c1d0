"""``streamguard users``: who deserves attention, and what both layers know of one user."""

import argparse
from urllib.parse import quote

from streamguard_cli.output import printable, result
from streamguard_cli.service import Service, add_flags
from streamguard_cli.tables import (
    Column,
    Json,
    cell,
    field,
    moment,
    reasons,
    say_incomplete,
    score,
    show_facts,
    show_json,
    show_table,
)

_SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
_ANOMALIES = 3
_USUAL = 4

_USERS: tuple[Column, ...] = (
    ("USER", field("user")),
    ("RISK", score("risk")),
    ("BATCH", score("batch_score")),
    ("ANOMALOUS", field("is_anomaly")),
    ("LIVE", score("realtime_score")),
    ("WAITING ALERTS", lambda row: _alerts(row["open_alerts"])),
)
_TIMELINE: tuple[Column, ...] = (
    ("TIME (UTC)", moment("timestamp")),
    ("LAYER", field("source")),
    ("KIND", field("kind")),
    ("WHAT", field("text")),
    ("ID", field("id")),
)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the verb and its flags."""
    parser = commands.add_parser("users", help="list users by risk, or show one and why")
    parser.add_argument("user", metavar="USER", nargs="?", help="show this one")
    parser.add_argument("--limit", type=int, default=20, help="rows (default: 20)")
    add_flags(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print users by falling risk, or one user's page.

    Raises:
        ServiceError: If the serving layer does not answer, refuses, or knows no such user.
    """
    service = Service(options.url)
    if options.user is not None:
        path = f"/api/users/{quote(options.user, safe='')}"
        body = service.get(path, explain="true")
        if options.json:
            show_json(body)
        else:
            _print_page(body, options.limit)
        return 0
    body = service.rows("/api/users", options.limit, sort="risk")
    if options.json:
        show_json(body)
    else:
        show_table(body["data"], _USERS, "no user is known yet")
        say_incomplete(body)
    return 0


def _print_page(body: Json, rows: int) -> None:
    risk, events, told = body["risk"], body["events"], body["explain"]
    show_facts(
        {
            "user": body["user"],
            "risk": f"{risk['risk']:.2f}",
            "waiting alerts": _alerts(risk["open_alerts"]),
            "segment": body["batch"]["segment"],
            "events": f"{events['count']:,} ({events['batch']:,} batch, {events['realtime']:,} realtime)",
            "batch says": _word(told["batch"]),
            "realtime says": _word(told["realtime"]),
            "usual addresses": _usual(body["profile"]["source_ips"]),
            "usual places": _usual(body["profile"]["places"]),
        }
    )
    for reason in told["batch"].get("reasons") or []:
        typical = ", ".join(f"{value:.4g}" for value in reason["typical"])
        feature, value = reason["feature"], cell(reason["value"])
        result(f"- {feature} is {value}; of all users 5 %, median, 95 % are {typical}")
    for anomaly in body["anomalies"][:_ANOMALIES]:
        result(printable(f"- {anomaly['event_id']}: {reasons(anomaly['reasons'])}"))
    if told["change"] is not None:
        result(printable(f"the newest run changed its mind: {told['change']['reason']}"))
    show_table(body["timeline"][:rows], _TIMELINE, "no event of this user is held")
    say_incomplete(body)


def _word(said: Json) -> str:
    if said["says"] is None:
        return f"nothing: {said['why']}"
    score = said.get("anomaly_score")
    if score is not None:
        return f"{said['says']}, score {score:.2f}, run {said['run_id']}"
    return (
        f"{said['says']}, {said['anomalous_events']:,} of {said['events']:,} events since the seam"
    )


def _usual(values: list[Json]) -> list[str]:
    return [f"{each['value']} ({each['events']:,})" for each in values[:_USUAL]]


def _alerts(counts: Json) -> str:
    known = [severity for severity in _SEVERITIES if severity in counts]
    return ", ".join(f"{counts[severity]} {severity}" for severity in known)
