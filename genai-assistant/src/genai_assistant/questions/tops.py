"""Which values of a field occur most often in the window."""

import asyncio
from collections import Counter

from genai_assistant.activity import TOTAL_ONLY, Activity, activity, tell_fallback
from genai_assistant.clock import when
from genai_assistant.evidence import LINE, PART, REAL_TIME, Findings, Ledger
from genai_assistant.fields import EVENT_TYPES, STATUSES, value_of
from genai_assistant.hostile import quote
from genai_assistant.phrases import counted, spoken
from genai_assistant.plan import Plan
from genai_assistant.questions.scope import as_record, filters, in_words
from genai_assistant.sources import Sources

EXAMINED = 500
SHOWN = 5
COUNTABLE = {"event_type": EVENT_TYPES, "status": STATUSES}
"""Fields with few, known values that the serving layer counts exactly."""


async def investigate(plan: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """Rank a field's values: exactly where the serving layer counts them, else by newest rows."""
    field = plan.field or "user"
    is_countable = field in COUNTABLE and plan.place is None
    seen = await activity(
        sources,
        plan.window,
        page_size=TOTAL_ONLY if is_countable else EXAMINED,
        place=plan.place,
        counting="total",
        **filters(plan),
    )
    findings = Findings(freshness=seen.freshness)
    if seen.failure:
        return findings
    values, is_all = await _values(plan, sources, seen, field)
    record = {
        **as_record(plan),
        "window": seen.window.label,
        "field": field,
        "events": seen.total,
        "events_examined": len(seen.rows),
        "values": len(values),
        # Named after the field: pseudonyms know personal values by the name of their field.
        "top": [{field: name, "events": number} for name, number in values.most_common(SHOWN)],
        "back_to": min((row.timestamp for row in seen.rows), default=None),
    }
    cite = ledger.add("tops", REAL_TIME, record)
    scope = in_words(plan)
    if not seen.rows:
        findings.say(f"No event{scope} is known", cite)
        return findings
    least = "" if seen.is_exact else "at least "
    findings.say(
        f"{spoken(seen.window.label).capitalize()} there are {least}"
        f"{counted(seen.total, 'event')}{scope}",
        cite,
    )
    tell_fallback(seen, findings, cite)
    if not is_all:
        findings.say(
            f"The ranking looks at the newest {len(seen.rows):,}, back to "
            f"{when(record['back_to'])}",
            cite,
        )
    if not values:
        findings.say(f"None of them has the field {quote(field)}", cite)
        return findings
    noun = counted(len(values), "value")
    findings.say(f"The field {quote(field)} has {noun} there", cite, before=PART)
    for name, number in values.most_common(SHOWN):
        findings.say(f"Value {quote(name)}: {counted(number, 'event')}", cite, before=LINE)
    return findings


async def _values(
    plan: Plan, sources: Sources, seen: Activity, field: str
) -> tuple[Counter[str], bool]:
    """Return counts by value, and whether they are of all events in the window."""
    is_all = len(seen.rows) == seen.total and seen.is_exact
    known = COUNTABLE.get(field)
    if known and not is_all and plan.place is None:
        given = filters(plan)
        window = {"start_time": seen.window.start_ms, "end_time": seen.window.end_ms}
        found = await asyncio.gather(
            *(sources.count(**{**given, field: value}, **window) for value in known)
        )
        if all(one.value is not None for one in found):
            exact = {
                value: one.value.count for value, one in zip(known, found, strict=True) if one.value
            }
            return Counter({value: number for value, number in exact.items() if number}), True
    values = (value_of(row, field) for row in seen.rows)
    return Counter(value for value in values if value is not None), is_all
