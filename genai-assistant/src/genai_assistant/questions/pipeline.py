"""How healthy the pipeline is: every offset accounted for, both layers' shares."""

import asyncio

from contracts.api import Consistency
from genai_assistant.evidence import BATCH, LINE, PART, REAL_TIME, Findings, Ledger, Record
from genai_assistant.hostile import quote
from genai_assistant.phrases import counted
from genai_assistant.plan import Plan
from genai_assistant.sources import Sources

SHOWN = 5


async def investigate(_: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """State missing and double offsets, and who holds what."""
    account, summary, report = await asyncio.gather(
        sources.consistency(), sources.summary(), sources.report()
    )
    findings = Findings()
    if account.value:
        _say_account(findings, ledger, account.value)
    if summary.value:
        totals = summary.value
        cite = ledger.add("totals", REAL_TIME, totals.model_dump())
        findings.say(
            f"Of {counted(totals.totalEvents, 'event')} the batch view holds "
            f"{totals.batchEvents:,} and the live view {totals.realtimeEvents:,}",
            cite,
            before=PART,
        )
        if not totals.complete:
            findings.say("A part of the live view cannot be reached at the moment", cite)
    if report.value:
        cite = ledger.add("batch_report", BATCH, report.value.model_dump(exclude={"top_anomalies"}))
        findings.say(
            f"The published batch run covers {counted(report.value.total_users, 'user')}", cite
        )
    elif report.is_missing:
        cite = ledger.add("batch_report", BATCH, {"found": False})
        findings.say("No batch run has been published yet", cite)
    return findings


def _say_account(findings: Findings, ledger: Ledger, account: Consistency) -> None:
    record: Record = {
        "missing": account.missing,
        "double": account.double,
        "complete": account.complete,
        "run_id": account.run_id,
        "partitions": len(account.partitions),
        "batch_rows": sum(one.batch_rows for one in account.partitions),
        "realtime_rows": sum(one.realtime_rows for one in account.partitions),
        "dead_letters": sum(one.dead_letters for one in account.partitions),
        "duplicates": sum(one.duplicates for one in account.partitions),
    }
    cite = ledger.add("consistency", REAL_TIME, record)
    is_sound = account.missing == 0 and account.double == 0 and account.complete
    findings.say(
        "The pipeline is consistent: every offset is held exactly once"
        if is_sound
        else "The pipeline is not consistent, or a part of it cannot be reached",
        cite,
    )
    findings.say(
        f"Over {counted(record['partitions'], 'partition')} {account.missing:,} offsets are missing "
        f"and {account.double:,} double",
        cite,
        before=PART,
    )
    findings.say(
        f"{record['batch_rows']:,} rows lie below the seam, {record['realtime_rows']:,} above it",
        cite,
    )
    findings.say(
        f"{counted(record['dead_letters'], 'dead letter')} and "
        f"{counted(record['duplicates'], 'duplicate')} were set aside",
        cite,
    )
    if account.run_id:
        findings.say(f"The seam is that of batch run {quote(account.run_id)}", cite)
    broken = [one for one in account.partitions if one.missing or one.double]
    for one in broken[:SHOWN]:
        shown = ledger.add("partition", REAL_TIME, one.model_dump())
        findings.say(
            f"Partition {one.partition} of topic {quote(one.topic)} misses {one.missing:,} and "
            f"doubles {one.double:,} offsets",
            shown,
            before=LINE,
        )
