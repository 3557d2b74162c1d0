"""Values of command-line flags; argparse puts the flag's name before each complaint."""

import argparse
import math
from datetime import UTC, datetime

from contracts.events import MAX_TIMESTAMP_MS, MIN_TIMESTAMP_MS


def rate(text: str) -> float:
    """Read events per second; 0 means as fast as possible."""
    value = _number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative; 0 means as fast as possible")
    return value


def seconds(text: str) -> float:
    """Read a positive number of seconds."""
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return value


def share(text: str) -> float:
    """Read a share between 0 and 1."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def positive(text: str) -> int:
    """Read an integer of at least 1."""
    value = seed(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def users(text: str) -> int:
    """Read a number of users, 1 to 1,000,000."""
    value = positive(text)
    if value > 1_000_000:
        raise argparse.ArgumentTypeError(f"{text} is more than 1,000,000")
    return value


def seed(text: str) -> int:
    """Read an integer of at least 0."""
    try:
        value = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer") from error
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def start_time(text: str) -> int:
    """Read a moment, Unix ms or ISO-8601 (UTC unless it says otherwise), as Unix ms."""
    try:
        moment = int(text) if text.isdigit() else _iso_ms(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither Unix ms nor ISO-8601") from error
    if not MIN_TIMESTAMP_MS <= moment <= MAX_TIMESTAMP_MS:
        raise argparse.ArgumentTypeError(
            f"{text} is outside {_iso(MIN_TIMESTAMP_MS)} to {_iso(MAX_TIMESTAMP_MS)}"
        )
    return moment


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value


def _iso_ms(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d")
