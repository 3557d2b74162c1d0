"""Decide, without a model, what a question asks: kind, subject, window."""

import ipaddress
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from genai_assistant.fields import event_type_in, grouping_in, is_trend, status_in
from genai_assistant.lexicon import word_list
from genai_assistant.places import Place, place_in

CONTEXT_WINDOW = r"^\d+[hdw]$"
DEFAULT_WINDOW = "1h"
MAX_WINDOW = timedelta(days=3650)
CLOCK_SKEW_MS = 60_000
"""Producers' clocks may run ahead of ours by this much."""


class Kind(StrEnum):
    """Kinds of question that can be answered."""

    USER_ANOMALY = "user_anomaly"
    USER_ACTIVITY = "user_activity"
    TOP_RISK = "top_risk"
    OPEN_ALERTS = "open_alerts"
    FAILED_LOGINS = "failed_logins"
    EXPLAIN_ALERT = "explain_alert"
    EXPLAIN_EVENT = "explain_event"
    ADDRESS_ACTIVITY = "address_activity"
    TECHNIQUE = "technique"
    PIPELINE = "pipeline"
    COUNTS = "counts"
    TOPS = "tops"
    TREND = "trend"
    COMPARE = "compare"
    LAYERS = "layers"
    TRANSACTIONS = "transactions"
    OVERVIEW = "overview"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class Window:
    """Event times ``[start_ms, end_ms)`` and how the question named them."""

    start_ms: int
    end_ms: int
    label: str

    @property
    def length_ms(self) -> int:
        """How long the window is."""
        return self.end_ms - self.start_ms


@dataclass(frozen=True, slots=True)
class Plan:
    """What to find out."""

    kind: Kind
    question: str
    window: Window
    user: str | None = None
    address: str | None = None
    alert_id: str | None = None
    event_id: str | None = None
    technique: str | None = None
    place: Place | None = None
    event_type: str | None = None
    status: str | None = None
    field: str | None = None
    now_ms: int = 0


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
NOT_A_USER = frozenset(word_list("not_a_user"))
NAME = r"[\"'\u201c\u2018]?([\w][\w.@\\+-]{0,255}?)[\"'\u201d\u2019]?(?:'s|\u2019s)?"
END = r"(?=[\s?!,;:]|\.(?:\s|$)|$)"
SUSPECT = (
    r"(?:an\s+|really\s+|still\s+|currently\s+)?"
    r"(?:anomal\w*|suspicious|risky|compromised|abnormal|unusual|flagged|dangerous|malicious|"
    r"odd|weird|strange|normal|ok|okay|safe|a\s+(?:risk|threat)|an\s+(?:insider|outlier)|"
    r"acting|behaving)"
)
USER_PATTERNS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:user|account|username|identity)\s+(?:named\s+|called\s+)?{NAME}{END}",
        rf"\b(?:is|was|are|has|does|did)\s+{NAME}\s+{SUSPECT}\b",
        rf"\bwhy\s+(?:is|was|did|does|has)\s+{NAME}{END}",
        rf"\b(?:did|has|have|was|is)\s+{NAME}\s+(?:do|done|doing|been|access\w*|up\s+to|log\w*)\b",
        rf"\b(?:happened|happening|going\s+on|wrong)\s+(?:to|with)\s+{NAME}{END}",
        rf"\b(?:(?:tell\s+me|what|know|learn)\s+about|investigate|timeline\s+(?:of|for)|activity\s+(?:of|for|by)|"
        rf"risk\s+(?:of|for)|logins?\s+(?:of|for|by)|attempts?\s+(?:of|for|by)|"
        rf"(?:alerts|events|anomalies)\s+(?:of|for|by|from))\s+{NAME}{END}",
        rf"\bcompare\s+{NAME}\s+(?:with|to|against|and)\b",
        rf"\b(?:does|is|has|did)\s+{NAME}\s+(?:differ|deviat\w+|more|less|busier)\b",
        rf"{NAME}'s\s+(?:activity|logins?|behaviou?r|timeline|events|alerts|account|score|day)\b",
    )
]
TECHNIQUE_ID = re.compile(r"\bT\d{4}(?:\.\d{3})?\b", re.IGNORECASE)
EVENT_ID = re.compile(
    rf"\b(evt_\w+)\b|\bevent\s+(?:id\s+|with\s+id\s+|number\s+)?"
    rf"[\"'“]?([\w.:-]*\d[\w.:-]*?)[\"'”]?{END}",
    re.IGNORECASE,
)
ALERT_ID = re.compile(
    rf"\b((?:alert|alrt|alt)[_-]\w[\w-]*)\b|\balert\s+(?:id\s+|with\s+id\s+|number\s+)?"
    rf"[\"'“]?([\w.:-]*\d[\w.:-]*?)[\"'”]?{END}",
    re.IGNORECASE,
)
ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f:]*:[0-9a-f:.]+)(?![\w:])", re.I
)

PIPELINE = re.compile(
    r"\b(pipeline|consisten\w+|lag(?:ging)?|freshness|dead.?letters?|duplicates?|seam|offsets?|"
    r"missing\s+(?:or|and|events|records|data)|layers?\s+(?:dis)?agree|lambda\s+architecture|(?:speed|batch|serving)\s+layer|"
    r"system\s+(?:health|status|healthy)|healthy|is\s+(?:the\s+)?(?:system|everything)\s+"
    r"(?:ok|okay|up|running|working))\b",
    re.IGNORECASE,
)
LAYERS = re.compile(
    r"\b(?:layers?|views?|batch\s+and\s+(?:the\s+)?(?:live|speed|real.?time)\w*)\b.*"
    r"\b(?:dis)?agree\w*|\b(?:layers?|views?)\b.*\b(?:differ\w*|contradict\w*|conflict\w*)|"
    r"\b(?:dis)?agree\w*\b.*\blayers?\b",
    re.IGNORECASE,
)
COMPARE = re.compile(
    r"\bcompar(?:e|ed|es|ing|ison)\b|\bthan\s+(?:usual|normal|before)\b|\bversus\b|\bvs\b|"
    r"\b(?:with|to|from|against)\s+(?:what\s+is\s+)?(?:(?:his|her|their|its|the)\s+)?"
    r"(?:own\s+)?(?:usual|normal|baseline|average|history|past)\b|\bdeviat\w+|\bbaseline\b",
    re.IGNORECASE,
)
TRANSACTIONS = re.compile(
    r"\b(?:transactions?|fraud\w*|payments?|revenue|sales|chargebacks?|customers?|orders?|refunds?|"
    r"channels?|products?|inventory|purchases?|sells?|sold|selling)\b",
    re.IGNORECASE,
)
FAILED_LOGINS = re.compile(
    r"\b(?:failed|failing|unsuccessful|bad|wrong|invalid|denied)\s+"
    r"(?:(?:user|ssh|sso|mfa)\s+)?(?:log-?ins?|log\s?ons?|sign-?ins?|auth\w*|passwords?|attempts?)"
    r"|\blog-?in\s+failures?\b|\bauth\w*\s+fail\w*|\bfailed\s+to\s+(?:log|sign|auth)\w*",
    re.IGNORECASE,
)
TOP_RISK = re.compile(
    r"\b(riskiest|most\s+(?:risky|suspicious|anomalous|dangerous|unusual)|high(?:est)?.risk|"
    r"top\s+(?:\d+\s+)?(?:anomal\w+|risk\w*|users?|threats?|suspects?)|worst\s+users?|"
    r"(?:which|what|any|list|show|who)\b.*\busers?\b.*\b(?:anomal\w+|suspicious|risky|risk|compromised)|"
    r"anomalous\s+users?|who\s+(?:is|are|should|looks?|was|acts?)\b)",
    re.IGNORECASE,
)
ALERTS = re.compile(
    r"\balerts?\b|\b(?:do|look\s+at|investigate|handle|deal\s+with|triage)\s+first\b|"
    r"\bwhat\s+should\s+(?:i|we)\s+do\b|\btriage\b|\bincidents?\b",
    re.IGNORECASE,
)
COUNTS = re.compile(
    r"\bhow\s+many\b|\bhow\s+much\b|\bcount\b|\bnumber\s+of\b|\btotals?\b|\bsummary\b|"
    r"\bstatistics\b|\bstats\b|\bvolume\b",
    re.IGNORECASE,
)
OVERVIEW = re.compile(
    r"\b(suspicious|anomal\w+|threats?|attacks?|unusual|intrusions?|breach\w*|malicious|"
    r"compromis\w+|what(?:'s|\s+is)?\s+(?:happened|happening|going\s+on|new)|security\s+events?|"
    r"exfiltrat\w+|overview|risks?)\b",
    re.IGNORECASE,
)
EXPLAINING = re.compile(
    r"^\s*(?:what\s+(?:is|are|does|do)\s+(?:an?\s+|the\s+)?(?!happen|going|new\b|wrong)|explain\b|"
    r"define\b|describe\b|how\s+(?:do|can|could|should|would|does|to)\b|tell\s+me\s+about\b|"
    r"what\s+(?:technique|tactic|indicators?|signs?))|"
    r"\b(?:mitre|att&ck|techniques?|tactics?|indicators?\s+of|signs?\s+of|mitigat\w+|"
    r"threat\s+intel\w*|mean(?:s|ing)?)\b",
    re.IGNORECASE,
)
DOMAIN = re.compile(
    r"\b(attack\w*|brute.?force|credential\w*|phish\w*|malware|ransomware|exfiltrat\w*|tunnel\w*|"
    r"lateral|movement|persistence|privilege\w*|escalation|dump\w*|password\w*|mfa|spray\w*|stuffing|"
    r"botnet|beacon\w*|command.and.control|c2|dns|powershell|script\w*|injection|fraud\w*|hijack\w*|"
    r"token\w*|session\w*|scan\w*|reconnaissance|discovery|evasion|backdoor|proxy|tor|port|"
    r"log-?ins?|impossible\s+travel|insider|exploit\w*|ddos|denial|encrypt\w*|spoof\w*|mitre|"
    r"att&ck|techniques?|tactics?|threats?|suspicious|sudo|kerberos\w*|hash\w*|ssh|rdp|smb)\b",
    re.IGNORECASE,
)
SPOKEN_WINDOW = re.compile(
    r"\b(?:last|past|previous|recent)\s+(?:(\d{1,5})\s*)?(min(?:ute)?s?|h|hours?|d|days?|w|weeks?|months?)\b",
    re.IGNORECASE,
)
HOURS = {"h": 1, "d": 24, "w": 168, "m": 720}


def plan(
    question: str, now_ms: int, *, context_window: str | None = None, user_id: str | None = None
) -> Plan:
    """Return what ``question`` asks.

    ``context_window`` and ``user_id`` as the client gave them win over the question's words.

    Examples:
        >>> plan("Is user manager anomalous?", 0).kind.value
        'user_anomaly'
    """
    window = _window(question, now_ms, context_window)
    technique = TECHNIQUE_ID.search(question)
    event_id = _either(EVENT_ID.search(question))
    alert_id = _either(ALERT_ID.search(question))
    address = _address(question)
    place = place_in(question)
    user = user_id or (None if event_id or alert_id else _user(question))
    if user == address or (place and user and place_in(f"from {user}")):
        user = user_id
    field = grouping_in(question)
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


def _window(question: str, now_ms: int, context_window: str | None) -> Window:
    if context_window:
        return _back_from(
            now_ms, int(context_window[:-1]) * HOURS[context_window[-1]], context_window
        )
    return named_window(question, now_ms) or _back_from(now_ms, 1, DEFAULT_WINDOW)


def named_window(question: str, now_ms: int) -> Window | None:
    """Return the window that a question's words name."""
    midnight = datetime.fromtimestamp(now_ms / 1000, UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    midnight_ms = int(midnight.timestamp() * 1000)
    if re.search(r"\byesterday\b", question, re.IGNORECASE):
        return Window(midnight_ms - 86_400_000, midnight_ms, "yesterday")
    if re.search(r"\btoday\b", question, re.IGNORECASE):
        return Window(midnight_ms, now_ms + CLOCK_SKEW_MS, "today")
    if match := SPOKEN_WINDOW.search(question):
        number, unit = int(match.group(1) or 1), match.group(2)[0].lower()
        if match.group(2).lower().startswith("min"):
            return _back_from(now_ms, number / 60, f"{number}min")
        label = f"{number * 30}d" if unit == "m" else f"{number}{unit}"
        return _back_from(now_ms, number * HOURS[unit], label)
    return None


def _back_from(now_ms: int, hours: float, label: str) -> Window:
    length = min(timedelta(hours=min(hours, 10**6)), MAX_WINDOW)
    start_ms = max(0, now_ms - int(length.total_seconds() * 1000))
    return Window(start_ms, now_ms + CLOCK_SKEW_MS, label)
