"""What suspicious happened in the window, over all users."""

import asyncio
from collections import Counter

from contracts.alerts import SEVERITIES
from genai_assistant.activity import TOTAL_ONLY, activity, is_capped, record_activity, tell_fallback
from genai_assistant.clock import when
from genai_assistant.evidence import LINE, PART, REAL_TIME, Findings, Ledger
from genai_assistant.phrases import counted, spoken
from genai_assistant.plan import Plan
from genai_assistant.questions.statements import alert_context, say_alert, say_anomaly
from genai_assistant.records import alert_record, anomaly_record, event_record
from genai_assistant.sources import Sources

PAGE = 100
EXAMINED = 50
SHOWN = 3


async def investigate(plan: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """State events, anomalies and alerts of the window, with the strongest of each."""
    seen, alerts = await asyncio.gather(
        activity(sources, plan.window, page_size=TOTAL_ONLY), sources.alerts(limit=PAGE)
    )
    window = {"start_time": seen.window.start_ms, "end_time": seen.window.end_ms}
    anomalies, number = await asyncio.gather(
        sources.anomalies(None, limit=EXAMINED, **window), sources.anomaly_count(**window)
    )
    findings = Findings(freshness=seen.freshness, window=(seen.window.start_ms, seen.window.end_ms))
    cite = record_activity(seen, ledger)
    if cite is None:
        return findings
    if not seen.rows:
        findings.say("No event is known", cite)
        return findings
    start, end = seen.window.start_ms, seen.window.end_ms
    rows = anomalies.value.data if anomalies.value else []
    anomalous = number.value.count if number.value else len(rows)
    raised = [
        one for one in (alerts.value.data if alerts.value else []) if start <= one.last_seen < end
    ]
    record = ledger.by_id()[cite].record
    severities: Counter[str] = Counter(alert.severity for alert in raised)
    found = ledger.add(
        "threat_summary",
        REAL_TIME,
        {
            "window": seen.window.label,
            "anomalous_events": anomalous,
            "anomalous_events_examined": len(rows),
            "alerts": len(raised),
            "by_severity": {name: severities[name] for name in reversed(SEVERITIES)},
            "users": len({row.user for row in rows} | {alert.user_id for alert in raised}),
        },
    )
    tell_fallback(seen, findings, cite)
    least = "" if seen.is_exact else "at least "
    findings.say(
        f"{spoken(seen.window.label).capitalize()} there are {least}"
        f"{counted(record['events'], 'event')}, the last at {when(record['last_event'])}",
        cite,
    )
    at_least = "at least " if is_capped(alerts.value, len(raised)) else ""
    findings.say(
        f"Among them are {counted(anomalous, 'anomalous event')} and "
        f"{at_least}{counted(len(raised), 'alert')} ({severities['CRITICAL']} CRITICAL, "
        f"{severities['HIGH']} HIGH)",
        found,
    )
    worst = sorted(raised, key=lambda one: -SEVERITIES.index(one.severity))[:SHOWN]
    for rank, alert in enumerate(worst):
        shown = alert_record(alert)
        say_alert(
            findings,
            shown,
            ledger.add("alert", REAL_TIME, shown),
            before=LINE if rank else PART,
        )
    for rank, row in enumerate(sorted(rows, key=lambda row: -row.anomaly_score)[:SHOWN]):
        told = anomaly_record(row)
        say_anomaly(
            findings,
            told,
            ledger.add("anomaly", REAL_TIME, told),
            before=LINE if rank else PART,
        )
    findings.events = [anomaly_record(row) for row in rows] or [
        event_record(row) for row in seen.rows if row.is_anomaly
    ]
    findings.context = " ".join([plan.question, *map(alert_context, raised[:SHOWN])])
    return findings
