"""A rule's own examples: events written in its file, and whether they raise its alert."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator

from contracts.columns import EVENT_SCHEMA
from detection.rules import Example, RuleSet

START_MS = 1_767_225_600_000
"""Time 0 of every example: 2026-01-01T00:00Z."""

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SPAN = re.compile(r"(-?\d+)(ms|s|m|h|d)")
_GIVEN = {"offset", "event_id", "timestamp"}
_COLUMNS = frozenset(EVENT_SCHEMA.names) - _GIVEN


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(_Strict):
    """One event, or several that repeat it.

    In a text field, ``{n}`` stands for the number of the repetition, from 0.
    """

    at: str = Field("0s", description="Time after the example's start, such as 90s or 5m.")
    repeat: int = Field(1, ge=1, le=10_000)
    every: str = "1s"
    event: dict[str, Any]

    @field_validator("at", "every")
    @classmethod
    def _is_span(cls, value: str) -> str:
        if not _SPAN.fullmatch(value):
            raise ValueError(f"{value!r} is no time such as 90s, 5m, 1h")
        return value

    @field_validator("event")
    @classmethod
    def _has_known_fields(cls, value: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(value.keys() - _COLUMNS)
        if unknown:
            raise ValueError(f"no field {', '.join(unknown)} in events")
        for name, given in value.items():
            kind = EVENT_SCHEMA.field(name).type
            try:
                pa.array([given], kind)
            except (pa.ArrowException, OverflowError) as error:
                raise ValueError(f"{name}: {given!r} is no {kind}") from error
        return value

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the events, each with its time."""
        for n in range(self.repeat):
            event = {
                name: value.replace("{n}", str(n)) if isinstance(value, str) else value
                for name, value in self.event.items()
            }
            yield {
                "user": "alice",
                "event_type": "auth_attempt",
                **event,
                "timestamp": START_MS + milliseconds(self.at) + n * milliseconds(self.every),
            }


class Case(_Strict):
    """Events in the order in which they arrive."""

    name: str
    steps: list[Step] = Field(alias="events")
    alerts: int | None = Field(None, ge=1, description="How many alerts; default: at least one.")

    def rows(self) -> tuple[dict[str, Any], ...]:
        """Return the rows of ``EVENT_SCHEMA``."""
        return tuple(row for step in self.steps for row in step.rows())


class Examples(_Strict):
    """Cases that raise the rule's alert, and cases that do not."""

    positive: list[Case] = Field(default_factory=list)
    negative: list[Case] = Field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an example.

    Attributes:
        file: Path of the rule's file.
        rule_id: The rule.
        example: Name of the example.
        expected: Number of alerts it names; None for at least one.
        raised: Number of alerts of the rule that came.
        descriptions: Of these alerts.
    """

    file: str
    rule_id: str
    example: str
    expected: int | None
    raised: int
    descriptions: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return self.raised > 0 if self.expected is None else self.raised == self.expected


def run(rules: RuleSet) -> list[Outcome]:
    """Run every example of a rule set through an engine with these rules."""
    return [_outcome(example, rules) for example in rules.examples]


def milliseconds(text: str) -> int:
    """Return a time such as 90s in ms.

    Examples:
        >>> milliseconds("5m")
        300000
    """
    matched = _SPAN.fullmatch(text)
    if matched is None:
        raise ValueError(f"{text!r} is no time such as 90s, 5m, 1h")
    return int(matched[1]) * _UNITS[matched[2]]


def _outcome(example: Example, rules: RuleSet) -> Outcome:
    from detection.engine import Engine  # which loads the rules of the package

    rows = [
        {"offset": number, "event_id": f"example-{number}", **row}
        for number, row in enumerate(example.events)
    ]
    events = pa.RecordBatch.from_pylist(rows, schema=EVENT_SCHEMA)
    alerts = [
        alert
        for _, alert in Engine(rules=rules).process(events).alerts
        if alert.rule_id == example.rule_id
    ]
    return Outcome(
        file=rules.files.get(example.rule_id, ""),
        rule_id=example.rule_id,
        example=example.name,
        expected=example.alerts,
        raised=len(alerts),
        descriptions=tuple(alert.description for alert in alerts),
    )
