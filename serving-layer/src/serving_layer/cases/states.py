"""The case of an alert: what the steps that people took on it add up to."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

Status = Literal["open", "acknowledged", "resolved"]
Verdict = Literal["true_positive", "false_positive"]
Action = Literal[
    "acknowledge", "assign", "resolve", "true_positive", "false_positive", "comment", "reopen"
]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that somebody did with an alert; ``at`` in Unix ms."""

    alert_id: str
    at: int
    by: str
    action: Action
    assignee: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """Where an alert stands. A false positive is resolved by being one."""

    status: Status = "open"
    verdict: Verdict | None = None
    assignee: str | None = None
    updated_at: int | None = None
    updated_by: str | None = None

    def after(self, step: Step) -> "Case":
        """Return the case once a step was taken."""
        case = replace(self, updated_at=step.at, updated_by=step.by)
        match step.action:
            case "acknowledge":
                return replace(case, status="acknowledged", assignee=self.assignee or step.by)
            case "assign":
                return replace(case, assignee=step.assignee)
            case "resolve":
                return replace(case, status="resolved")
            case "true_positive":
                return replace(case, verdict="true_positive")
            case "false_positive":
                return replace(case, status="resolved", verdict="false_positive")
            case "reopen":
                return replace(case, status="open", verdict=None)
            case "comment":
                return case


UNTOUCHED = Case()
"""The case of an alert that nobody has touched."""


class Cases(Protocol):
    """Whoever knows the cases of alerts."""

    def case(self, alert_id: str) -> Case:
        """Return where an alert stands."""

    def suppressed_by(self, record: Mapping[str, Any]) -> str | None:
        """Return the id of the suppression that silences an alert."""


class _NoCases:
    def case(self, alert_id: str) -> Case:  # noqa: ARG002
        return UNTOUCHED

    def suppressed_by(self, record: Mapping[str, Any]) -> str | None:  # noqa: ARG002
        return None


NO_CASES: Cases = _NoCases()
"""Knows of no case."""
