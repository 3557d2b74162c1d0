"""Answers as tables for people, or as the API's JSON for programs."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamguard_cli.output import printable, result, say

Json = dict[str, Any]
Column = tuple[str, Callable[[Json], object]]
"""Heading, and what stands below it."""

_GAP = "  "
_REASONS = 2
"""Shown in a row; ``--json``, and the answer about one event, have all of them."""


def show_json(body: object) -> None:
    """Print a body as it was answered."""
    result(json.dumps(body, indent=2, ensure_ascii=False))


def show_table(rows: Sequence[Json], columns: Sequence[Column], nothing: str) -> None:
    """Print rows below headings; say ``nothing`` where there are none."""
    if not rows:
        say(nothing)
        return
    cells = [[heading for heading, _ in columns]]
    cells += [[cell(value(row)) for _, value in columns] for row in rows]
    widths = [max(len(line[place]) for line in cells) for place in range(len(columns))]
    for line in cells:
        padded = (each.ljust(width) for each, width in zip(line, widths, strict=True))
        result(_GAP.join(padded).rstrip())


def show_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, one a line."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        result(f"{name.ljust(width)}{_GAP}{cell(value)}")


def say_incomplete(body: Json) -> None:
    """Warn where a part of the data could not be reached."""
    if body.get("complete") is False:
        say(f"incomplete: {body.get('incomplete_reason')}")


def cell(value: object) -> str:
    """Return a value on one line.

    Examples:
        >>> cell(1234), cell(0.5), cell(None), cell(["a", "b"])
        ('1,234', '0.5', '-', 'a, b')
    """
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(cell(each) for each in value) or "-"
    return printable(str(value)).replace("\n", " ")


def show_count(body: Json, *, as_json: bool) -> None:
    """Print an exact count and each layer's share."""
    if as_json:
        show_json(body)
        return
    result(f"{body['count']:,} ({body['batch']:,} batch, {body['realtime']:,} realtime)")
    say_incomplete(body)


def score(name: str) -> Callable[[Json], object]:
    """Return what reads one number of a row, with two decimals."""
    return lambda row: None if row.get(name) is None else f"{row[name]:.2f}"


def reasons(found: Sequence[str]) -> str:
    """Return the first reasons, and how many more there are.

    Examples:
        >>> reasons(["a", "b", "c"])
        'a; b; and 1 more'
    """
    more = [f"and {len(found) - _REASONS} more"] if len(found) > _REASONS else []
    return "; ".join([*found[:_REASONS], *more])


def clock(timestamp: float | None) -> str:
    """Return a time (Unix ms) as UTC.

    Examples:
        >>> clock(1_767_225_600_000)
        '2026-01-01 00:00:00'
    """
    if timestamp is None:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(timestamp / 1000))


def field(name: str) -> Callable[[Json], object]:
    """Return what reads one key of a row."""
    return lambda row: row.get(name)


def moment(name: str) -> Callable[[Json], object]:
    """Return what reads one time of a row."""
    return lambda row: clock(row.get(name))
