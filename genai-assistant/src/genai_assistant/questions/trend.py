"""How counts change over the window: equal slices, each counted exactly."""

import asyncio

from genai_assistant.activity import Activity, activity, tell_fallback
from genai_assistant.clock import when
from genai_assistant.evidence import LINE, PART, REAL_TIME, Findings, Ledger, Record
from genai_assistant.fields import value_of
from genai_assistant.hostile import quote
from genai_assistant.phrases import counted, spoken
from genai_assistant.plan import Plan
from genai_assistant.questions.scope import as_record, filters, in_words
from genai_assistant.sources import Sources
from genai_assistant.windows import Window

SLICES = 6
EXAMINED = 500
SHOWN = 5
CHANGED = 1.2
"""The later half holds so many times the earlier one, or the reverse: a change worth the word."""


async def investigate(plan: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """Count each slice, and say whether the later half holds more than the earlier one."""
    seen = await activity(
        sources,
        plan.window,
        page_size=EXAMINED if plan.field else 1,
        place=None,
        counting="nothing",
        **filters(plan),
    )
    findings = Findings(freshness=seen.freshness)
    if seen.failure:
        return findings
    slices = await _slices(plan, sources, seen.window, plan.now_ms)
    if slices is None:
        return findings
    half = len(slices) // 2
    numbers = [one["events"] for one in slices]
    earlier, later = sum(numbers[:half]), sum(numbers[half:])
    record: Record = {
        **as_record(plan),
        "window": seen.window.label,
        "events": sum(numbers),
        "earlier_half": earlier,
        "later_half": later,
        "slices": slices,
    }
    cite = ledger.add("trend", REAL_TIME, record)
    scope = in_words(plan)
    if not record["events"]:
        findings.say(f"No event{scope} is known", cite)
        return findings
    findings.say(
        f"{spoken(seen.window.label).capitalize()} the number of events{scope} is "
        f"{_direction(earlier, later)}: {earlier:,} in its earlier part, {later:,} in its later part",
        cite,
    )
    tell_fallback(seen, findings, cite)
    for rank, one in enumerate(slices):
        findings.say(
            f"From {when(one['from'])}: {counted(one['events'], 'event')}",
            cite,
            before=LINE if rank else PART,
        )
    if plan.field:
        _say_values(findings, ledger, seen, plan.field, slices[half]["from"])
    return findings


def _say_values(
    findings: Findings, ledger: Ledger, seen: Activity, field: str, middle_ms: int
) -> None:
    """State both parts for the most frequent values; where events are too many, that it is not."""
    number = len(seen.rows)
    if not seen.is_whole:
        record: Record = {"field": field, "events_examined": number, "is_split": False}
        findings.say(
            f"It is not split by the field {quote(field)}: that would need every event, and the "
            f"newest {number:,} were read",
            ledger.add("trend_values", REAL_TIME, record),
            before=PART,
        )
        return
    parts: dict[str, list[int]] = {}
    for row in seen.rows:
        if (value := value_of(row, field)) is not None:
            parts.setdefault(value, [0, 0])[row.timestamp >= middle_ms] += 1
    most = sorted(parts.items(), key=lambda pair: (-sum(pair[1]), pair[0]))[:SHOWN]
    record = {
        "field": field,
        "values": len(parts),
        # Named after the field: pseudonyms know personal values by the name of their field.
        "top": [
            {field: value, "earlier_half": earlier, "later_half": later}
            for value, (earlier, later) in most
        ],
    }
    cite = ledger.add("trend_values", REAL_TIME, record)
    noun = counted(len(parts), "value")
    findings.say(f"The field {quote(field)} has {noun} there", cite, before=PART)
    for value, (earlier, later) in most:
        findings.say(
            f"Value {quote(value)} is {_direction(earlier, later)}: {earlier:,} in the earlier "
            f"part, {later:,} in the later part",
            cite,
            before=LINE,
        )


async def _slices(plan: Plan, sources: Sources, window: Window, now_ms: int) -> list[Record] | None:
    """Count equal slices of the window; None when a count fails."""
    end = min(window.end_ms, now_ms) if now_ms > window.start_ms else window.end_ms
    step = max(1, (end - window.start_ms) // SLICES)
    starts = [window.start_ms + number * step for number in range(SLICES)]
    ends = [*starts[1:], window.end_ms]
    counts = await asyncio.gather(
        *(
            sources.count(**filters(plan), start_time=start, end_time=end)
            for start, end in zip(starts, ends, strict=True)
        )
    )
    if any(one.value is None for one in counts):
        return None
    return [
        {"from": start, "events": one.value.count}
        for start, one in zip(starts, counts, strict=True)
        if one.value
    ]


def _direction(earlier: int, later: int) -> str:
    if later > earlier * CHANGED:
        return "rising"
    return "falling" if earlier > later * CHANGED else "steady"
