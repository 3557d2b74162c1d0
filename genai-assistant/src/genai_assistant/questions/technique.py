"""What a technique means, and whether it was seen here."""

import asyncio
import re
from collections.abc import Sequence

from contracts.alerts import Alert
from genai_assistant.evidence import LINE, PART, RAG, REAL_TIME, Findings, Ledger, Record
from genai_assistant.hostile import quote
from genai_assistant.phrases import counted
from genai_assistant.plan import Plan
from genai_assistant.retrieval.corpus import THREATS
from genai_assistant.retrieval.index import ThreatIndex
from genai_assistant.sources import Sources

PAGE = 200
TECHNIQUES = frozenset({"technique"})
RULE_ASKED = re.compile(r"\b(?:rules?|alerts?)\b|\b[A-Z]+(?:_[A-Z]+)+\b")
"""Words of a question about one of our rules; otherwise the technique is what is explained."""


async def investigate(plan: Plan, sources: Sources, ledger: Ledger, index: ThreatIndex) -> Findings:
    """Explain the technique that is named, or the one nearest to the question."""
    kinds = THREATS if RULE_ASKED.search(plan.question) else TECHNIQUES
    alerts, hits = await asyncio.gather(
        sources.alerts(limit=PAGE), asyncio.to_thread(index.query, plan.question, 1, kinds)
    )
    findings = Findings()
    documents = [hit.document for hit in hits]
    if plan.technique:
        named = index.get(plan.technique)
        if named is None:
            cite = ledger.add("search", RAG, {"technique": plan.technique, "found": False})
            findings.say(f"The threat corpus does not hold technique {plan.technique}", cite)
            return findings
        documents = [named]
    if not documents:
        return findings
    record = documents[0].record()
    cite = ledger.add("technique", RAG, record)
    _say_document(findings, record, cite)
    raised = alerts.value.data if alerts.value else []
    if alerts.value is not None:
        _say_sightings(findings, ledger, record, raised)
    findings.context = plan.question
    findings.techniques = {
        name: cite for name in (record["id"], *record["techniques"]) if name[1:2].isdigit()
    }
    return findings


def _say_document(findings: Findings, record: Record, cite: str) -> None:
    tactics = ", ".join(record["tactics"])
    title = f"{record['id']} is {quote(record['name'])}"
    findings.say(f"{title}, of the tactic {tactics}" if tactics else title, cite)
    for sentence in re.split(r"(?<=[.])\s+", record["description"]):
        findings.say(sentence.rstrip("."), cite)
    findings.say("To detect it: " + _listed(record["detection"]), cite, before=PART)
    findings.say("To respond: " + _listed(record["response"]), cite, before=LINE)


def _listed(items: list[str]) -> str:
    return "; ".join(item[0].lower() + item[1:] if item[1:2].islower() else item for item in items)


def _say_sightings(
    findings: Findings, ledger: Ledger, record: Record, alerts: Sequence[Alert]
) -> None:
    wanted = {record["id"], *record["techniques"]}
    seen = [
        alert
        for alert in alerts
        if alert.alert_type == record["id"]
        or wanted & ({*alert.techniques} | {name.partition(".")[0] for name in alert.techniques})
    ]
    summary = {
        "technique": record["id"],
        "alerts_examined": len(alerts),
        "alerts_with_it": len(seen),
        "users": len({alert.user_id for alert in seen}),
    }
    sighting = ledger.add("sightings", REAL_TIME, summary)
    findings.say(
        f"Here, {len(seen):,} of the newest {counted(len(alerts), 'alert')} point to it, of "
        f"{counted(summary['users'], 'user')}",
        sighting,
        before=PART,
    )
