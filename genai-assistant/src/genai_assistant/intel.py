"""What stands beside findings: techniques that fit, and earlier analyses of like alerts."""

import asyncio

from genai_assistant.clock import when
from genai_assistant.evidence import LINE, PART, RAG, Findings, Ledger, Record
from genai_assistant.hostile import quote
from genai_assistant.plan import Kind, Plan
from genai_assistant.retrieval.analyses import PastAnalyses
from genai_assistant.retrieval.corpus import THREATS
from genai_assistant.retrieval.index import ThreatIndex

THREAT_INTEL = 3
WITH_PAST = frozenset({Kind.USER_ANOMALY, Kind.EXPLAIN_ALERT})
"""Kinds that name earlier analyses."""
PAST_EXAMINED = 10
PAST_SHOWN = 2
MIN_LIKENESS = 0.5


class Intel:
    """Adds to findings what retrieval knows about them."""

    def __init__(self, index: ThreatIndex, past: PastAnalyses | None) -> None:
        self._index = index
        self._past = past

    async def add_threats(self, asked: Plan, findings: Findings, ledger: Ledger) -> list[Record]:
        """Add techniques named by alerts, then those nearest to what was found."""
        named = [self._index.get(name) for name in findings.techniques]
        hits = await asyncio.to_thread(self._index.query, findings.context, THREAT_INTEL, THREATS)
        chosen = {one.id: one for one in (*named, *(hit.document for hit in hits)) if one}
        cited = {one.record["id"]: one.id for one in ledger.evidence if one.source == RAG}
        intel: list[Record] = []
        told = 0
        for document in list(chosen.values())[:THREAT_INTEL]:
            record = document.record()
            cite = cited.get(document.id) or ledger.add(document.kind, RAG, record)
            intel.append({**record, "evidence": cite})
            if document.id in cited or asked.kind is Kind.TECHNIQUE:
                continue
            relation = (
                "Named by an alert" if document.id in findings.techniques else "Possibly related"
            )
            findings.say(
                f"{relation}: {document.id} {quote(document.name)}",
                cite,
                before=LINE if told else PART,
            )
            told += 1
        return intel

    async def add_past(self, asked: Plan, findings: Findings, ledger: Ledger) -> None:
        """Name earlier analyses of alerts with like techniques; of the asked user where named."""
        if self._past is None or asked.kind not in WITH_PAST:
            return
        words = self._past.words(findings.techniques)
        if not words:
            return
        known = {one.record["alert_id"] for one in ledger.evidence if one.kind == "alert"}
        user = asked.scope_user
        found = await asyncio.to_thread(self._past.like, words, PAST_EXAMINED, user)
        near = [one for one in found if one.likeness >= MIN_LIKENESS and one.alert_id not in known]
        for rank, one in enumerate(near[:PAST_SHOWN]):
            findings.say(
                f"An earlier analysis, {quote(one.id)} of {when(one.created_at)}, explains "
                f"{one.severity} alert {quote(one.alert_id)} of user {quote(one.user)}",
                ledger.add("past_analysis", RAG, one.record()),
                before=LINE if rank else PART,
            )
