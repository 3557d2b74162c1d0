"""Transactions and fraud: the newest finished analysis of the batch layer that speaks to it."""

import re
from dataclasses import dataclass

from genai_assistant.clock import when
from genai_assistant.evidence import BATCH, LINE, PART, Findings, Ledger, Record
from genai_assistant.hostile import quote
from genai_assistant.phrases import counted, figure
from genai_assistant.plan import Plan
from genai_assistant.sources import BatchEntry, Sources

SHOWN = 3
MAX_REASONS = 2
FULL_REPORT = "full_report"
FRAUD_SCORING = "fraud_scoring"
FRAUD_ANALYSIS = "fraud_analysis"
STAND_INS = {FRAUD_SCORING: FRAUD_ANALYSIS, FRAUD_ANALYSIS: FRAUD_SCORING}
"""Analyses that speak to the same questions: single purchases beside producers' labels."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """How one analysis is told: what names a row, what ranks it, what else is said."""

    name: str
    words: str
    labels: tuple[str, ...]
    measure: str
    further: tuple[str, ...]
    summed: tuple[str, ...]


ANALYSES = (
    Analysis(
        FRAUD_SCORING,
        r"suspicious|risk|unusual|strange|abnormal|habit|"
        r"\b(?:transactions?|purchases?|orders?|payments?)\b.*\bfraudulent|"
        r"fraudulent\s+(?:transactions?|purchases?|orders?|payments?)|fraud\s+scor",
        ("transaction_id", "customer_id"),
        "risk",
        ("total_amount",),
        ("total_amount",),
    ),
    Analysis(
        FRAUD_ANALYSIS,
        r"fraud|chargeback",
        ("category", "region", "channel", "payment_method"),
        "fraud_count",
        ("fraud_total_amount", "affected_customers"),
        ("fraud_count", "fraud_total_amount"),
    ),
    Analysis(
        "payment_analysis",
        r"payment|card|wallet|upi",
        ("payment_method", "card_network"),
        "total_revenue",
        ("transaction_count", "revenue_share_pct"),
        ("transaction_count", "total_revenue"),
    ),
    Analysis(
        "channel_performance",
        r"channel",
        ("channel",),
        "total_revenue",
        ("transaction_count", "fraud_rate_pct"),
        ("transaction_count", "total_revenue"),
    ),
    Analysis(
        "revenue_by_region",
        r"region|cit(?:y|ies)",
        ("region", "city"),
        "total_revenue",
        ("transaction_count",),
        ("transaction_count", "total_revenue"),
    ),
    Analysis(
        "customer_segmentation",
        r"customer|segment",
        ("customer_id", "segment"),
        "lifetime_value",
        ("total_transactions",),
        ("lifetime_value", "total_transactions"),
    ),
    Analysis(
        "inventory_velocity",
        r"product|inventory|stock",
        ("product_name", "category"),
        "daily_velocity",
        ("total_units_sold", "order_count"),
        ("total_units_sold", "order_count"),
    ),
    Analysis(
        "hourly_trends",
        r"hour|trend|day",
        ("event_date", "event_hour"),
        "hourly_revenue",
        ("transaction_count",),
        ("transaction_count", "hourly_revenue"),
    ),
    Analysis(
        "revenue_by_category",
        r"",
        ("category",),
        "total_revenue",
        ("transaction_count", "avg_order_value"),
        ("transaction_count", "total_revenue"),
    ),
)


async def investigate(plan: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """Tell the totals and the strongest rows of the analysis that the question is about."""
    wanted = next(one for one in ANALYSES if re.search(one.words, plan.question, re.IGNORECASE))
    findings = Findings()
    batches = await sources.batches()
    if batches.value is None:
        return findings
    entry = _newest(batches.value.batches, wanted.name)
    if entry is None and (name := STAND_INS.get(wanted.name)):
        stand_in = _newest(batches.value.batches, name)
        if stand_in is not None:
            entry, wanted = stand_in, next(one for one in ANALYSES if one.name == name)
    if entry is None:
        record = {"analysis": wanted.name, "found": False}
        cite = ledger.add("search", BATCH, record)
        findings.say(
            f"There is not enough evidence: no finished batch holds the analysis "
            f"{quote(wanted.name)}",
            cite,
        )
        findings.verdict = "unknown"
        return findings
    answer = await sources.analysis(entry.batchId)
    if answer.value is None:
        return findings
    rows = answer.value.rows(wanted.name)
    _tell(findings, ledger, wanted, entry, rows)
    findings.context = "payment fraud chargeback" if wanted.name in STAND_INS else ""
    return findings


def _newest(entries: list[BatchEntry], name: str) -> BatchEntry | None:
    """Return the newest finished batch that holds the analysis; the list is newest first."""
    # A full report holds every analysis but the one of single purchases.
    holders = {name} if name == FRAUD_SCORING else {name, FULL_REPORT}
    return next((one for one in entries if one.analysisType in holders), None)


def _tell(
    findings: Findings, ledger: Ledger, wanted: Analysis, entry: BatchEntry, rows: list[Record]
) -> None:
    totals = {name: _sum(rows, name) for name in wanted.summed}
    record = {
        "batch_id": entry.batchId,
        "analysis": wanted.name,
        "transactions": entry.rowCount,
        "rows": len(rows),
        **totals,
    }
    cite = ledger.add("transaction_analysis", BATCH, record)
    told = ", ".join(f"{name} {figure(value)}" for name, value in totals.items())
    findings.say(f"The analysis {quote(wanted.name)} comes to: {told}", cite)
    if wanted.name == FRAUD_SCORING:
        found = counted(len(rows), "transaction")
        findings.say(f"It finds {found} that leave the habits of their customers", cite)
    read = f" of {counted(entry.rowCount, 'transaction')}" if entry.rowCount is not None else ""
    findings.say(f"It is from batch {quote(entry.batchId)}{read}", cite)
    ranked = sorted(rows, key=lambda row: -(_number(row.get(wanted.measure)) or 0.0))
    for rank, row in enumerate(ranked[:SHOWN], start=1):
        names = (*wanted.labels, wanted.measure, *wanted.further)
        shown: Record = {"rank": rank, **{name: row.get(name) for name in names}}
        if isinstance(reasons := row.get("reasons"), list):
            shown["reasons"] = [str(reason) for reason in reasons[:MAX_REASONS]]
        one = ledger.add("transaction_group", BATCH, shown)
        labels = ", ".join(
            f"{name} {quote(str(row[name]))}" for name in wanted.labels if row.get(name) is not None
        )
        figures = ", ".join(
            f"{name} {figure(value)}"
            for name in (wanted.measure, *wanted.further)
            if (value := _number(row.get(name))) is not None
        )
        why = "; ".join(quote(reason) for reason in shown.get("reasons", ()))
        because = f": {why}" if why else ""
        findings.say(
            f"Number {rank}: {labels}, with {figures}{because}",
            one,
            before=LINE if rank > 1 else PART,
        )
    if totals.get("fraud_count") or (wanted.name == FRAUD_SCORING and rows):
        findings.rules["PAYMENT_FRAUD"] = cite
        findings.techniques["T1657"] = cite
    if entry.endTime:
        end_ms = int(entry.endTime.timestamp() * 1000)
        finished = ledger.add("batch", BATCH, {"batch_id": entry.batchId, "end": end_ms})
        findings.say(f"The batch ended at {when(end_ms)}", finished, before=PART)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _sum(rows: list[Record], name: str) -> float:
    return round(sum(_number(row.get(name)) or 0.0 for row in rows), 2)
