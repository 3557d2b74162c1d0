"""What happened to user X in the window, and the same for an address."""

import asyncio

from genai_assistant.activity import (
    SUPPORTING,
    Activity,
    activity,
    record_activity,
    tell_fallback,
)
from genai_assistant.clock import when
from genai_assistant.evidence import BATCH, LINE, PART, REAL_TIME, Findings, Ledger, Record
from genai_assistant.fields import EVENT_TYPES
from genai_assistant.hostile import quote
from genai_assistant.phrases import counted, spoken
from genai_assistant.places import Place
from genai_assistant.plan import Plan
from genai_assistant.questions.statements import alert_context, say_alert
from genai_assistant.records import alert_record, event_record, verdict_record
from genai_assistant.sources import Sources

SHOWN = 3
ALERTS_PAGE = 50


async def of_user(plan: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """Tell a user's events by type, failure, address, and the alerts that fall among them."""
    user = plan.user or ""
    seen, alerts, batch = await asyncio.gather(
        activity(sources, plan.window, place=plan.place, counting="details", user=user),
        sources.alerts(user=user, limit=ALERTS_PAGE),
        sources.user_verdict(user),
    )
    findings = Findings(freshness=seen.freshness, window=(seen.window.start_ms, seen.window.end_ms))
    _tell(findings, ledger, seen, "user", user, plan.place)
    raised = [
        alert
        for alert in (alerts.value.data if alerts.value else [])
        if seen.window.start_ms <= alert.last_seen < seen.window.end_ms
    ]
    for rank, alert in enumerate(raised[:SHOWN]):
        record = alert_record(alert)
        shown = ledger.add("alert", REAL_TIME, record)
        say_alert(findings, record, shown, before=LINE if rank else PART)
        findings.context += f" {alert_context(alert)}"
    if batch.value:
        cite = ledger.add("user_batch_verdict", BATCH, verdict_record(batch.value))
        flagged = "flags" if batch.value.is_anomaly else "does not flag"
        findings.say(
            f"The batch layer {flagged} user {quote(user)} as anomalous", cite, before=PART
        )
    return findings


async def of_address(plan: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """Tell what came from an address."""
    address = plan.address or ""
    seen = await activity(
        sources, plan.window, place=plan.place, counting="details", source_ip=address
    )
    findings = Findings(freshness=seen.freshness, window=(seen.window.start_ms, seen.window.end_ms))
    _tell(findings, ledger, seen, "address", address, plan.place)
    return findings


def _tell(
    findings: Findings,
    ledger: Ledger,
    seen: Activity,
    subject: str,
    name: str,
    place: Place | None,
) -> None:
    where = place.record() if place else {}
    cite = record_activity(seen, ledger, **{subject: name}, **where)
    if cite is None:
        return
    of_whom = f"{subject} {quote(name)}{place.phrase() if place else ''}"
    if not seen.rows:
        findings.say(f"No event of {of_whom} is known", cite)
        return
    tell_fallback(seen, findings, cite, f" of {of_whom}")
    _say_summary(findings, ledger.by_id()[cite].record, cite, of_whom, seen)
    anomalous = [row for row in seen.rows if row.is_anomaly]
    strongest = sorted(anomalous, key=lambda row: -(row.anomaly_score or 0))[:SHOWN]
    for rank, row in enumerate(strongest):
        _say_event(findings, ledger, event_record(row), before=LINE if rank else PART)
        if row.event_type in EVENT_TYPES:
            findings.context += f" {row.event_type}"
    findings.events = [event_record(row) for row in (anomalous or seen.rows)[:SUPPORTING]]


def _say_summary(
    findings: Findings, record: Record, cite: str, subject: str, seen: Activity
) -> None:
    least = "" if seen.is_exact else "at least "
    has = f"{spoken(seen.window.label).capitalize()} {subject} has {least}"
    number = counted(record["events"], "event")
    first, last = when(record["first_event"]), when(record["last_event"])
    if seen.is_whole:
        findings.say(f"{has}{number}, from {first} to {last}", cite)
    else:
        newest = f"{record['events_examined']:,}"
        findings.say(f"{has}{number}", cite)
        findings.say(f"Types and addresses are those of the newest {newest}, back to {first}", cite)
    types = ", ".join(f"{number:,} {quote(kind)}" for kind, number in record["event_types"].items())
    findings.say(f"They are {types}", cite, before=PART)
    findings.say(
        f"Failed: {record['failed_events']:,}; scored as anomalous: {record['anomalous_events']:,}",
        cite,
    )
    if record["top_addresses"]:
        busiest = ", ".join(quote(name) for name in record["top_addresses"])
        findings.say(
            f"They came from {counted(record['source_addresses'], 'address', 'addresses')}, "
            f"the busiest being {busiest}",
            cite,
        )


def _say_event(findings: Findings, ledger: Ledger, record: Record, *, before: str) -> None:
    cite = ledger.add("event", REAL_TIME, record)
    score = record["anomaly_score"]
    origin = f" from {quote(record['source_ip'])}" if record["source_ip"] else ""
    scored = f" with an anomaly score of {score:.2f}" if score is not None else ""
    findings.say(
        f"Event {quote(record['event_id'])} of user {quote(record['user'])}, of type "
        f"{quote(record['event_type'])}{origin} at {when(record['timestamp'])}, stands out{scored}",
        cite,
        before=before,
    )
