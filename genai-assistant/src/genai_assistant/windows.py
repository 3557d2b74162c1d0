"""Windows of event time, and the words that name them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

CONTEXT_WINDOW = r"^\d+[hdw]$"
DEFAULT_WINDOW = "1h"
MAX_WINDOW = timedelta(days=3650)
CLOCK_SKEW_MS = 60_000
"""Producers' clocks may run ahead of ours by this much."""
SPOKEN_WINDOW = re.compile(
    r"\b(?:last|past|previous|recent)\s+(?:(\d{1,5})\s*)?(min(?:ute)?s?|h|hours?|d|days?|w|weeks?|months?)\b",
    re.IGNORECASE,
)
HOURS = {"h": 1, "d": 24, "w": 168, "m": 720}


@dataclass(frozen=True, slots=True)
class Window:
    """Event times ``[start_ms, end_ms)`` and how the question named them."""

    start_ms: int
    end_ms: int
    label: str

    @property
    def length_ms(self) -> int:
        """How long the window is."""
        return self.end_ms - self.start_ms


def asked_window(question: str, now_ms: int, context_window: str | None) -> Window:
    """Return the window that the client names, else that of the question's words, else 1 h."""
    if context_window:
        return _back_from(
            now_ms, int(context_window[:-1]) * HOURS[context_window[-1]], context_window
        )
    return named_window(question, now_ms) or _back_from(now_ms, 1, DEFAULT_WINDOW)


def named_window(question: str, now_ms: int) -> Window | None:
    """Return the window that a question's words name."""
    midnight = datetime.fromtimestamp(now_ms / 1000, UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    midnight_ms = int(midnight.timestamp() * 1000)
    if re.search(r"\byesterday\b", question, re.IGNORECASE):
        return Window(midnight_ms - 86_400_000, midnight_ms, "yesterday")
    if re.search(r"\btoday\b", question, re.IGNORECASE):
        return Window(midnight_ms, now_ms + CLOCK_SKEW_MS, "today")
    if match := SPOKEN_WINDOW.search(question):
        number, unit = int(match.group(1) or 1), match.group(2)[0].lower()
        if match.group(2).lower().startswith("min"):
            return _back_from(now_ms, number / 60, f"{number}min")
        label = f"{number * 30}d" if unit == "m" else f"{number}{unit}"
        return _back_from(now_ms, number * HOURS[unit], label)
    return None


def _back_from(now_ms: int, hours: float, label: str) -> Window:
    length = min(timedelta(hours=min(hours, 10**6)), MAX_WINDOW)
    start_ms = max(0, now_ms - int(length.total_seconds() * 1000))
    return Window(start_ms, now_ms + CLOCK_SKEW_MS, label)
