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
SHOWN = 5


async def investigate(_: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """Set the users flagged by the published run beside those the live layer flags."""
    flagged, anomalies, alerts, account = await asyncio.gather(
        sources.flagged_users(limit=PAGE),
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
    both = batch & live
    record: Record = {
        "batch_users": len(batch),
        "live_users": len(live),
        "both": len(both),
        "only_batch": sorted(batch - live)[:SHOWN],
        "only_live": sorted(live - batch)[:SHOWN],
        "only_batch_users": len(batch - live),
        "only_live_users": len(live - batch),
        "newest_anomalies": len(anomalies.value.data),
        "newest_open_alerts": len(alerts.value.data),
    }
    cite = ledger.add("layer_comparison", REAL_TIME, record)
    findings.verdict = "mixed" if batch != live else None
    findings.say(
        f"The layers disagree about {counted(len(batch ^ live), 'user')}"
        if batch != live
        else "The layers agree about every user that one of them flags",
        ledger.add("disagreement", BATCH, {"users": len(batch ^ live)}),
        cite,
    )
    findings.say(
        f"Both flag {counted(len(both), 'user')}; the live layer is judged by its newest "
        f"{counted(len(anomalies.value.data), 'anomalous event')} and "
        f"{counted(len(alerts.value.data), 'open alert')}",
        cite,
        before=PART,
    )
    for layer, names, number in (
        ("batch", record["only_batch"], record["only_batch_users"]),
        ("live", record["only_live"], record["only_live_users"]),
    ):
        if names:
            told = ", ".join(quote(name) for name in names)
            findings.say(
                f"Only the {layer} layer flags {counted(number, 'user')}: {told}", cite, before=LINE
            )
    if account.value:
        held = {"missing": account.value.missing, "double": account.value.double}
        findings.say(
            f"In their data {held['missing']:,} offsets are missing and {held['double']:,} double",
            ledger.add("consistency", REAL_TIME, held),
            before=PART,
        )
    return findings
