"""Times as the assistant reads and writes them: Unix ms inside, UTC text outside."""

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """Return the wall clock, Unix ms."""
    return time.time_ns() // 1_000_000


def when(timestamp_ms: int) -> str:
    """Return a time as a person reads it, to the second.

    Examples:
        >>> when(1_600_000_000_999)
        '2020-09-13 12:26:40 UTC'
    """
    moment = datetime.fromtimestamp(timestamp_ms // 1000, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
