"""Did the batch and live layers disagree: users that one of them flags and the other does not."""

import asyncio
from collections import Counter

from contracts.alerts import NOTIFIED_SEVERITIES
from genai_assistant.evidence import BATCH, LINE, PART, REAL_TIME, Findings, Ledger, Record
from genai_assistant.hostile import quote
from genai_assistant.phrases import counted
from genai_assistant.plan import Plan
from genai_assistant.questions.user_anomaly import LIVE_THRESHOLD
from genai_assistant.sources import Sources

PAGE = 200
FLAGGED_PAGE = 1000
SHOWN = 5


async def investigate(_: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """Set the users flagged by the published run beside those the live layer flags."""
    flagged, anomalies, alerts, account = await asyncio.gather(
        sources.flagged_users(limit=FLAGGED_PAGE),
        sources.anomalies(limit=PAGE),
        sources.open_alerts(limit=PAGE),
        sources.consistency(),
    )
    findings = Findings()
    if flagged.is_missing:
        cite = ledger.add("batch_report", BATCH, {"found": False})
        findings.say("No batch run has been published yet, so nothing can be compared", cite)
        findings.verdict = "unknown"
        return findings
    if flagged.value is None or anomalies.value is None or alerts.value is None:
        return findings
    batch = {row.user for row in flagged.value.data}
    events = Counter(row.user for row in anomalies.value.data)
    live = {name for name, number in events.items() if number >= LIVE_THRESHOLD}
    live |= {one.user_id for one in alerts.value.data if one.severity in NOTIFIED_SEVERITIES}
    is_whole = flagged.value.next_cursor is None
    record: Record = {
        "batch_users": len(batch),
        "is_whole_batch": is_whole,
        "live_users": len(live),
        "both": len(batch & live),
        "only_batch": sorted(batch - live)[:SHOWN],
        "only_live": sorted(live - batch)[:SHOWN],
        "only_batch_users": len(batch - live),
        "only_live_users": len(live - batch),
        # Beyond the users that were read, the run may flag those of the live layer too.
        "disagreeing_users": len(batch ^ live if is_whole else batch - live),
        "newest_anomalies": len(anomalies.value.data),
        "newest_open_alerts": len(alerts.value.data),
    }
    _tell(findings, record, ledger)
    if account.value:
        held = {"missing": account.value.missing, "double": account.value.double}
        findings.say(
            f"In their data {held['missing']:,} offsets are missing and {held['double']:,} double",
            ledger.add("consistency", REAL_TIME, held),
            before=PART,
        )
    return findings


def _tell(findings: Findings, record: Record, ledger: Ledger) -> None:
    """Say how many users the layers judge apart, and who."""
    cite = ledger.add("layer_comparison", REAL_TIME, record)
    number, is_whole = record["disagreeing_users"], record["is_whole_batch"]
    least = "" if is_whole else "at least "
    judged = ledger.add("disagreement", BATCH, {"users": number})
    if number:
        findings.verdict = "mixed"
        told = f"The layers disagree about {least}{counted(number, 'user')}"
    elif is_whole:
        told = "The layers agree about every user that one of them flags"
    else:
        told = f"The layers agree about the {record['batch_users']:,} users that were compared"
    findings.say(told, judged, cite)
    findings.say(
        f"Both flag {least}{counted(record['both'], 'user')}; the live layer is judged by its newest "
        f"{counted(record['newest_anomalies'], 'anomalous event')} and "
        f"{counted(record['newest_open_alerts'], 'open alert')}",
        cite,
        before=PART,
    )
    _say_names(findings, cite, "batch", record["only_batch"], record["only_batch_users"], least)
    if is_whole:
        _say_names(findings, cite, "live", record["only_live"], record["only_live_users"], "")
        return
    findings.say(
        f"Of the users that the batch layer flags, the {record['batch_users']:,} of the highest "
        "scores were compared",
        cite,
        before=LINE,
    )


def _say_names(
    findings: Findings, cite: str, layer: str, names: list[str], number: int, least: str
) -> None:
    if names:
        told = ", ".join(quote(name) for name in names)
        findings.say(
            f"Only the {layer} layer flags {least}{counted(number, 'user')}: {told}",
            cite,
            before=LINE,
        )
