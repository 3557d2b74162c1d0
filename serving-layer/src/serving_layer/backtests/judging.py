"""What fired, against what analysts said of alerts and what is known of events."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serving_layer.cases.states import Verdict

_DAY_MS = 86_400_000
_TOP_USERS = 20
_EXAMPLES = 20

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Firing:
    """One thing that would have been raised, with the events that are its evidence."""

    id: str
    user: str
    timestamp: int
    event_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Known:
    """An alert that was raised, and what analysts said of it."""

    id: str
    user: str
    rule_id: str
    event_ids: Sequence[str]
    verdict: Verdict | None


def judged(
    firings: Sequence[Firing],
    known: Sequence[Known],
    labels: Mapping[str, bool],
    counted: int | None = None,
) -> Body:
    """Return counts, days, users, and how firings compare with verdicts and labels.

    A firing is like an alert if they have the id or an event of their evidence in common. Evidence is
    capped, so a long burst may be told apart from itself; then it counts as not judged.

    Args:
        firings: What would have been raised.
        known: Alerts of the range.
        labels: Truth of events, by id.
        counted: How many fired where that is more than ``firings``.
    """
    days = Counter(each.timestamp // _DAY_MS * _DAY_MS for each in firings)
    users = Counter(each.user for each in firings)
    return {
        "would_have_fired": len(firings) if counted is None else counted,
        "told": len(firings),
        "per_day": [{"day": day, "fired": number} for day, number in sorted(days.items())],
        "users": [{"user": user, "fired": n} for user, n in users.most_common(_TOP_USERS)],
        "verdicts": _verdicts(firings, known),
        "labels": _labels(firings, labels) if labels else None,
        "examples": [
            {"id": each.id, "user": each.user, "timestamp": each.timestamp}
            for each in firings[:_EXAMPLES]
        ],
    }


def _verdicts(firings: Sequence[Firing], known: Sequence[Known]) -> Body:
    by_event: dict[str, list[Known]] = {}
    for alert in known:
        for event_id in alert.event_ids:
            by_event.setdefault(event_id, []).append(alert)
    by_id = {alert.id: alert for alert in known}
    like: set[str] = set()
    counts: Counter[str] = Counter()
    for firing in firings:
        alerts = _alike(firing, by_id, by_event)
        like.update(alert.id for alert in alerts)
        said = {alert.verdict for alert in alerts}
        if "true_positive" in said:
            counts["true_positive"] += 1
        elif "false_positive" in said:
            counts["false_positive"] += 1
        elif alerts:
            counts["not_judged"] += 1
        else:
            counts["new"] += 1
    return {
        "like_true_positives": counts["true_positive"],
        "like_false_positives": counts["false_positive"],
        "like_alerts_not_judged": counts["not_judged"],
        "like_no_alert": counts["new"],
        "true_positives_missed": _missed(known, like, "true_positive"),
        "false_positives_avoided": _missed(known, like, "false_positive"),
    }


def _alike(
    firing: Firing, by_id: Mapping[str, Known], by_event: Mapping[str, list[Known]]
) -> list[Known]:
    found = [by_id[firing.id]] if firing.id in by_id else []
    return found + [alert for each in firing.event_ids for alert in by_event.get(each, [])]


def _missed(known: Iterable[Known], like: set[str], verdict: Verdict) -> int:
    return sum(alert.verdict == verdict and alert.id not in like for alert in known)


def _labels(firings: Sequence[Firing], labels: Mapping[str, bool]) -> Body:
    evidence = {event_id for firing in firings for event_id in firing.event_ids}
    attacks = {event_id for event_id, is_attack in labels.items() if is_attack}
    right = sum(any(labels.get(each) for each in firing.event_ids) for firing in firings)
    return {
        "attacks": len(attacks),
        "attacks_found": len(attacks & evidence),
        "attacks_missed": len(attacks - evidence),
        "fired_on_attacks": right,
        "fired_on_nothing": len(firings) - right,
        "precision": right / len(firings) if firings else None,
        "recall": len(attacks & evidence) / len(attacks) if attacks else None,
    }
