"""Rules as detection runs them: selections, correlations over windows, and the alerts they raise.

A correlation raises an alert when its condition holds for the matching events of one entity
within less than ``span_ms`` of event time, among the latest ``kept`` ones it holds. While it keeps
matching at intervals below ``quiet_ms``, that is the same alert, for ``again_ms`` at most: then
another one says that it still goes on.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from contracts.alerts import MAX_EVIDENCE, Alert, Severity
from detection.selections import Selection

CorrelationType = Literal["event_count", "value_count", "temporal", "temporal_ordered"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The events in the window that raised an alert, the first to arrive first.

    Attributes:
        times: Event times, Unix ms.
        ips: Their source addresses.
        event_ids: Their ids.
        escalated: The window holds so much that it is worse.
    """

    times: list[int]
    ips: list[str | None]
    event_ids: list[str]
    escalated: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """What a correlation's alerts say.

    Attributes:
        rule_id: Short name, part of the alert id.
        version: Part of the alert id: changes when the rule means something else.
        alert_type: As clients know it.
        severity: Of its alerts.
        worse: Severity of escalated alerts.
        techniques: ATT&CK ids.
        words: Description with places for ``{count}``, ``{entity}`` and ``fields``.
        fields: Fields of the event that the words need.
        resolved: Alerts of it need nobody: they are born resolved.
    """

    rule_id: str
    version: str
    alert_type: str
    severity: Severity
    worse: Severity
    techniques: tuple[str, ...]
    words: str
    fields: tuple[str, ...] = ()
    resolved: bool = False

    def alert(
        self, entity: Sequence[str], time: int, event: Mapping[str, str], evidence: Evidence
    ) -> Alert:
        """Return the alert that an event raises.

        Args:
            entity: Whose window it is: values of the fields that it is grouped by.
            time: Event time of the event, Unix ms.
            event: Its fields, in words; ``user`` always, and those that the rule needs.
            evidence: What the window holds.
        """
        first, last = min(evidence.times), max(evidence.times)
        ips = list(dict.fromkeys(ip for ip in evidence.ips if ip is not None))
        count = len(evidence.times)
        return Alert(
            alert_id=self._alert_id(entity, time, event, evidence),
            user_id=event["user"],
            alert_type=self.alert_type,
            description=self.words.format(**{**event, "entity": ", ".join(entity), "count": count}),
            timestamp=time,
            severity=self.worse if evidence.escalated else self.severity,
            event_count=count,
            resolved=self.resolved,
            rule_id=self.rule_id,
            rule_version=self.version,
            first_seen=first,
            last_seen=last,
            event_ids=evidence.event_ids[-MAX_EVIDENCE:],
            source_ips=ips[:MAX_EVIDENCE],
            techniques=list(self.techniques),
        )

    def _alert_id(
        self, entity: Sequence[str], time: int, event: Mapping[str, str], evidence: Evidence
    ) -> str:
        """Hash all that an alert says and the rule does not: two that differ have two ids.

        Entity and window would not do: a late event changes what an earlier window holds, and
        other partitions may see the same entity in the same seconds.
        """
        window = [evidence.times, evidence.ips, evidence.event_ids, evidence.escalated]
        facts = [self.rule_id, self.version, *entity, time, dict(event), window]
        return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Correlation:
    """A condition over the matches of selections or of other correlations.

    Attributes:
        name: Unique in its set.
        kind: What the condition counts: events, distinct values of ``value``, or sources
            (in their order, for ``temporal_ordered``).
        sources: Names of selections and of correlations before this one.
        group_by: One or two interned fields: the entity.
        value: Interned field whose values are counted, for ``value_count``.
        span_ms, threshold, kept, quiet_ms, again_ms: See the module.
        escalated: From how many on alerts are worse; 0 for never.
        rule: What its alerts say; None when it only serves other correlations.
    """

    name: str
    kind: CorrelationType
    sources: tuple[str, ...]
    group_by: tuple[str, ...]
    value: str | None
    span_ms: int
    threshold: int
    kept: int
    quiet_ms: int
    again_ms: int
    escalated: int = 0
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """Events, and whether they raise the rule's alert.

    Attributes:
        rule_id: Whose example it is.
        name: What it shows.
        events: Rows of ``EVENT_SCHEMA``; offsets and event ids are filled in.
        alerts: How many alerts of the rule they raise; None for at least one.
    """

    rule_id: str
    name: str
    events: tuple[dict[str, Any], ...]
    alerts: int | None


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules that run together.

    Attributes:
        selections: Conditions on single events, by name.
        correlations: In an order in which sources come first.
        fingerprint: Of what they mean: state kept with one set cannot be continued with another.
        examples: Of all rules.
        files: Path of the file that each rule stands in, by rule id.
    """

    selections: Mapping[str, Selection]
    correlations: tuple[Correlation, ...]
    fingerprint: str
    examples: tuple[Example, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
