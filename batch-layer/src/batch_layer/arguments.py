"""The command line, parsed before anything slow is imported."""

import argparse
from pathlib import Path


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """Return the parsed command line; argparse itself ends the process over a bad one."""
    parser = argparse.ArgumentParser(prog="python -m batch_layer")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="run the control API, the scheduler and Spark")
    _add_security_run(commands.add_parser("security-run", help="detection and models over users"))
    ingest = commands.add_parser("ingest", help="copy new records into the master dataset")
    ingest.add_argument("topics", nargs="*", help="topics to ingest (default: all)")
    ingest.add_argument(
        "--accept-data-loss",
        action="store_true",
        help="go on over records that the broker deleted before they were ingested",
    )
    commands.add_parser(
        "schedule", help="show each scheduled job: when it is due, how it last went"
    )
    _add_table(commands.add_parser("table", help="care of the lake's Delta tables"))
    arguments = parser.parse_args(words)
    if arguments.command == "security-run":
        _check_security_run(parser, arguments)
    if arguments.command == "table":
        _check_table(parser, arguments)
    return arguments


def _add_security_run(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "--max-events",
        type=_positive,
        metavar="N",
        help="read only N events, from the earliest, straight from Kafka; publish nothing",
    )
    run.add_argument(
        "--output", type=Path, metavar="DIR", help="where a run with --max-events writes"
    )
    run.add_argument(
        "--algorithm",
        choices=["isolation_forest", "kmeans"],
        default="isolation_forest",
        help="whose scores decide (default: %(default)s)",
    )
    run.add_argument(
        "--contamination",
        type=_share,
        metavar="F",
        help="share of users to call anomalous, at most 0.5 (default: .1 with --max-events, "
        "otherwise a calibrated threshold)",
    )
    run.add_argument(
        "--model",
        metavar="RUN",
        help="judge by the model of an earlier published run (default: train one)",
    )
    run.add_argument("--full", action="store_true", help="recompute all history")
    run.add_argument(
        "--publish", action="store_true", help="publish; the default without --max-events"
    )


def _add_table(table: argparse.ArgumentParser) -> None:
    table.add_argument(
        "action",
        choices=["list", "history", "optimize", "zorder", "vacuum", "maintain"],
        help="`maintain` does what the schedule does, to every table under permanent care",
    )
    table.add_argument("name", nargs="?", help="path in the lake, such as stream/transactions")
    table.add_argument(
        "--columns", nargs="+", metavar="COLUMN", default=[], help="of zorder: what to cluster by"
    )
    table.add_argument(
        "--limit", type=_positive, default=20, help="of history: how many (default: %(default)s)"
    )


def _check_table(parser: argparse.ArgumentParser, table: argparse.Namespace) -> None:
    needs_name = table.action not in ("list", "maintain")
    if needs_name != (table.name is not None):
        parser.error(f"table {table.action} {'needs' if needs_name else 'takes no'} name")
    if (table.action == "zorder") != bool(table.columns):
        parser.error("--columns goes with zorder, and zorder needs it")


def _check_security_run(parser: argparse.ArgumentParser, run: argparse.Namespace) -> None:
    is_bounded = run.max_events is not None or run.output is not None
    if is_bounded and (run.full or run.publish):
        parser.error("--max-events and --output publish nothing: leave --full and --publish out")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share <= 0.5:
        raise argparse.ArgumentTypeError(f"{text} is not in (0, 0.5]")
    return share
