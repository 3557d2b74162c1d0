"""``streamguard status`` and ``streamguard consistency``: is all well, and does all add up?"""

import argparse

from streamguard_cli.output import result
from streamguard_cli.service import Service, add_flags
from streamguard_cli.tables import Column, Json, field, show_facts, show_json, show_table

_PARTITIONS: tuple[Column, ...] = (
    ("PARTITION", lambda row: f"{row['topic']}/{row['partition']}"),
    ("SEAM", field("seam")),
    ("NEXT", field("next_offset")),
    ("BATCH", field("batch_rows")),
    ("LIVE", field("realtime_rows")),
    ("DEAD", field("dead_letters")),
    ("DUPLICATE", field("duplicates")),
    ("SKIPPED", field("skipped")),
    ("MISSING", field("missing")),
    ("DOUBLE", field("double")),
)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe both verbs."""
    status = commands.add_parser("status", help="say whether everything is well; exit code 1: not")
    add_flags(status)
    status.set_defaults(run=run_status)
    consistency = commands.add_parser(
        "consistency", help="prove that every offset is held once; exit code 1: not"
    )
    add_flags(consistency)
    consistency.set_defaults(run=run_consistency)


def run_status(options: argparse.Namespace) -> int:
    """Print the state of the views; 0 when they are complete and current.

    Raises:
        ServiceError: If the serving layer does not answer, or refuses.
    """
    service = Service(options.url)
    health = service.get("/api/health/status")
    live = service.get("/api/metrics") if health["ready"] else None
    if options.json:
        show_json({"health": health, "metrics": live})
    else:
        show_facts(_health(health) | ({} if live is None else _figures(live)))
    return 0 if health["status"] == "healthy" else 1


def _health(body: Json) -> Json:
    failure = body["run_failure"]
    broken = [
        f"{each['topic']}/{each['partition']}: {each['failure']}"
        for each in body["speed"]
        if each["failure"]
    ]
    return {
        "status": body["status"],
        "complete": body["complete"],
        **({"incomplete": body["incomplete_reason"]} if not body["complete"] else {}),
        **({"run failure": f"{failure['file']}: {failure['reason']}"} if failure else {}),
        **({"speed layer": broken} if broken else {}),
        "batch run": body["run_id"],
        "freshness": _seconds(body["freshness_seconds"]),
    }


def _figures(live: Json) -> Json:
    events, run = live["events"], live["run"]
    return {
        "lag": f"{live['lag_records']:,} records",
        "events": f"{events['total']:,} ({events['batch']:,} batch, {events['realtime']:,} realtime)",
        "anomalies": live["anomalies"],
        "alerts": live["alerts"],
        "run's age": _seconds(run["age_seconds"]),
        "anomalous users": f"{run['anomalous_users']:,} of {run['users']:,}",
    }


def run_consistency(options: argparse.Namespace) -> int:
    """Print each partition's account; 0 when nothing is missing and nothing double.

    Raises:
        ServiceError: If the serving layer does not answer, or refuses.
    """
    body = Service(options.url).get("/consistency")
    if options.json:
        show_json(body)
    else:
        show_table(body["partitions"], _PARTITIONS, "no partition has been read yet")
        run = body["run_id"] or "none yet"
        result(f"missing {body['missing']:,}, double {body['double']:,}; batch run {run}")
    return 1 if body["missing"] or body["double"] else 0


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f} s"
