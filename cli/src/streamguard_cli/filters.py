"""Flags that lists have in common: how many rows, of when, of whom."""

import argparse
import re
import time
from typing import Any

from streamguard_cli.errors import UsageError

_SPAN = re.compile(r"(\d{1,6})([mhdw])")
_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_MOST = 1_000_000


def add_event_flags(parser: argparse.ArgumentParser, rows: int = 20) -> None:
    """Add the filters of events and anomalies."""
    parser.add_argument("--user", help="only this user's")
    parser.add_argument("--type", help="only of this event type, as auth_attempt")
    parser.add_argument("--status", help="success, failed, blocked or pending")
    parser.add_argument("--ip", help="only from this source address")
    add_range_flags(parser, rows)
    parser.add_argument("--count", action="store_true", help="print only how many there are")


def add_range_flags(parser: argparse.ArgumentParser, rows: int = 20) -> None:
    """Add ``--since``, ``--until`` and ``--limit``."""
    parser.add_argument("--since", help="from this time on: 30m, 24h, 7d ago, or an ISO-8601 time")
    parser.add_argument("--until", help="up to this time, exclusive; as --since")
    parser.add_argument("--limit", type=_rows, default=rows, help=f"rows (default: {rows})")


def event_filters(options: argparse.Namespace) -> dict[str, Any]:
    """Return the API's parameters for the flags of ``add_event_flags``."""
    return {
        "user": options.user,
        "event_type": options.type,
        "status": options.status,
        "source_ip": options.ip,
        **time_range(options),
    }


def time_range(options: argparse.Namespace) -> dict[str, Any]:
    """Return the API's parameters for ``--since`` and ``--until``.

    Raises:
        UsageError: Naming the flag.
    """
    return {
        "start_time": _time("--since", options.since),
        "end_time": _time("--until", options.until),
    }


def _time(flag: str, text: str | None) -> int | str | None:
    """Return a time as Unix ms; one that is no span goes to the API as it is."""
    if text is None:
        return None
    span = _SPAN.fullmatch(text)
    if span is not None:
        return time.time_ns() // 1_000_000 - int(span[1]) * _UNITS_MS[span[2]]
    if text[:1].isdigit() and len(text) >= len("2026-01-01"):
        return text
    raise UsageError(f"{flag} {text}: neither a span such as 30m, 24h, 7d nor an ISO-8601 time")


def _rows(text: str) -> int:
    number = int(text)
    if not 1 <= number <= _MOST:
        raise argparse.ArgumentTypeError(f"must lie from 1 to {_MOST:,}")
    return number
