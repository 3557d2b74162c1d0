"""Events in the asked window or, when nothing falls in it, around the latest known event."""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from contracts.api import EventRecord, Page
from genai_assistant.clock import when
from genai_assistant.evidence import PART, REAL_TIME, Findings, Ledger, Record
from genai_assistant.phrases import spoken
from genai_assistant.places import Place
from genai_assistant.records import event_status, source_address
from genai_assistant.sources import Sources, nothing
from genai_assistant.windows import Window

Row = TypeVar("Row")

PAGE = 200
"""Rows to look at; what more there are is counted by the serving layer, exactly."""
PLACE_PAGE = 500
"""The same where rows are narrowed to a place, which the serving layer does not count."""
TOTAL_ONLY = 20
"""Rows to fetch where only the total and the newest event are told."""
SUPPORTING = 20
"""So many events stand beside an answer."""
TOP = 5
STALE_FRESHNESS = 0.8
NO_DATA_FRESHNESS = 0.5


@dataclass(frozen=True, slots=True)
class Activity:
    """Events of a window, newest first.

    Attributes:
        rows: The newest events, at most ``PAGE``.
        total: How many there are in all.
        is_exact: False when the total is a lower bound.
        window: The window that was used.
        is_fallback: True when it is not the asked one.
        failed: How many of all failed; None when only the rows tell.
        anomalous: How many of all are anomalous; None when only the rows tell.
        failure: Why nothing is known, when the serving layer failed.
    """

    rows: list[EventRecord]
    total: int
    is_exact: bool
    window: Window
    is_fallback: bool
    failure: str | None = None
    failed: int | None = None
    anomalous: int | None = None

    @property
    def is_whole(self) -> bool:
        """True when ``rows`` are all events there are: their first is the window's first."""
        return self.is_exact and self.total == len(self.rows)

    @property
    def freshness(self) -> float:
        """How near the evidence is to what was asked; see the package's README."""
        if not self.rows:
            return NO_DATA_FRESHNESS
        return STALE_FRESHNESS if self.is_fallback else 1.0


Counting = Literal["nothing", "total", "details"]
"""What to count of a window that holds more than was fetched; details are failed and anomalous."""


def is_capped(page: Page[Row] | None, kept: int) -> bool:
    """Say whether a page's rows of a window are only the newest of more: a lower bound."""
    return page is not None and page.next_cursor is not None and kept == len(page.data)


async def activity(
    sources: Sources,
    window: Window,
    *,
    page_size: int = PAGE,
    place: Place | None = None,
    counting: Counting = "total",
    **filters: str | None,
) -> Activity:
    """Fetch events of ``window``; none there: those of equal length up to the latest event.

    Args:
        sources: Where to fetch from.
        window: The asked window.
        page_size: How many rows to look at; the total counts all of them anyway.
        place: Keep only rows from here; then the total is of the rows looked at.
        counting: What else to count when there are more rows than were looked at.
        filters: Further query parameters of ``/api/events``.
    """
    size = page_size if place is None else max(page_size, PLACE_PAGE)
    inside = await sources.events(
        start_time=window.start_ms, end_time=window.end_ms, limit=size, **filters
    )
    page, used, is_fallback = inside.value, window, False
    if page is None or not page.data:
        latest = await sources.events(limit=size, **filters)
        page = latest.value
        if page is None:
            return Activity([], 0, False, window, False, inside.failure or latest.failure)
        if not page.data:
            return Activity([], 0, True, window, False, inside.failure)
        newest = page.data[0].timestamp
        used = Window(newest - window.length_ms, newest + 1, window.label)
        is_fallback = True
    rows = [row for row in page.data if used.start_ms <= row.timestamp < used.end_ms]
    is_all = page.next_cursor is None or len(rows) < len(page.data)
    if place is not None:
        kept = [row for row in rows if place.holds(row)]
        is_exact = page.complete and is_all
        return Activity(kept, len(kept), is_exact, used, is_fallback and bool(kept))
    found = Activity(rows, len(rows), page.complete and is_all, used, is_fallback)
    if is_all or counting == "nothing":
        return found
    return await _counted(found, sources, filters, counting, is_complete=page.complete)


async def _counted(
    found: Activity,
    sources: Sources,
    filters: dict[str, str | None],
    counting: Counting,
    *,
    is_complete: bool,
) -> Activity:
    """Count what the page does not hold; a count that fails leaves what the rows tell."""
    given = {**filters, "start_time": found.window.start_ms, "end_time": found.window.end_ms}
    is_detailed = counting == "details"
    total, failed, anomalous = await asyncio.gather(
        sources.count(**given),
        sources.count(**given, status="failed") if is_detailed else nothing(),
        sources.anomaly_count(**given) if is_detailed else nothing(),
    )
    if total.value is None or total.value.count < found.total:
        return found
    is_counted = not is_detailed or (failed.value is not None and anomalous.value is not None)
    return replace(
        found,
        total=total.value.count,
        is_exact=is_complete and total.value.complete and is_counted,
        failed=failed.value.count if failed.value else None,
        anomalous=anomalous.value.count if anomalous.value else None,
    )


def _known(found: Activity, counted: int | None, among_rows: int) -> int | None:
    """Return a figure over all events; None when only some of them were looked at."""
    if counted is not None:
        return counted
    is_partial = found.is_exact and found.total > len(found.rows)
    return None if is_partial else among_rows


def summarised(found: Activity, **subject: str) -> Record:
    """Return the figures of an activity as an evidence record."""
    rows = found.rows
    scores = [row.anomaly_score for row in rows if row.anomaly_score is not None]
    addresses = Counter(filter(None, map(source_address, rows)))
    return {
        **subject,
        "window": found.window.label,
        "from": found.window.start_ms,
        "to": found.window.end_ms,
        "is_fallback": found.is_fallback,
        "events": found.total,
        "is_exact": found.is_exact,
        "events_examined": len(rows),
        "anomalous_events": _known(found, found.anomalous, sum(row.is_anomaly for row in rows)),
        "failed_events": _known(
            found, found.failed, sum(event_status(row) == "failed" for row in rows)
        ),
        "source_addresses": len(addresses),
        "top_addresses": dict(addresses.most_common(TOP)),
        "event_types": dict(Counter(row.event_type for row in rows).most_common(TOP)),
        "first_event": min((row.timestamp for row in rows), default=None),
        "last_event": max((row.timestamp for row in rows), default=None),
        "highest_anomaly_score": max(scores, default=None),
    }


def record_activity(found: Activity, ledger: Ledger, **subject: str) -> str | None:
    """Add the summary to the evidence; None when the serving layer gave nothing to summarise."""
    if found.failure:
        return None
    return ledger.add("activity", REAL_TIME, summarised(found, **subject))


def tell_fallback(found: Activity, findings: Findings, cite: str, of_whom: str = "") -> None:
    """Say that nothing fell in the asked window, when that is so."""
    if found.is_fallback:
        latest = when(found.window.end_ms - 1)
        findings.say(
            f"Nothing{of_whom} falls {spoken(found.window.label)} counted back from now",
            cite,
            before=PART,
        )
        findings.say(
            f"The latest known event is at {latest}; this answer covers the same length of time "
            "up to it",
            cite,
        )
