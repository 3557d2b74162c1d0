"""Who is riskiest: the serving layer's ranking, the batch run's, live alerts and anomalies."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from contracts.alerts import NOTIFIED_SEVERITIES, Alert
from contracts.api import AnomalyRecord
from genai_assistant.activity import NO_DATA_FRESHNESS
from genai_assistant.evidence import BATCH, LINE, PART, REAL_TIME, Findings, Ledger, Record
from genai_assistant.hostile import quote
from genai_assistant.phrases import counted, figure
from genai_assistant.plan import Plan
from genai_assistant.questions.statements import anomaly_context, note_alert, say_anomaly
from genai_assistant.records import alert_record, anomaly_record
from genai_assistant.sources import RankedUser, Report, Sources

PAGE = 100
EXAMINED = 50
SHOWN = 5
EXAMPLES = 3
HIGH_SCORE = 0.7


async def investigate(_: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """Rank users by both layers, then by the batch run; say who has most live anomalies."""
    ranked, report, anomalies, alerts = await asyncio.gather(
        sources.ranked_users(SHOWN),
        sources.report(),
        sources.anomalies(limit=EXAMINED),
        sources.open_alerts(limit=PAGE),
    )
    findings = Findings()
    if report.value:
        _say_report(findings, ledger, report.value)
    elif report.is_missing:
        cite = ledger.add("batch_report", BATCH, {"found": False})
        findings.say("No batch run has been published yet", cite)
    rows = anomalies.value.data if anomalies.value else []
    raised = alerts.value.data if alerts.value else []
    if ranked.value:
        _say_ranking(findings, ledger, ranked.value.data)
    if anomalies.value is not None or alerts.value is not None:
        _say_live(findings, ledger, rows, raised)
    if report.value and rows:
        top = {one.user for one in report.value.top_anomalies if one.is_anomaly}
        busiest = Counter(row.user for row in rows).most_common(1)[0][0]
        findings.agreement = 1.0 if not top or busiest in top else 0.8
    if not (report.value or rows or raised):
        findings.freshness = NO_DATA_FRESHNESS
    findings.events = [anomaly_record(row) for row in rows]
    findings.context = " ".join(map(anomaly_context, rows[:EXAMPLES]))
    return findings


def _say_report(findings: Findings, ledger: Ledger, report: Report) -> None:
    record = report.model_dump(exclude={"top_anomalies"})
    cite = ledger.add("batch_report", BATCH, record)
    findings.say(
        f"The batch layer flags {report.anomalous_users:,} of {counted(report.total_users, 'user')} "
        "as anomalous",
        cite,
    )
    for rank, user in enumerate(report.top_anomalies[:SHOWN], start=1):
        ranked = {"rank": rank, **user.model_dump()}
        one = ledger.add("user_batch_verdict", BATCH, ranked)
        flagged = "flagged" if user.is_anomaly else "not flagged"
        findings.say(
            f"Number {rank} is user {quote(user.user)}, {flagged}, with a normalised anomaly score "
            f"of {figure(user.anomaly_score_normalized)} over {counted(user.total_events, 'event')}",
            one,
            before=PART if rank == 1 else LINE,
        )


def _say_ranking(findings: Findings, ledger: Ledger, users: list[RankedUser]) -> None:
    """State the serving layer's risk, which joins batch score, live score and open alerts."""
    for rank, user in enumerate(users, start=1):
        record = {
            "rank": rank,
            **user.model_dump(),
            "open_alerts": sum(user.open_alerts.values()),
        }
        cite = ledger.add("user_risk", REAL_TIME, record)
        findings.say(
            f"By both layers number {rank} is user {quote(user.user)} with a risk of "
            f"{user.risk:.2f}: batch score {user.batch_score:.2f}, highest live anomaly score "
            f"{user.realtime_score:.2f}, {counted(record['open_alerts'], 'open alert')}",
            cite,
            before=PART if rank == 1 else LINE,
        )


def _say_live(
    findings: Findings, ledger: Ledger, rows: list[AnomalyRecord], raised: Sequence[Alert]
) -> None:
    serious = [alert for alert in raised if alert.severity in NOTIFIED_SEVERITIES]
    users = Counter(row.user for row in rows)
    summary: Record = {
        "newest_anomalies": len(rows),
        "anomalies_by_user": [
            {"user": name, "anomalies": number} for name, number in users.most_common(SHOWN)
        ],
        "serious_open_alerts": len(serious),
        "users_with_serious_alerts": len({alert.user_id for alert in serious}),
    }
    cite = ledger.add("live_ranking", REAL_TIME, summary)
    if users:
        told = ", ".join(f"{quote(name)} ({number:,})" for name, number in users.most_common(SHOWN))
        findings.say(
            f"Among the newest {counted(len(rows), 'anomalous event')}, most are of {told}",
            cite,
            before=PART,
        )
    else:
        findings.say("No anomalous event is known", cite, before=PART)
    findings.say(
        f"Open HIGH or CRITICAL alerts number {len(serious):,} among the newest, of "
        f"{counted(summary['users_with_serious_alerts'], 'user')}",
        cite,
    )
    for rank, row in enumerate(sorted(rows, key=lambda row: -row.anomaly_score)[:EXAMPLES]):
        record = anomaly_record(row)
        shown = ledger.add("anomaly", REAL_TIME, record)
        say_anomaly(findings, record, shown, before=LINE if rank else PART)
    for alert in serious[:EXAMPLES]:
        note_alert(findings, alert_record(alert), cite)
