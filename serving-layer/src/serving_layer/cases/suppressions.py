"""Suppressions: alerts like a known false positive are marked and not sent on.

A suppressed alert stays in every list and count; it carries the suppression's id. One that was
marked a true positive is never suppressed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from serving_layer.cases.states import Case
from serving_layer.errors import ConflictError

MatchField = Literal["user", "source_ip"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """What an alert must be like: the rule, and every other value that is not None.

    ``source_ip`` asks that it is the alert's only address, so that a second source is never hidden
    behind a harmless one.
    """

    rule_id: str
    user: str | None = None
    source_ip: str | None = None

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether an alert is like this."""
        return (
            record["rule_id"] == self.rule_id
            and self.user in (None, record["user_id"])
            and (self.source_ip is None or set(record["source_ips"]) == {self.source_ip})
        )


@dataclass(frozen=True, slots=True)
class Suppression:
    """A pattern, who made it of which alert, and until which event time it holds (Unix ms)."""

    id: str
    pattern: Pattern
    alert_id: str
    reason: str
    created_by: str
    created_at: int
    expires_at: int
    revoked_by: str | None = None
    revoked_at: int | None = None

    def covers(self, record: Mapping[str, Any]) -> bool:
        """Whether it silences an alert, whatever its case says."""
        in_force = self.revoked_at is None and record["timestamp"] < self.expires_at
        return in_force and self.pattern.matches(record)


def pattern_of(record: Mapping[str, Any], fields: Iterable[MatchField]) -> Pattern:
    """Return the pattern of alerts like ``record`` in its rule and the named fields.

    Raises:
        ConflictError: If the alert has no single source address and that was asked for.
    """
    wanted = set(fields)
    source_ip = None
    if "source_ip" in wanted:
        if len(record["source_ips"]) != 1:
            raise ConflictError("the alert has no single source address to match")
        source_ip = record["source_ips"][0]
    user = record["user_id"] if "user" in wanted else None
    return Pattern(record["rule_id"], user, source_ip)


@dataclass(frozen=True, slots=True)
class Preview:
    """Alerts that a pattern would have silenced."""

    silenced: list[Mapping[str, Any]]
    kept_true_positives: int
    """Alerts like it that stay, because somebody marked them true."""
    marked_false_positives: int


def preview(
    pattern: Pattern, alerts: Iterable[tuple[Mapping[str, Any], Case]], since: int
) -> Preview:
    """Return what a pattern would have done to alerts from ``since`` (event time) on."""
    alike = [
        (record, case)
        for record, case in alerts
        if record["timestamp"] >= since and pattern.matches(record)
    ]
    verdicts = [case.verdict for _, case in alike]
    return Preview(
        silenced=[record for record, case in alike if case.verdict != "true_positive"],
        kept_true_positives=verdicts.count("true_positive"),
        marked_false_positives=verdicts.count("false_positive"),
    )
