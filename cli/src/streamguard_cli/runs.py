"""``streamguard runs``: batch runs, one with its drift, or two compared."""

import argparse
import os
from urllib.parse import quote

from contracts import service_key
from streamguard_cli.output import result
from streamguard_cli.service import Service, add_flags
from streamguard_cli.tables import (
    Column,
    Json,
    field,
    moment,
    show_facts,
    show_json,
    show_table,
)

BATCH_URL = "STREAMGUARD_BATCH_URL"
DEFAULT_BATCH_URL = "http://127.0.0.1:8080"

_DRIFTED = 5
_CHANGES: tuple[Column, ...] = (
    ("USER", field("user")),
    ("CHANGE", field("change")),
    ("BEFORE", field("scoreA")),
    ("NOW", field("scoreB")),
    ("WHAT MOVED", lambda row: _moved(row["moved"])),
)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the verb and its flags."""
    parser = commands.add_parser("runs", help="list batch runs, show one, compare two")
    parser.add_argument("run_id", metavar="RUN", nargs="?", help="show this one with its drift")
    parser.add_argument("--compare", metavar="RUN", help="say what RUN changed against this one")
    parser.add_argument("--limit", type=int, default=20, help="rows (default: 20)")
    parser.add_argument(
        "--batch-url",
        default=os.environ.get(BATCH_URL, DEFAULT_BATCH_URL),
        help=f"for --compare; {BATCH_URL}, default: {DEFAULT_BATCH_URL}",
    )
    add_flags(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print runs.

    Raises:
        ServiceError: If the service does not answer, refuses, or knows no such run.
    """
    service = Service(options.url)
    if options.compare is not None:
        run_id = options.run_id or service.get("/api/runs", limit=1)["current"]
        asked = {"a": options.compare, "b": run_id, "limit": options.limit}
        body = Service(options.batch_url, credentials=service_key.headers()).get(
            "/security/runs/compare", **asked
        )
        show_json(body) if options.json else _print_comparison(body)
        return 0
    if options.run_id is not None:
        body = service.get(f"/api/runs/{quote(options.run_id, safe='')}")
        show_json(body) if options.json else _print_run(body)
        return 0
    body = service.get("/api/runs", limit=options.limit)
    if options.json:
        show_json(body)
        return 0
    columns: tuple[Column, ...] = (
        ("MADE (UTC)", moment("created_at")),
        ("RUN", field("run_id")),
        ("SERVED", lambda row: row["run_id"] == body["current"]),
        ("EVENTS", field("events")),
        ("SCORER", field("scorer")),
        ("ALGORITHM", field("algorithm")),
    )
    show_table(body["runs"], columns, "no batch run has been published yet")
    return 0


def _print_run(body: Json) -> None:
    manifest, report = body["manifest"], body["report"] or {}
    drift = report.get("drift") or {}
    features = list((drift.get("features") or {}).items())[:_DRIFTED]
    show_facts(
        {
            "run": manifest["run_id"],
            "made": moment("created_at")(manifest),
            "served": body["served"],
            "scorer": manifest["scorer"],
            "algorithm": manifest["algorithm"],
            "users": report.get("total_users"),
            "anomalous users": report.get("anomalous_users"),
            "drift against": drift.get("against"),
            "moved far": drift.get("drifted"),
            "largest drift": [f"{name} {index:.3f}" for name, index in features],
        }
    )
    columns: tuple[Column, ...] = (
        ("PARTITION", lambda row: f"{row['topic']}/{row['partition']}"),
        ("SEAM", field("next_offset")),
        ("EVENTS", field("rows")),
    )
    show_table(manifest["seam"], columns, "the run has read no partition")


def _print_comparison(body: Json) -> None:
    totals = body["totals"]
    result(
        f"{body['b']['runId']} against {body['a']['runId']}: {totals['added']:,} newly anomalous, "
        f"{totals['dropped']:,} no longer, {totals['changed']:,} with another score"
    )
    if body["settingsChanged"]:
        result(f"settings differ: {', '.join(body['settingsChanged'])}")
    rows = [
        {**row, "change": name} for name in ("added", "dropped", "changed") for row in body[name]
    ]
    show_table(rows, _CHANGES, "no user's verdict or score differs")


def _moved(features: list[Json]) -> str:
    return "; ".join(f"{each['feature']} {each['a']:.4g} to {each['b']:.4g}" for each in features)
