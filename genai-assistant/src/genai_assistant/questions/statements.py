"""Sentences that several kinds of question share."""

from genai_assistant.clock import when
from genai_assistant.evidence import Findings, Record
from genai_assistant.hostile import quote
from genai_assistant.phrases import counted, figure

MAX_REASONS = 3


def say_anomaly(findings: Findings, anomaly: Record, cite: str) -> None:
    """State one anomalous event with its reasons."""
    reasons = "; ".join(quote(reason) for reason in anomaly["reasons"][:MAX_REASONS])
    because = f", because: {reasons}" if reasons else ""
    findings.say(
        f"Event {quote(anomaly['event_id'])} of user {quote(anomaly['user'])} at "
        f"{when(anomaly['timestamp'])} has an anomaly score of "
        f"{figure(anomaly['anomaly_score'])}{because}",
        cite,
    )


def say_alert(findings: Findings, alert: Record, cite: str) -> None:
    """State one alert, and note its rule and techniques for the runbooks."""
    findings.say(
        f"Alert {quote(alert['alert_id'])} ({alert['severity']}, {quote(alert['alert_type'])}) "
        f"concerns user {quote(alert['user'])}: {counted(alert['event_count'], 'event')} between "
        f"{when(alert['first_seen'])} and {when(alert['last_seen'])}",
        cite,
    )
    note_alert(findings, alert, cite)


def note_alert(findings: Findings, alert: Record, cite: str) -> None:
    """Remember an alert's rule and techniques with the evidence they come from."""
    findings.rules.setdefault(alert["alert_type"], cite)
    for technique in alert["techniques"]:
        findings.techniques.setdefault(technique, cite)
