"""This window beside the usual one: the same length of time, several times before."""

import asyncio

from genai_assistant.activity import SUPPORTING, Activity, activity, tell_fallback
from genai_assistant.evidence import BATCH, LINE, PART, REAL_TIME, Findings, Ledger, Record
from genai_assistant.hostile import quote
from genai_assistant.phrases import counted, figure, spoken
from genai_assistant.plan import Plan
from genai_assistant.questions.scope import as_record, filters, in_words
from genai_assistant.records import event_record, source_address, verdict_record
from genai_assistant.sources import Sources

BEFORE = 5
"""So many windows of the same length before this one make the usual, their mean."""
SHOWN = 3
EXAMINED = 200
MEASURES = {"events": {}, "failed_events": {"status": "failed"}}
"""What is compared, and the further filter that counts it."""


async def investigate(plan: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """Compare counts with the mean of the windows before, and addresses with those before."""
    seen = await activity(
        sources, plan.window, page_size=EXAMINED, place=None, counting="nothing", **filters(plan)
    )
    findings = Findings(freshness=seen.freshness)
    if seen.failure:
        return findings
    usual, earlier = await asyncio.gather(
        _usual(plan, sources, seen),
        sources.events(**filters(plan), end_time=seen.window.start_ms, limit=EXAMINED),
    )
    if usual is None or earlier.value is None:
        return findings
    known = {source_address(row) for row in earlier.value.data}
    now = {address for row in seen.rows if (address := source_address(row))}
    new = sorted(now - known)
    record: Record = {
        **as_record(plan),
        "window": seen.window.label,
        "windows_before": BEFORE,
        **usual,
        "events_examined": len(seen.rows),
        "events_examined_before": len(earlier.value.data),
        "addresses": len(now),
        "new_addresses": len(new),
        "new_address": new[:SHOWN],
    }
    cite = ledger.add("comparison", REAL_TIME, record)
    scope = in_words(plan)
    if not seen.rows:
        findings.say(f"No event{scope} is known", cite)
        return findings
    findings.say(
        f"{spoken(seen.window.label).capitalize()} there are {counted(record['events'], 'event')}"
        f"{scope}; usual is {figure(record['usual_events'])}, the mean of the {BEFORE} windows "
        "of that length before",
        cite,
    )
    tell_fallback(seen, findings, cite)
    findings.say(
        f"Failed: {record['failed_events']:,}; usual is {figure(record['usual_failed_events'])}",
        cite,
        before=PART,
    )
    is_all_before = earlier.value.complete and earlier.value.next_cursor is None
    findings.say(
        _addresses(record, is_whole=seen.is_whole, is_all_before=is_all_before),
        cite,
        before=LINE,
    )
    if plan.user:
        batch = await sources.user_verdict(plan.user)
        if batch.value:
            verdict = ledger.add("user_batch_verdict", BATCH, verdict_record(batch.value))
            flagged = "flags" if batch.value.is_anomaly else "does not flag"
            findings.say(
                f"The batch layer {flagged} user {quote(plan.user)} as anomalous",
                verdict,
                before=PART,
            )
    findings.events = [event_record(row) for row in seen.rows[:SUPPORTING]]
    return findings


async def _usual(plan: Plan, sources: Sources, seen: Activity) -> Record | None:
    """Count the window, and those before it together; None when a count fails."""
    window = seen.window
    before = max(0, window.start_ms - BEFORE * window.length_ms)
    spans = [(window.start_ms, window.end_ms), (before, window.start_ms)]
    given = [{**filters(plan), **further} for further in MEASURES.values()]
    found = await asyncio.gather(
        *(
            sources.count(**limits, start_time=start, end_time=end)
            for limits in given
            for start, end in spans
        )
    )
    counts = [one.value.count for one in found if one.value is not None]
    if len(counts) < len(found):
        return None
    record: Record = {}
    for name, now, earlier in zip(MEASURES, counts[::2], counts[1::2], strict=True):
        record |= {
            name: now,
            f"usual_{name}": earlier / BEFORE,
            f"{name}_in_windows_before": earlier,
        }
    return record


def _addresses(record: Record, *, is_whole: bool, is_all_before: bool) -> str:
    which = "They" if is_whole else f"The newest {record['events_examined']:,}"
    told = f"{which} came from {counted(record['addresses'], 'address', 'addresses')}"
    if not record["new_addresses"]:
        return f"{told}, each seen before"
    named = ", ".join(quote(address) for address in record["new_address"])
    than = "" if is_all_before else f" to the {record['events_examined_before']:,} events before"
    return f"{told}, {record['new_addresses']:,} of them new{than}: {named}"
