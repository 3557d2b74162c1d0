"""Fields that events can be counted by, and the words that name them."""

import re
from typing import Any

from contracts.api import EventRecord
from genai_assistant.places import country_of
from genai_assistant.records import event_status, source_address

# Field, words that name it.
_WORDS = {
    "user_agent": r"user.?agents?|browsers?",
    "event_type": r"event\s+types?|types?\s+of\s+events?|kinds?\s+of\s+events?|types?",
    "destination_ip": r"destinations?(?:\s+(?:addresses|address|ips?))?",
    "source_ip": r"(?:source\s+)?(?:addresses|address|ips?)|sources?",
    "hostname": r"hosts?(?:names?)?|machines?|workstations?|servers?",
    "country": r"countr(?:y|ies)",
    "geo_location": r"places?|locations?|cit(?:y|ies)",
    "process_name": r"process(?:es)?|programs?",
    "file_path": r"files?|(?:file\s+)?paths?",
    "domain": r"domains?(?:\s+names?)?",
    "port": r"ports?",
    "protocol": r"protocols?",
    "session_id": r"sessions?",
    "status": r"status(?:es)?|outcomes?|results?",
    "user": r"users?|accounts?|usernames?",
}
_ANY = "|".join(f"(?P<{name}>{words})" for name, words in _WORDS.items())
_GROUPED = re.compile(
    r"\b(?:(?:top|busiest|most\s+\w+)\s+(?:\d{1,3}\s+)?(?:\w+\s+)?|"
    r"(?:by|per|for\s+each|breakdown\s+(?:of|by)|distribution\s+of|group(?:ed)?\s+by)\s+|"
    rf"(?:which|what)\s+)(?:{_ANY})\b(?!\s+\w+@)",
    re.IGNORECASE,
)
_MOST = re.compile(
    r"\b(?:top|busiest|most|by|per|for\s+each|breakdown|distribution|group(?:ed)?|often|frequent\w*)\b",
    re.IGNORECASE,
)
_TREND = re.compile(
    r"\btrends?\b|\btrending\b|\bover\s+time\b|\b(?:per|by|each)\s+(?:minute|hour|day)\b|"
    r"\b(?:rising|falling|increas\w+|decreas\w+|going\s+(?:up|down)|growing|spik(?:e|es|ing))\b",
    re.IGNORECASE,
)
_EVENT_TYPES = {
    "dns_query": r"\bdns\b|\bdomains?\b",
    "file_access": r"\bfiles?\b",
    "process_execution": r"\bprocess(?:es)?\b|\bprograms?\b|\bexecutions?\b",
    "network_connection": r"\bnetwork\b|\bconnections?\b",
    "auth_attempt": r"\blog-?ins?\b|\bsign-?ins?\b|\bauth\w*",
}
_STATUSES = {
    "failed": r"\bfail\w*|\bunsuccessful\b|\bdenied\b",
    "blocked": r"\bblocked\b",
    "success": r"\bsuccess\w*|\bsucceeded\b",
    "pending": r"\bpending\b",
}
EVENT_TYPES = tuple(_EVENT_TYPES)
STATUSES = tuple(_STATUSES)


def grouping_in(question: str) -> str | None:
    """Return the field that a question wants counts by.

    Examples:
        >>> grouping_in("Top 5 source addresses today"), grouping_in("failed logins by country")
        ('source_ip', 'country')
        >>> grouping_in("What happened to alice?") is None
        True
    """
    if not _MOST.search(question):
        return None
    return match.lastgroup if (match := _GROUPED.search(question)) else None


def is_trend(question: str) -> bool:
    """Say whether a question asks how counts change with time."""
    return bool(_TREND.search(question))


def event_type_in(question: str) -> str | None:
    """Return the event type that a question limits itself to."""
    return _first(_EVENT_TYPES, question)


def status_in(question: str) -> str | None:
    """Return the status that a question limits itself to."""
    return _first(_STATUSES, question)


def value_of(event: EventRecord, field: str) -> str | None:
    """Return an event's value of a field, as text; None where it has none."""
    extra: dict[str, Any] = event.model_extra or {}
    metadata = extra.get("metadata")
    match field:
        case "user" | "event_type":
            value: Any = getattr(event, field)
        case "status":
            value = event_status(event)
        case "source_ip":
            value = source_address(event)
        case "destination_ip":
            value = extra.get(field)
        case "country":
            value = country_of(event)
        case _:
            value = metadata.get(field) if isinstance(metadata, dict) else None
    return None if value is None or isinstance(value, dict | list) else str(value)


def _first(patterns: dict[str, str], question: str) -> str | None:
    found = (name for name, words in patterns.items() if re.search(words, question, re.IGNORECASE))
    return next(found, None)
