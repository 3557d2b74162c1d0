"""Windowed-count rules: what they count, and the alerts they raise.

A rule raises an alert when at least ``threshold`` matching events of one entity lie within less
than ``span_ms`` of event time, among the latest ``kept`` ones in offset order. While it keeps
matching at intervals below ``span_ms``, that is the same alert, for ``again_ms`` at most: then
another one says that it still goes on.
"""

import hashlib
from dataclasses import dataclass

from contracts.alerts import (
    MAX_EVIDENCE,
    RAPID_ACTIVITY,
    SUSPICIOUS_LOGIN_PATTERN,
    Alert,
    Severity,
)

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class WindowedCountRule:
    """A rule over the number of one entity's matching events in a sliding window."""

    rule_id: str
    version: str
    alert_type: str
    severity: Severity
    techniques: tuple[str, ...]
    threshold: int
    kept: int
    what: str
    span_ms: int = 5 * MINUTE_MS
    again_ms: int = 60 * MINUTE_MS

    def alert(self, user: str, time: int, evidence: "Evidence") -> Alert:
        """Return the alert that the event of time ``time`` raises."""
        first, last = min(evidence.times), max(evidence.times)
        ips = list(dict.fromkeys(ip for ip in evidence.ips if ip is not None))
        count = len(evidence.times)
        return Alert(
            alert_id=self._alert_id(user, first, last),
            user_id=user,
            alert_type=self.alert_type,
            description=f"{count} {self.what} of {user} within {self.span_ms // MINUTE_MS} minutes",
            timestamp=time,
            severity=self.severity,
            event_count=count,
            rule_id=self.rule_id,
            rule_version=self.version,
            first_seen=first,
            last_seen=last,
            event_ids=evidence.event_ids[-MAX_EVIDENCE:],
            source_ips=ips[:MAX_EVIDENCE],
            techniques=list(self.techniques),
        )

    def _alert_id(self, user: str, first: int, last: int) -> str:
        parts = (self.rule_id, self.version, user, str(first), str(last))
        return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Evidence:
    """The events in the window that raised an alert, oldest offset first."""

    times: list[int]
    ips: list[str | None]
    event_ids: list[str]


FAILED_LOGIN_BURST = WindowedCountRule(
    rule_id="failed-login-burst",
    version="1",
    alert_type=SUSPICIOUS_LOGIN_PATTERN,
    severity="HIGH",
    techniques=("T1110",),
    threshold=3,
    kept=16,
    what="failed logins",
)
RAPID = WindowedCountRule(
    rule_id="rapid-activity",
    version="1",
    alert_type=RAPID_ACTIVITY,
    severity="MEDIUM",
    techniques=(),
    threshold=51,
    kept=64,
    what="events",
)
RULES = (FAILED_LOGIN_BURST, RAPID)
"""In the order of the compiled code."""
