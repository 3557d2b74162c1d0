"""Explain one event: what it is, and what each part of its score says."""

import asyncio

from contracts.api import AnomalyRecord
from genai_assistant.clock import when
from genai_assistant.evidence import PART, REAL_TIME, Findings, Ledger
from genai_assistant.fields import EVENT_TYPES
from genai_assistant.hostile import quote
from genai_assistant.phrases import figure
from genai_assistant.plan import Plan
from genai_assistant.questions.statements import anomaly_context, say_anomaly
from genai_assistant.records import anomaly_record, event_record
from genai_assistant.sources import Sources

SHOWN = 4


async def investigate(plan: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """Fetch the event and its anomaly record, and state both."""
    event_id = plan.event_id or ""
    event, anomaly = await asyncio.gather(sources.event(event_id), sources.anomaly(event_id))
    findings = Findings()
    if event.value is None:
        if event.is_missing:
            cite = ledger.add("search", REAL_TIME, {"event_id": event_id, "found": False})
            findings.say(f"No event {quote(event_id)} is known", cite)
        return findings
    record = event_record(event.value)
    cite = ledger.add("event", REAL_TIME, record)
    origin = f" from {quote(record['source_ip'])}" if record["source_ip"] else ""
    status = f" with status {quote(record['status'])}" if record["status"] else ""
    findings.say(
        f"Event {quote(event_id)} of user {quote(record['user'])} is of type "
        f"{quote(record['event_type'])}{origin} at {when(record['timestamp'])}{status}",
        cite,
    )
    findings.verdict = "anomalous" if record["is_anomaly"] else "not_anomalous"
    if record["anomaly_score"] is None:
        findings.say("It was not scored, as its user has no ready baseline", cite)
        findings.verdict = "not_scored"
    elif not record["is_anomaly"]:
        score = figure(record["anomaly_score"])
        findings.say(f"Its anomaly score is {score}, which is not anomalous for this user", cite)
    findings.events = [record]
    if anomaly.value:
        _say_parts(findings, ledger, anomaly.value)
    if anomaly.value:
        findings.context = anomaly_context(anomaly.value)
    elif event.value.event_type in EVENT_TYPES:
        findings.context = event.value.event_type
    return findings


def _say_parts(findings: Findings, ledger: Ledger, anomaly: AnomalyRecord) -> None:
    parts = {
        name: value
        for name, value in anomaly.model_dump().items()
        if name.endswith("_anomaly") and name != "is_anomaly" and value
    }
    record = {**anomaly_record(anomaly), **parts}
    cite = ledger.add("anomaly", REAL_TIME, record)
    say_anomaly(findings, record, cite, before=PART, whose=False)
    strongest = sorted(parts.items(), key=lambda part: -part[1])[:SHOWN]
    if strongest:
        told = ", ".join(f"{name} {figure(value)}" for name, value in strongest)
        findings.say(f"The strongest parts of its score are {told}", cite)
