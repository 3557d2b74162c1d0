"""How many events, anomalies, alerts: in all, or of a user or address in the window."""

import asyncio

from genai_assistant.activity import (
    SUPPORTING,
    TOTAL_ONLY,
    activity,
    record_activity,
    tell_fallback,
)
from genai_assistant.clock import when
from genai_assistant.evidence import BATCH, PART, REAL_TIME, Findings, Ledger
from genai_assistant.phrases import counted, spoken
from genai_assistant.plan import Plan
from genai_assistant.questions.scope import as_record, filters, in_words
from genai_assistant.records import event_record
from genai_assistant.sources import Sources


async def investigate(plan: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """State totals of the merged view, each layer's share, and the window's count."""
    if any(filters(plan).values()) or plan.place:
        return await _scoped(plan, sources, ledger)
    summary, report, seen = await asyncio.gather(
        sources.summary(), sources.report(), activity(sources, plan.window, page_size=TOTAL_ONLY)
    )
    findings = Findings(freshness=seen.freshness)
    if summary.value:
        totals = summary.value
        cite = ledger.add("totals", REAL_TIME, totals.model_dump())
        findings.say(
            f"The merged view holds {counted(totals.totalEvents, 'event')}: "
            f"{totals.batchEvents:,} from the batch view and {totals.realtimeEvents:,} from the "
            "live view",
            cite,
        )
        findings.say(
            f"It holds {counted(totals.totalAnomalies, 'anomalous event')}, "
            f"{counted(totals.highThreatEvents, 'event')} that producers rated as a high threat, "
            f"and {counted(totals.totalAnalyses, 'written analysis', 'written analyses')}",
            cite,
        )
    if report.value:
        told = report.value.model_dump(exclude={"top_anomalies"})
        cite = ledger.add("batch_report", BATCH, told)
        findings.say(
            f"The batch layer knows {counted(report.value.total_users, 'user')}, "
            f"{report.value.anomalous_users:,} of them anomalous",
            cite,
            before=PART,
        )
    window_cite = record_activity(seen, ledger)
    if window_cite and seen.rows:
        tell_fallback(seen, findings, window_cite)
        least = "" if seen.is_exact else "at least "
        findings.say(
            f"{spoken(seen.window.label).capitalize()} there are {least}"
            f"{counted(seen.total, 'event')}",
            window_cite,
        )
    return findings


async def _scoped(plan: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """Count what a question limits itself to: user, address, type, status, place."""
    seen = await activity(
        sources,
        plan.window,
        page_size=TOTAL_ONLY,
        place=plan.place,
        counting="total",
        **filters(plan),
    )
    findings = Findings(freshness=seen.freshness)
    cite = record_activity(seen, ledger, **as_record(plan))
    if cite is None:
        return findings
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
    findings.say(f"The last is at {when(seen.rows[0].timestamp)}", cite)
    findings.events = [event_record(row) for row in seen.rows[:SUPPORTING]]
    return findings
