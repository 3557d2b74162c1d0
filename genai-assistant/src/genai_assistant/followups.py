"""Follow-up questions: what the conversation before them adds."""

import re
from collections.abc import Sequence
from dataclasses import replace

from genai_assistant.patterns import COUNTS, END, NAME, NOT_A_USER
from genai_assistant.plan import Kind, Plan
from genai_assistant.planner import placed_kind, plan
from genai_assistant.windows import named_window

MAX_TURNS = 10

_OPENING = re.compile(
    r"^\s*(?:and\b|but\b|what\s+about\b|how\s+about\b|only\b|just\b|now\b|also\b|then\b|"
    r"same\b|why\b|so\b|ok(?:ay)?\b|in\s+the\s+(?:last|past)\b|since\b|yesterday\b|today\b)",
    re.IGNORECASE,
)
_POINTING = re.compile(
    r"\b(?:he|she|him|her|his|hers|they|them|their|theirs|it|its|that\s+(?:user|account|address|"
    r"alert|event)|this\s+(?:user|account|address|alert|event)|the\s+same)\b",
    re.IGNORECASE,
)
_NAMED = re.compile(
    rf"^\s*(?:and|but|what\s+about|how\s+about|also|now|same\s+for)\s+(?:for\s+|of\s+)?"
    rf"(?:user\s+)?{NAME}{END}",
    re.IGNORECASE,
)
_NOT_NAMES = frozenset({"why", "how", "only", "just", "then", "now", "also", "in", "since", "do"})
_WEAK = {Kind.UNSUPPORTED, Kind.USER_ACTIVITY, Kind.ADDRESS_ACTIVITY}
_OF_ADDRESS = {Kind.ADDRESS_ACTIVITY, Kind.FAILED_LOGINS, Kind.COUNTS, Kind.TOPS, Kind.TREND}


def plan_in_conversation(
    question: str,
    now_ms: int,
    earlier: Sequence[str] = (),
    *,
    context_window: str | None = None,
    user_id: str | None = None,
) -> Plan:
    """Return what a question asks after the questions before it, oldest first.

    A follow-up keeps what it does not name: kind, subject, window, place. A question that
    stands on its own takes nothing over.

    Examples:
        >>> plan_in_conversation("And bob?", 0, ["Is user alice anomalous?"]).user
        'bob'
    """
    made = plan(question, now_ms, context_window=context_window, user_id=user_id)
    if not earlier or not _is_follow_up(question, made):
        return made
    before = plan_in_conversation(earlier[-1], now_ms, earlier[:-1][-MAX_TURNS:])
    if before.kind is Kind.UNSUPPORTED:
        return made
    if _POINTING.search(question) and before.user and not made.user:
        made = plan(question, now_ms, context_window=context_window, user_id=before.user)
    return _merged(question, made, before, has_window=bool(context_window))


def _is_follow_up(question: str, made: Plan) -> bool:
    if _OPENING.search(question):
        return True
    is_standing = made.user or made.address or made.alert_id or made.event_id or made.technique
    if _POINTING.search(question) and not is_standing:
        return True
    return made.kind is Kind.UNSUPPORTED and len(question.split()) <= 6


def _merged(question: str, made: Plan, before: Plan, *, has_window: bool) -> Plan:
    user = made.user or _name(question)
    address = made.address
    kind = made.kind
    is_only_placed = kind is Kind.COUNTS and made.place and not COUNTS.search(question)
    if is_only_placed or kind in _WEAK or (user and not made.user):
        kind = before.kind if not (address and before.kind not in _OF_ADDRESS) else kind
    is_new_subject = bool(made.alert_id or made.event_id or made.technique)
    place = made.place or before.place
    merged = replace(
        before,
        kind=kind,
        question=question,
        user=user or (None if is_new_subject else before.user),
        address=address or (None if user or is_new_subject else before.address),
        alert_id=made.alert_id or (before.alert_id if kind is before.kind else None),
        event_id=made.event_id or (before.event_id if kind is before.kind else None),
        technique=made.technique or (before.technique if kind is before.kind else None),
        window=made.window
        if has_window or named_window(question, made.now_ms) is not None
        else before.window,
        place=place,
        event_type=made.event_type or before.event_type,
        status=made.status or before.status,
        field=made.field or before.field,
    )
    # Asked about one user or one subject, a weak kind of our own fits where the old one cannot.
    if merged.kind is Kind.TOP_RISK and merged.user:
        merged = replace(merged, kind=Kind.USER_ANOMALY)
    return replace(merged, kind=placed_kind(merged.kind, merged))


def _name(question: str) -> str | None:
    match = _NAMED.search(question)
    if match is None:
        return None
    name = match.group(1).removesuffix("'s")
    lower = name.lower()
    return None if lower in NOT_A_USER or lower in _NOT_NAMES else name
