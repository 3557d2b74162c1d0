"""One question from plan to checked answer."""

import logging
import time
from collections.abc import Awaitable, Callable

from pydantic import BaseModel

from contracts.api import UserAnomaly
from genai_assistant.bodies import (
    ActionOut,
    Answer,
    EvidenceOut,
    Part,
    Query,
    Reading,
    Understood,
    UsageOut,
)
from genai_assistant.budget import Budget
from genai_assistant.callers import asker, key_id
from genai_assistant.clock import now_ms
from genai_assistant.confidence import confidence
from genai_assistant.errors import ModelError
from genai_assistant.evidence import PART, RAG, REAL_TIME, Findings, Ledger, Record, Scope
from genai_assistant.followups import plan_in_conversation
from genai_assistant.hostile import cleaned, quote
from genai_assistant.intel import Intel
from genai_assistant.metrics import Metrics
from genai_assistant.model import ChatModel
from genai_assistant.plan import Kind, Plan
from genai_assistant.pseudonyms import Pseudonyms
from genai_assistant.questions import (
    alerts,
    compare,
    counts,
    explain_event,
    failed_logins,
    layers,
    overview,
    pipeline,
    technique,
    top_risk,
    tops,
    transactions,
    trend,
    user_activity,
    user_anomaly,
)
from genai_assistant.retrieval.analyses import PastAnalyses
from genai_assistant.retrieval.index import ThreatIndex
from genai_assistant.runbooks import Runbook, actions, in_words, load_runbooks
from genai_assistant.serving_client import ServingClient
from genai_assistant.sources import Sources
from genai_assistant.wording import EVIDENCE_MODE, Wording, as_they_are, by_model

logger = logging.getLogger(__name__)

Tell = Callable[[str, BaseModel], None]
"""Takes the name and body of an intermediate result."""

Investigation = Callable[[Plan, Sources, Ledger], Awaitable[Findings]]

INVESTIGATIONS: dict[Kind, Investigation] = {
    Kind.USER_ANOMALY: user_anomaly.investigate,
    Kind.USER_ACTIVITY: user_activity.of_user,
    Kind.ADDRESS_ACTIVITY: user_activity.of_address,
    Kind.TOP_RISK: top_risk.investigate,
    Kind.OPEN_ALERTS: alerts.open_alerts,
    Kind.EXPLAIN_ALERT: alerts.explain,
    Kind.EXPLAIN_EVENT: explain_event.investigate,
    Kind.FAILED_LOGINS: failed_logins.investigate,
    Kind.PIPELINE: pipeline.investigate,
    Kind.COUNTS: counts.investigate,
    Kind.TOPS: tops.investigate,
    Kind.TREND: trend.investigate,
    Kind.COMPARE: compare.investigate,
    Kind.LAYERS: layers.investigate,
    Kind.TRANSACTIONS: transactions.investigate,
    Kind.OVERVIEW: overview.investigate,
}
CAPABILITIES = (
    "whether a user is anomalous and why",
    "what happened to a user or from an address",
    "who is riskiest",
    "open alerts and what to do first",
    "failed logins",
    "an alert or event by its id",
    "what a technique means",
    "the health of the pipeline",
    "counts of events, the most frequent values of a field, and trends",
    "how a user compares with usual",
    "whether the batch and live layers disagree",
    "transactions and fraud, from the finished batch analyses",
)
MAX_SUPPORTING_EVENTS = 20
MAX_FAILURES_TOLD = 3


def _silent(_name: str, _body: BaseModel) -> None:
    """Tell nobody."""


class Assistant:
    """Answers questions; safe to share between requests."""

    def __init__(
        self,
        serving: ServingClient,
        index: ThreatIndex,
        metrics: Metrics,
        model: ChatModel | None = None,
        clock: Callable[[], int] = now_ms,
        batch: ServingClient | None = None,
        budget: Budget | None = None,
        past: PastAnalyses | None = None,
        hidden_fields: frozenset[str] | None = None,
        prompt_room: int = 12_000,
    ) -> None:
        self._prompt_room = prompt_room
        self._intel = Intel(index, past)
        self._budget = budget
        self._hidden_fields = hidden_fields
        self._serving = serving
        self._batch = batch
        self._index = index
        self._metrics = metrics
        self._model = model
        self._clock = clock
        self._runbooks: list[Runbook] = load_runbooks()

    @property
    def mode(self) -> str:
        """How answers are worded when all goes well."""
        return self._model.name if self._model else EVIDENCE_MODE

    async def answer(self, query: Query, tell: Tell = _silent) -> Answer:
        """Answer a question. Failures of sources or model lower the answer, never raise.

        Args:
            query: The question.
            tell: Called with the name and body of each intermediate result.
        """
        started = time.perf_counter()
        # A window the client did not name may be named by the question's words.
        window = query.context_window if "context_window" in query.model_fields_set else None
        asked = plan_in_conversation(
            query.question,
            self._clock(),
            [turn.question for turn in query.conversation],
            context_window=window,
            user_id=query.user_id,
        )
        answer = await self.carry_out(
            asked,
            include_threat_intel=query.include_threat_intel,
            tell=tell,
            asked_by=asker(query.asked_by),
        )
        seconds = time.perf_counter() - started
        answer = answer.model_copy(update={"query_time_ms": round(seconds * 1000, 2)})
        self._measure(answer, seconds)
        return answer

    async def carry_out(
        self,
        asked: Plan,
        *,
        include_threat_intel: bool = True,
        use_model: bool = True,
        tell: Tell = _silent,
        asked_by: str | None = None,
    ) -> Answer:
        """Fetch what a plan needs and word the answer."""
        understood = _understood(asked)
        tell("understood", Reading(kind=asked.kind.value, understood=understood))
        ledger = Ledger()
        sources = Sources(self._serving, ledger, self._batch)
        findings, batch = await self._investigate(asked, sources, ledger)
        ledger.scope = Scope(asked.scope_user, findings.window)
        intel: list[Record] = []
        if include_threat_intel and findings.context:
            intel = await self._intel.add_threats(asked, findings, ledger)
            await self._intel.add_past(asked, findings, ledger)
        _tell_what_failed(findings, ledger)
        details = actions(self._runbooks, findings, ledger)
        evidence = [
            EvidenceOut(id=one.id, kind=one.kind, source=one.source, record=one.record)
            for one in ledger.evidence
        ]
        for one in evidence:
            tell("evidence", one)
        wording = await self._word(asked, findings, ledger, use_model=use_model, asked_by=asked_by)
        for text in wording.text.split(PART):
            tell("part", Part(text=text))
        return Answer(
            answer=wording.text,
            confidence=confidence(findings, ledger),
            supporting_events=[cleaned(one) for one in findings.events[:MAX_SUPPORTING_EVENTS]],
            threat_intel=intel,
            recommended_actions=[in_words(one) for one in details],
            query_time_ms=0,
            sources_used=list(ledger.sources_used()),
            batch_anomaly=batch,
            mode=_mode(wording, ledger),
            citation_check=wording.checked,
            evidence=evidence,
            kind=asked.kind.value,
            understood=understood,
            verdict=findings.verdict,
            action_details=[ActionOut(**one) for one in details],
            usage=UsageOut(
                prompt_tokens=wording.usage.prompt_tokens,
                completion_tokens=wording.usage.completion_tokens,
                cost_dollars=wording.usage.cost_dollars,
                is_estimated=wording.usage.is_estimated,
            ),
            context=wording.context,
        )

    async def _investigate(
        self, asked: Plan, sources: Sources, ledger: Ledger
    ) -> tuple[Findings, UserAnomaly | None]:
        """Run the plan's investigation, and look the user up in the batch run beside it."""
        if asked.kind is Kind.UNSUPPORTED:
            return _capabilities(ledger), None
        verdict = sources.user_verdict(asked.user) if asked.user else None
        if asked.kind is Kind.TECHNIQUE:
            findings = await technique.investigate(asked, sources, ledger, self._index)
        else:
            findings = await INVESTIGATIONS[asked.kind](asked, sources, ledger)
        return findings, (await verdict).value if verdict else None

    async def _word(
        self,
        asked: Plan,
        findings: Findings,
        ledger: Ledger,
        *,
        use_model: bool,
        asked_by: str | None,
    ) -> Wording:
        if self._model is None or not use_model or asked.kind is Kind.UNSUPPORTED:
            return as_they_are(findings.statements, ledger)
        if key_id() is not None and not ledger.answered:
            # A key that nobody took may be made up: it gets no budget of its own.
            return as_they_are(findings.statements, ledger)
        try:
            if self._budget:
                self._budget.check(asked_by)
        except ModelError as error:
            return as_they_are(findings.statements, ledger, f"degraded: {error}")
        question, hidden = asked.question, None
        if self._hidden_fields is not None:
            named = (asked.user, asked.address, asked.alert_id, asked.event_id)
            hidden = Pseudonyms.of(ledger.evidence, self._hidden_fields, *named)
            # A name that the planner did not read cannot be told from a word: none is sent.
            question = asked.reading()
        worded = await by_model(
            self._model, question, findings.statements, ledger, self._prompt_room, hidden
        )
        if self._budget:
            self._budget.spend(asked_by, worded.usage.cost_dollars)
        return worded

    def _measure(self, answer: Answer, seconds: float) -> None:
        metrics = self._metrics
        mode = answer.mode.partition(":")[0]
        metrics.queries.labels(answer.kind, mode).inc()
        metrics.query_duration.observe(seconds)
        metrics.confidence.observe(answer.confidence)
        metrics.supporting_events.observe(len(answer.supporting_events))
        metrics.threat_intel.observe(len(answer.threat_intel))
        metrics.sentences.labels("valid").inc(answer.citation_check.valid)
        metrics.sentences.labels("dropped").inc(answer.citation_check.dropped)
        if mode == "degraded":
            metrics.errors.labels("model" if "model" in answer.mode else "data_source").inc()
            logger.warning("answer %s: %s", answer.kind, answer.mode)


def _understood(asked: Plan) -> Understood:
    """Say what a question, or a follow-up with what came before it, was read as."""
    return Understood(
        user=asked.user,
        address=asked.address,
        window=asked.window.label,
        start_time=asked.window.start_ms,
        end_time=asked.window.end_ms,
        event_type=asked.event_type,
        status=asked.status,
        field=asked.field,
        place=asked.place.record() if asked.place else {},
    )


def _capabilities(ledger: Ledger) -> Findings:
    findings = Findings()
    cite = ledger.add("capabilities", RAG, {"answers": list(CAPABILITIES)})
    findings.say(f"I can answer questions about {'; '.join(CAPABILITIES)}", cite)
    findings.freshness = 0.1
    return findings


def _tell_what_failed(findings: Findings, ledger: Ledger) -> None:
    """Say which source could not be read, and when too little is left to answer."""
    has_answer = bool(findings.statements)
    for failure in list(dict.fromkeys(ledger.failures))[:MAX_FAILURES_TOLD]:
        source, _, reason = failure.partition(": ")
        cite = ledger.add("source_failure", REAL_TIME, {"failed_source": source, "reason": reason})
        if not has_answer:
            has_answer = True
            findings.say("There is not enough evidence to answer", cite)
        findings.say(f"Source {quote(source)} could not be read: {quote(reason)}", cite)
    if not has_answer:
        cite = ledger.add("search", RAG, {"found": False})
        findings.say("There is not enough evidence to answer: nothing was found", cite)
        findings.freshness = min(findings.freshness, 0.2)


def _mode(wording: Wording, ledger: Ledger) -> str:
    """Name the wording; a source that failed degrades it, whoever worded it."""
    if ledger.failures and not wording.mode.startswith("degraded"):
        return f"degraded: {ledger.failures[0].partition(': ')[0]} not available"
    return wording.mode
