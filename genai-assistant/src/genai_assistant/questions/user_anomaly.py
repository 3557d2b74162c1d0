"""Is user X anomalous, and why: both layers' opinions, side by side."""

import asyncio
from collections.abc import Sequence
from typing import Literal

from contracts.alerts import NOTIFIED_SEVERITIES, SEVERITIES, Alert
from contracts.api import AnomalyRecord, EventRecord, UserAnomaly
from genai_assistant.activity import (
    STALE_FRESHNESS,
    SUPPORTING,
    Activity,
    activity,
    is_capped,
    record_activity,
    summarised,
    tell_fallback,
)
from genai_assistant.clock import when
from genai_assistant.evidence import BATCH, LINE, PART, REAL_TIME, Findings, Ledger, Record
from genai_assistant.hostile import quote
from genai_assistant.phrases import counted, figure, spoken
from genai_assistant.plan import Plan
from genai_assistant.questions.statements import (
    MAX_REASONS,
    alert_context,
    anomaly_context,
    say_alert,
    say_anomaly,
)
from genai_assistant.records import alert_record, anomaly_record, event_record, verdict_record
from genai_assistant.sources import Fetched, Sources

Opinion = Literal["anomalous", "watch", "normal", "unscored", "unknown"]

SHOWN = 3
ANOMALIES_PAGE = 50
ALERTS_PAGE = 100
LIVE_THRESHOLD = 3
"""So many anomalous events in the window make a user anomalous to the live layer."""

# (batch, live) -> verdict, agreement of the layers
VERDICTS: dict[tuple[Opinion, Opinion], tuple[str, float]] = {
    ("anomalous", "anomalous"): ("anomalous", 1.0),
    ("anomalous", "watch"): ("anomalous", 0.9),
    ("anomalous", "normal"): ("mixed", 0.6),
    ("anomalous", "unknown"): ("anomalous", 0.8),
    ("normal", "anomalous"): ("mixed", 0.6),
    ("normal", "watch"): ("not_anomalous", 0.9),
    ("normal", "normal"): ("not_anomalous", 1.0),
    ("normal", "unknown"): ("not_anomalous", 0.8),
    ("unknown", "anomalous"): ("anomalous", 0.8),
    ("unknown", "watch"): ("not_anomalous", 0.7),
    ("unknown", "normal"): ("not_anomalous", 0.8),
    # Events without any score say nothing about the user: no baseline was ready to score them.
    ("anomalous", "unscored"): ("anomalous", 0.8),
    ("normal", "unscored"): ("not_anomalous", 0.8),
    ("unknown", "unscored"): ("not_scored", 1.0),
    ("unknown", "unknown"): ("unknown", 1.0),
}


async def investigate(plan: Plan, sources: Sources, ledger: Ledger) -> Findings:
    """Compare the batch verdict with what the user did in the window."""
    user = plan.user or ""
    batch, seen, alerts = await asyncio.gather(
        sources.user_verdict(user),
        activity(sources, plan.window, counting="details", user=user),
        sources.open_alerts(user=user, limit=ALERTS_PAGE),
    )
    window = {"start_time": seen.window.start_ms, "end_time": seen.window.end_ms}
    anomalies = await sources.anomalies(user, limit=ANOMALIES_PAGE, **window)
    findings = Findings(freshness=seen.freshness, window=(seen.window.start_ms, seen.window.end_ms))
    recent = anomalies.value.data if anomalies.value else []
    raised = [
        alert
        for alert in (alerts.value.data if alerts.value else [])
        if seen.window.start_ms <= alert.last_seen < seen.window.end_ms
    ]
    batch_cite = (
        ledger.add("user_batch_verdict", BATCH, verdict_record(batch.value))
        if batch.value
        else None
    )
    live_cite: str | None
    if batch.value and not seen.rows and seen.failure is None:
        # The run's verdict stands in for live activity, as the latest known does elsewhere.
        findings.freshness = STALE_FRESHNESS
    if seen.rows:
        summary = _live_record(summarised(seen, user=user), recent, raised)
        summary["is_every_alert"] = not is_capped(alerts.value, len(raised))
        live_cite = ledger.add("activity", REAL_TIME, summary)
    else:
        live_cite = record_activity(seen, ledger, user=user)

    opinions = _batch_opinion(batch), _live_opinion(seen.rows, recent, raised)
    findings.verdict, findings.agreement = VERDICTS[opinions]
    cites = [cite for cite in (batch_cite, live_cite) if cite]
    _say_verdict(findings, user, opinions, cites)
    if live_cite:
        tell_fallback(seen, findings, live_cite, f" of user {quote(user)}")
        _say_live(findings, user, seen, ledger.by_id()[live_cite].record, live_cite)
    _say_examples(findings, ledger, recent, raised)
    if batch.value and batch_cite:
        _say_batch(findings, batch.value, batch_cite)
    findings.events = [event_record(row) for row in seen.rows if row.is_anomaly][:SUPPORTING] or [
        anomaly_record(anomaly) for anomaly in recent
    ]
    return findings


def _live_record(summary: Record, recent: list[AnomalyRecord], raised: Sequence[Alert]) -> Record:
    """Add what the anomaly and alert lists say, which reach further than the events page."""
    scores = [row.anomaly_score for row in recent]
    known = summary["highest_anomaly_score"]
    return {
        **summary,
        "anomalous_events": max(summary["anomalous_events"], len(recent)),
        "highest_anomaly_score": max(
            [*scores, *([known] if known is not None else [])], default=None
        ),
        "open_alerts": len(raised),
        "serious_open_alerts": sum(alert.severity in NOTIFIED_SEVERITIES for alert in raised),
    }


def _batch_opinion(batch: Fetched[UserAnomaly]) -> Opinion:
    if batch.value is None:
        return "unknown"
    return "anomalous" if batch.value.is_anomaly else "normal"


def _live_opinion(
    rows: list[EventRecord], recent: list[AnomalyRecord], raised: Sequence[Alert]
) -> Opinion:
    if any(alert.severity in NOTIFIED_SEVERITIES for alert in raised):
        return "anomalous"
    if len(recent) >= LIVE_THRESHOLD:
        return "anomalous"
    if recent or raised:
        return "watch"
    if not rows:
        return "unknown"
    return "normal" if any(row.anomaly_score is not None for row in rows) else "unscored"


def _say_verdict(
    findings: Findings, user: str, opinions: tuple[Opinion, Opinion], cites: list[str]
) -> None:
    name = f"User {quote(user)}"
    batch, live = opinions
    if not cites:
        return  # nothing could be read; the answer says which source failed
    if findings.verdict == "unknown":
        findings.say(f"There is not enough evidence about user {quote(user)}", *cites)
    elif findings.verdict == "not_scored":
        findings.say(f"{name} was not scored, as no baseline is ready: there is no verdict", *cites)
    elif findings.verdict == "mixed":
        parts = ("the batch layer", "the live layer")
        flagged, other = parts if batch == "anomalous" else parts[::-1]
        findings.say(f"{name} is anomalous to {flagged} but not to {other}", *cites)
    elif findings.verdict == "anomalous":
        by = {
            ("anomalous", "anomalous"): "both the batch layer and the live layer",
            ("unknown", "anomalous"): "the live layer, and the batch layer has no verdict",
            ("anomalous", "unknown"): "the batch layer, and the live layer has no activity",
            ("anomalous", "unscored"): "the batch layer, and the live layer has no scores",
        }.get(opinions, "the batch layer, and the live layer shows single deviations")
        findings.say(f"{name} is anomalous according to {by}", *cites)
    else:
        watch = "; the live layer shows single deviations" if live == "watch" else ""
        findings.say(f"{name} is not anomalous on the evidence at hand{watch}", *cites)


def _say_batch(findings: Findings, verdict: UserAnomaly, cite: str) -> None:
    findings.say(
        f"The batch layer gives user {quote(verdict.user)} a normalised anomaly score of "
        f"{figure(verdict.anomaly_score_normalized)} over "
        f"{counted(verdict.total_events, 'event')}, from {when(verdict.first_seen)} to "
        f"{when(verdict.last_seen)}",
        cite,
        before=PART,
    )
    for reason in verdict.reasons[:MAX_REASONS]:
        low, middle, high = reason.typical
        findings.say(
            f"Feature {reason.feature} is {figure(reason.value)}; typical is {figure(middle)}, "
            f"and most users lie between {figure(low)} and {figure(high)}",
            cite,
            before=LINE,
        )


def _say_live(findings: Findings, user: str, seen: Activity, record: Record, cite: str) -> None:
    if not record["events"]:
        findings.say(f"No event of user {quote(user)} is known", cite)
        return
    least = "" if record["is_exact"] else "at least "
    findings.say(
        f"{spoken(seen.window.label).capitalize()} user {quote(user)} has {least}"
        f"{counted(record['events'], 'event')}, {least}{record['anomalous_events']:,} of them "
        "anomalous",
        cite,
        before=LINE if findings.statements[-1].cites == (cite,) else PART,
    )
    first, last = when(record["first_event"]), when(record["last_event"])
    if seen.is_whole:
        findings.say(f"The first is at {first}, the last at {last}", cite)
    else:
        newest = f"{record['events_examined']:,}"
        findings.say(f"The last is at {last}; the newest {newest} reach back to {first}", cite)
    least = "" if record["is_every_alert"] else "at least "
    findings.say(
        f"Open alerts: {least}{record['open_alerts']:,}, of these HIGH or CRITICAL: "
        f"{least}{record['serious_open_alerts']:,}",
        cite,
    )


def _say_examples(
    findings: Findings, ledger: Ledger, recent: list[AnomalyRecord], raised: Sequence[Alert]
) -> None:
    words: list[str] = []
    for anomaly in sorted(recent, key=lambda row: -row.anomaly_score)[:SHOWN]:
        record = anomaly_record(anomaly)
        shown = ledger.add("anomaly", REAL_TIME, record)
        say_anomaly(findings, record, shown, before=LINE if words else PART, whose=False)
        words.append(anomaly_context(anomaly))
    for rank, alert in enumerate(_worst_first(raised)[:SHOWN]):
        told = alert_record(alert)
        shown = ledger.add("alert", REAL_TIME, told)
        say_alert(findings, told, shown, before=LINE if rank else PART)
        words.append(alert_context(alert))
    findings.context = " ".join(words)


def _worst_first(raised: Sequence[Alert]) -> list[Alert]:
    return sorted(raised, key=lambda one: (-SEVERITIES.index(one.severity), -one.last_seen))
