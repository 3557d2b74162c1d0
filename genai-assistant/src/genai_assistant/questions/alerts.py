"""Which alerts are open and what to do first; and one alert explained."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from contracts.alerts import SEVERITIES
from contracts.api import Count, EventRecord, Page
from genai_assistant.clock import when
from genai_assistant.evidence import BATCH, LINE, PART, REAL_TIME, Findings, Ledger, Record
from genai_assistant.hostile import quote
from genai_assistant.phrases import counted
from genai_assistant.plan import Plan
from genai_assistant.questions.statements import alert_context, say_alert
from genai_assistant.records import alert_record, event_record, verdict_record
from genai_assistant.sources import Fetched, KnownAlert, Sources

PAGE = 200
SERIOUS_PAGE = 50
SHOWN = 5
EVENTS_SHOWN = 3
WORST_FIRST = tuple(reversed(SEVERITIES))


async def open_alerts(plan: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """List open alerts, the most severe and newest first."""
    whom = {"user": plan.user}
    pages, counts = await asyncio.gather(
        asyncio.gather(
            sources.open_alerts(limit=PAGE, **whom),
            sources.open_alerts(severity="CRITICAL", limit=SERIOUS_PAGE, **whom),
            sources.open_alerts(severity="HIGH", limit=SERIOUS_PAGE, **whom),
        ),
        asyncio.gather(*(sources.open_alert_count(severity=one, **whom) for one in WORST_FIRST)),
    )
    findings = Findings()
    if all(page.failure for page in pages):
        return findings
    alerts = _merged([page.value for page in pages if page.value])
    is_listed = bool(pages[0].value and pages[0].value.next_cursor is None)
    record = _summary(alerts, plan.user, counts, is_listed=is_listed)
    cite = ledger.add("alert_summary", REAL_TIME, record)
    of_user = f" of user {quote(plan.user)}" if plan.user else ""
    if not record["open_alerts"]:
        none = (
            f"No alert{of_user} is open" if record["is_all"] else f"No open alert{of_user} is known"
        )
        findings.say(none, cite)
        findings.freshness = 0.9
        return findings
    _say_summary(findings, ledger.by_id()[cite].record, cite, of_user)
    for rank, alert in enumerate(alerts[:SHOWN]):
        record = alert_record(alert)
        shown = ledger.add("alert", REAL_TIME, record)
        if rank == 0:
            findings.say(
                f"Begin with alert {quote(alert.alert_id)}: it is the newest of the most severe",
                cite,
                shown,
                before=PART,
            )
        say_alert(findings, record, shown)
    findings.events = [alert_record(alert) for alert in alerts[:SHOWN]]
    findings.context = " ".join(map(alert_context, alerts[:SHOWN]))
    return findings


async def explain(plan: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """Explain one alert from its own record, its events and the user's batch verdict."""
    found = await sources.alert(plan.alert_id or "")
    findings = Findings()
    if found.value is None:
        if found.is_missing:
            cite = ledger.add("search", REAL_TIME, {"alert_id": plan.alert_id, "found": False})
            findings.say(f"No alert {quote(plan.alert_id or '')} is known", cite)
        return findings
    return await explain_known(found.value, sources, ledger)


async def explain_known(alert: KnownAlert, sources: Sources, ledger: Ledger) -> Findings:
    """Explain an alert that was fetched already."""
    findings = Findings(context=alert_context(alert))
    batch, events = await asyncio.gather(
        sources.user_verdict(alert.user_id),
        asyncio.gather(*(sources.event(one) for one in alert.event_ids[-EVENTS_SHOWN:])),
    )
    record = {**alert_record(alert), "suppressed_by": alert.suppressed_by}
    cite = ledger.add("alert", REAL_TIME, record)
    say_alert(findings, record, cite)
    findings.say(
        f"The rule {quote(alert.rule_id)} says: {quote(alert.description)}", cite, before=PART
    )
    if alert.source_ips:
        shown = ", ".join(quote(address) for address in alert.source_ips[:EVENTS_SHOWN])
        findings.say(f"Addresses among its evidence are {shown}", cite)
    if alert.suppressed_by and not alert.resolved:
        findings.say(f"It is silenced by suppression {quote(alert.suppressed_by)}", cite)
    else:
        findings.say(f"It is {'resolved' if alert.resolved else 'open'}", cite)
    _say_events(findings, ledger, events)
    if batch.value:
        verdict = ledger.add("user_batch_verdict", BATCH, verdict_record(batch.value))
        flagged = "flags" if batch.value.is_anomaly else "does not flag"
        findings.say(
            f"The batch layer {flagged} user {quote(alert.user_id)} as anomalous",
            verdict,
            before=PART,
        )
        findings.agreement = 1.0 if batch.value.is_anomaly else 0.8
    return findings


def _say_events(findings: Findings, ledger: Ledger, events: list[Fetched[EventRecord]]) -> None:
    for event in events:
        if event.value is None:
            continue
        record = event_record(event.value)
        cite = ledger.add("event", REAL_TIME, record)
        origin = f" from {quote(record['source_ip'])}" if record["source_ip"] else ""
        status = f" with status {quote(record['status'])}" if record["status"] else ""
        findings.say(
            f"Event {quote(record['event_id'])} at {when(record['timestamp'])} is of type "
            f"{quote(record['event_type'])}{origin}{status}",
            cite,
            before=LINE if findings.events else PART,
        )
        findings.events.append(record)


def _merged(pages: list[Page[KnownAlert]]) -> list[KnownAlert]:
    unique = {alert.alert_id: alert for page in pages for alert in page.data}
    return sorted(
        unique.values(),
        key=lambda alert: (-SEVERITIES.index(alert.severity), -alert.last_seen, alert.alert_id),
    )


def _summary(
    alerts: list[KnownAlert],
    user: str | None,
    counts: Sequence[Fetched[Count]],
    *,
    is_listed: bool,
) -> Record:
    """Return exact numbers by severity; where a count failed, of the alerts that were listed."""
    listed: Counter[str] = Counter(alert.severity for alert in alerts)
    known = [one.value for one in counts if one.value is not None]
    is_counted = len(known) == len(counts)
    numbers = {name: listed[name] for name in WORST_FIRST}
    if is_counted:
        # What was listed is open, also when it was raised after the count.
        pairs = zip(WORST_FIRST, known, strict=True)
        numbers = {name: max(one.count, listed[name]) for name, one in pairs}
    return {
        **({"user": user} if user else {}),
        "open_alerts": sum(numbers.values()),
        "is_all": all(one.complete for one in known) if is_counted else is_listed,
        "by_severity": numbers,
        "listed": len(alerts),
        "is_listed": is_listed,
        "by_rule": dict(Counter(alert.alert_type for alert in alerts).most_common(SHOWN)),
        "users": len({alert.user_id for alert in alerts}),
        "first_seen": min((alert.first_seen for alert in alerts), default=None),
        "last_seen": max((alert.last_seen for alert in alerts), default=None),
        "first_to_handle": alerts[0].alert_id if alerts else None,
    }


def _say_summary(findings: Findings, record: Record, cite: str, of_user: str) -> None:
    least = "" if record["is_all"] else "at least "
    severities = ", ".join(
        f"{least}{number:,} {name}" for name, number in record["by_severity"].items() if number
    )
    told = f"Open: {least}{counted(record['open_alerts'], 'alert')}{of_user} ({severities})"
    if not record["listed"]:
        findings.say(told, cite)
        return
    first, last = when(record["first_seen"]), when(record["last_seen"])
    if record["is_listed"]:
        findings.say(f"{told}, from {first} to {last}", cite)
        return
    findings.say(f"{told}, the last seen at {last}", cite)
    findings.say(
        f"The newest and most severe {record['listed']:,} were looked at, back to {first}", cite
    )
