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
    arguments = parser.parse_args(words)
    if arguments.command == "security-run":
        _check_security_run(parser, arguments)
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
    run.add_argument("--full", action="store_true", help="recompute all history")
    run.add_argument(
        "--publish", action="store_true", help="publish; the default without --max-events"
    )


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
