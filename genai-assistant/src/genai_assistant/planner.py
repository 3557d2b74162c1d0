"""Decide, without a model, what a question asks: kind, subject, window."""

import ipaddress
import re
from dataclasses import replace

from genai_assistant.fields import event_type_in, grouping_in, is_trend, status_in
from genai_assistant.patterns import (
    ADDRESS,
    ALERT_ID,
    ALERTS,
    COMPARE,
    COUNTS,
    DOMAIN,
    EVENT_ID,
    EXPLAINING,
    FAILED_LOGINS,
    LAYERS,
    NOT_A_USER,
    OVERVIEW,
    PIPELINE,
    SUSPECT,
    TECHNIQUE_ID,
    TOP_RISK,
    TRANSACTIONS,
    USER_PATTERNS,
)
from genai_assistant.places import place_in
from genai_assistant.plan import Kind, Plan
from genai_assistant.windows import asked_window

PLACED = frozenset(
    {
        Kind.USER_ACTIVITY,
        Kind.ADDRESS_ACTIVITY,
        Kind.FAILED_LOGINS,
        Kind.COUNTS,
        Kind.TOPS,
    }
)
"""Kinds whose events can be narrowed to a country, or to what lies outside it."""
PLACELESS = frozenset(
    {
        Kind.EXPLAIN_ALERT,
        Kind.EXPLAIN_EVENT,
        Kind.TECHNIQUE,
        Kind.PIPELINE,
        Kind.LAYERS,
        Kind.TRANSACTIONS,
        Kind.UNSUPPORTED,
    }
)
"""Kinds that speak of no events' places."""


def plan(
    question: str, now_ms: int, *, context_window: str | None = None, user_id: str | None = None
) -> Plan:
    """Return what ``question`` asks.

    ``context_window`` and ``user_id`` as the client gave them win over the question's words.

    Examples:
        >>> plan("Is user manager anomalous?", 0).kind.value
        'user_anomaly'
    """
    window = asked_window(question, now_ms, context_window)
    technique = TECHNIQUE_ID.search(question)
    event_id = _either(EVENT_ID.search(question))
    alert_id = _either(ALERT_ID.search(question))
    address = _address(question)
    place = place_in(question)
    user = user_id or (None if event_id or alert_id else _user(question))
    if user == address or (place and user and place_in(f"from {user}")):
        user = user_id
    field = grouping_in(question)
    if field and user and not user_id and grouping_in(f"by {user}") == field:
        user = None  # "failed logins by source address": the field, not who
    subject = Plan(
        kind=Kind.UNSUPPORTED,
        question=question,
        window=window,
        user=user,
        address=address,
        alert_id=alert_id,
        event_id=event_id,
        technique=technique.group().upper() if technique else None,
        place=place,
        field=field,
        now_ms=now_ms,
    )
    kind = placed_kind(_kind(question, subject), subject)
    if kind in {Kind.COUNTS, Kind.TOPS, Kind.TREND}:
        event_type, status = event_type_in(question), status_in(question)
        return replace(subject, kind=kind, event_type=event_type, status=status)
    return replace(subject, kind=kind)


def _kind(question: str, subject: Plan) -> Kind:
    """Choose the kind: explicit ids first, then subjects, then topics."""
    if subject.alert_id:
        return Kind.EXPLAIN_ALERT
    if subject.event_id:
        return Kind.EXPLAIN_EVENT
    if subject.technique:
        return Kind.TECHNIQUE
    is_lesson = _is_lesson(question, subject)
    if LAYERS.search(question) and not subject.user:
        return Kind.LAYERS
    if not is_lesson and (kind := _counting_kind(question, subject)):
        return kind
    if FAILED_LOGINS.search(question) and not is_lesson:
        return Kind.FAILED_LOGINS
    if TRANSACTIONS.search(question) and not is_lesson and not subject.user:
        return Kind.TRANSACTIONS
    if COMPARE.search(question) and not is_lesson:
        return Kind.COMPARE
    if subject.user:
        return _user_kind(question, subject)
    if subject.address:
        return Kind.ADDRESS_ACTIVITY
    return _topic_kind(question, subject)


def placed_kind(kind: Kind, subject: Plan) -> Kind:
    """Return the kind that a named place can narrow, for the subject at hand."""
    if subject.place is None or kind in PLACED | PLACELESS:
        return kind
    if subject.user:
        return Kind.USER_ACTIVITY
    return Kind.ADDRESS_ACTIVITY if subject.address else Kind.COUNTS


def _counting_kind(question: str, subject: Plan) -> Kind | None:
    """Return the kind of a question for counts by a field or by time, None for others."""
    if OVERVIEW.search(question) or TRANSACTIONS.search(question) or ALERTS.search(question):
        return None
    if is_trend(question):
        return Kind.TREND
    is_by_field = subject.field is not None and subject.field != "user"
    return Kind.TOPS if is_by_field or _is_busy(question) else None


def _is_busy(question: str) -> bool:
    """Say whether users are to be ranked by what they did, not by how they deviate."""
    return bool(
        re.search(
            r"\b(?:most\s+active|busiest|most\s+events|most\s+\w*\s*log-?ins?)\b|"
            r"\b(?:by|per)\s+(?:user|account)\b",
            question,
            re.IGNORECASE,
        )
    )


def _user_kind(question: str, subject: Plan) -> Kind:
    if ALERTS.search(question):
        return Kind.OPEN_ALERTS
    if COUNTS.search(question) and (event_type_in(question) or status_in(question)):
        return Kind.COUNTS
    if subject.place and not re.search(r"\bwhy\b", question, re.IGNORECASE):
        return Kind.USER_ACTIVITY
    anomaly = re.search(rf"\b{SUSPECT}\b|\bwhy\b|\brisk\w*|\bscore\b|\bthreat", question, re.I)
    return Kind.USER_ANOMALY if anomaly else Kind.USER_ACTIVITY


def _topic_kind(question: str, subject: Plan) -> Kind:
    tests = (
        (Kind.PIPELINE, bool(PIPELINE.search(question))),
        (Kind.TECHNIQUE, _is_lesson(question, subject)),
        (Kind.TOP_RISK, bool(TOP_RISK.search(question))),
        (Kind.COUNTS, bool(COUNTS.search(question))),
        (Kind.OPEN_ALERTS, bool(ALERTS.search(question))),
        (Kind.OVERVIEW, bool(OVERVIEW.search(question))),
        (Kind.COUNTS, bool(subject.place)),
    )
    return next((kind for kind, holds in tests if holds), Kind.UNSUPPORTED)


def _is_lesson(question: str, subject: Plan) -> bool:
    """Say whether the question is about a technique in general, not about our own events."""
    if subject.user or subject.address:
        return False
    ours = re.search(
        r"\b(happened|happening|going\s+on|today|yesterday|right\s+now|currently|so\s+far|"
        r"(?:last|past|previous)\s+(?:\d+\s+)?(?:hour|day|week|month)s?|how\s+many|open|latest|"
        r"recent(?:ly)?|were\s+there|are\s+there|show|list|anyone|anybody|our|which\s+users?|"
        r"riskiest|most\s+\w+\s+users?|top\s+\d*|over\s+time|trends?)\b",
        question,
        re.IGNORECASE,
    )
    if ours:
        return False
    return bool(EXPLAINING.search(question) and DOMAIN.search(question))


def _either(match: re.Match[str] | None) -> str | None:
    return next((group for group in match.groups() if group), None) if match else None


def _user(question: str) -> str | None:
    for pattern in USER_PATTERNS:
        for match in pattern.finditer(question):
            name = match.group(1).removesuffix("'s").removesuffix("\u2019s")
            if name.lower() not in NOT_A_USER and not TECHNIQUE_ID.fullmatch(name):
                return name
    return None


def _address(question: str) -> str | None:
    for match in ADDRESS.finditer(question):
        try:
            return str(ipaddress.ip_address(match.group().rstrip(".")))
        except ValueError:
            continue
    return None
