"""Sentences that several kinds of question share."""

from contracts.alerts import Alert
from contracts.api import AnomalyRecord
from genai_assistant.clock import when
from genai_assistant.evidence import LINE, Findings, Record
from genai_assistant.fields import EVENT_TYPES
from genai_assistant.hostile import quote
from genai_assistant.phrases import counted, figure

MAX_REASONS = 2


def say_anomaly(
    findings: Findings, anomaly: Record, cite: str, *, before: str = LINE, whose: bool = True
) -> None:
    """State one anomalous event with its two strongest reasons; the scorer orders them."""
    reasons = "; ".join(quote(reason) for reason in anomaly["reasons"][:MAX_REASONS])
    because = f": {reasons}" if reasons else ""
    of_user = f" of user {quote(anomaly['user'])}" if whose else ""
    findings.say(
        f"Event {quote(anomaly['event_id'])}{of_user} at {when(anomaly['timestamp'])} has an "
        f"anomaly score of {figure(anomaly['anomaly_score'])}{because}",
        cite,
        before=before,
    )


def say_alert(findings: Findings, alert: Record, cite: str, *, before: str = LINE) -> None:
    """State one alert, and note its rule and techniques for the runbooks."""
    findings.say(
        f"Alert {quote(alert['alert_id'])} ({alert['severity']}, {quote(alert['alert_type'])}) "
        f"concerns user {quote(alert['user'])}: {counted(alert['event_count'], 'event')} between "
        f"{when(alert['first_seen'])} and {when(alert['last_seen'])}",
        cite,
        before=before,
    )
    note_alert(findings, alert, cite)


def note_alert(findings: Findings, alert: Record, cite: str) -> None:
    """Remember an alert's rule and techniques with the evidence they come from."""
    findings.rules.setdefault(alert["alert_type"], cite)
    for technique in alert["techniques"]:
        findings.techniques.setdefault(technique, cite)


PART_WORDS = {
    "time": "activity at unusual hours",
    "ip": "address never seen for the account",
    "location": "access from an unusual country or place, valid account",
    "type": "unusual kind of activity",
    "failure": "repeated failed logins, password guessing",
    "device": "unknown device or client",
    "process": "unusual process execution, credential dumping tool",
    "port": "outbound connection to an uncommon port, command channel",
    "path": "access to sensitive files",
    "volume": "large amount of data transferred, exfiltration",
}
TELLING = 0.5
"""A part of a score from which on it says what is unusual about an event."""


def anomaly_context(anomaly: AnomalyRecord) -> str:
    """Describe an anomaly for retrieval in words of our own.

    Reasons and descriptions hold log text; what an attacker writes must not choose what is
    retrieved.
    """
    told = [
        words
        for part, words in PART_WORDS.items()
        if getattr(anomaly, f"{part}_anomaly") >= TELLING
    ]
    kind = [anomaly.event_type] if anomaly.event_type in EVENT_TYPES else []
    return " ".join([*kind, *told])


def alert_context(alert: Alert) -> str:
    """Describe an alert for retrieval: its rule, never its description."""
    return f"{alert.alert_type} {alert.rule_id}"
