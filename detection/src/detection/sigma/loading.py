"""Rule files to a rule set: what the documents mean; ``documents`` reads them."""

import hashlib
import string
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from sigma.correlations import (
    SigmaCorrelationCondition,
    SigmaCorrelationConditionOperator,
    SigmaCorrelationRule,
    SigmaCorrelationTimespan,
)
from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule

from contracts.alerts import Severity
from detection.errors import RuleError
from detection.rules import Correlation, CorrelationType, Example, Rule, RuleSet
from detection.selections import CODED, Selection
from detection.sigma.conditions import UnsupportedError, check_field, selection_of
from detection.sigma.documents import Document, read_documents

PRODUCT = "streamguard"
MOST_COUNTED = 200
"""Highest threshold: events held per entity are bounded."""
MOST_SPAN_MS = 7 * 86_400_000

_TYPES: dict[str, CorrelationType] = {
    "EVENT_COUNT": "event_count",
    "VALUE_COUNT": "value_count",
    "TEMPORAL": "temporal",
    "TEMPORAL_ORDERED": "temporal_ordered",
}
_SEVERITIES: dict[str, Severity] = {
    "informational": "LOW",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "critical": "CRITICAL",
}
_MOST_SOURCES = 8


def load_rules(path: Path) -> RuleSet:
    """Return the rules of a file, or of all ``*.yml`` files in a folder; see ``sigma.load``."""
    paths = sorted(path.glob("*.yml")) if path.is_dir() else [path]
    if not paths:
        raise RuleError(path, "", "the folder holds no *.yml file")
    documents: dict[str, Document] = {}
    for each in paths:
        try:
            data = each.read_bytes()
        except OSError as error:
            raise RuleError(each, "", f"cannot be read: {error.strerror}") from error
        for document in read_documents(each, data):
            if document.name in documents:
                other = documents[document.name].path
                raise document.refuse(f"the name is taken already, in {other}")
            documents[document.name] = document
    return _rule_set(documents)


def _rule_set(documents: dict[str, Document]) -> RuleSet:
    selections: dict[str, Selection] = {}
    correlations: dict[str, Correlation] = {}
    for document in documents.values():
        if isinstance(document.sigma, SigmaRule):
            selections[document.name] = _selection(document)
            if document.is_alerting:
                # The name of a selection may be a source; that of its alerts may not.
                correlations[f"{document.name} alerts"] = _single(document)
    for document in documents.values():
        _add_correlation(document, documents, selections, correlations)
    meaning = repr((selections, correlations)).encode()
    return RuleSet(
        selections=selections,
        correlations=tuple(correlations.values()),
        fingerprint=hashlib.blake2b(meaning, digest_size=8).hexdigest(),
        examples=tuple(each for document in documents.values() for each in _examples(document)),
        files={
            document.name: str(document.path)
            for document in documents.values()
            if document.is_alerting
        },
    )


def _add_correlation(
    document: Document,
    documents: dict[str, Document],
    selections: dict[str, Selection],
    correlations: dict[str, Correlation],
    above: tuple[str, ...] = (),
) -> None:
    """Add a correlation, after those that it refers to."""
    sigma = document.sigma
    if not isinstance(sigma, SigmaCorrelationRule) or document.name in correlations:
        return
    if document.name in above:
        raise document.refuse("refers to itself, through other correlations")
    for reference in sigma.rules or []:
        if reference.reference not in documents:
            raise document.refuse(f"refers to {reference.reference!r}, which is no rule here")
        _add_correlation(
            documents[reference.reference],
            documents,
            selections,
            correlations,
            (*above, document.name),
        )
    correlations[document.name] = _correlation(document)


def _selection(document: Document) -> Selection:
    sigma = cast("SigmaRule", document.sigma)
    if sigma.logsource.product != PRODUCT:
        raise document.refuse(
            f"logsource.product must be {PRODUCT}: field names are those of its events"
        )
    conditions = sigma.detection.parsed_condition
    if len(conditions) != 1:
        raise document.refuse("a list of conditions is not supported: join them with or")
    if not isinstance(conditions[0].condition, str):
        raise document.refuse(f"condition: {conditions[0].condition!r} is no text")
    try:
        return selection_of(conditions[0].parsed)
    except (UnsupportedError, SigmaError) as error:
        raise document.refuse(str(error)) from error


def _single(document: Document) -> Correlation:
    """Return the correlation that makes every match of a selection an alert, once in a while."""
    again = _span_ms(document, "streamguard.suppress", document.options.suppress)
    if document.options.escalate is not None:
        raise document.refuse("escalate needs a correlation: it counts events")
    return Correlation(
        name=f"{document.name} alerts",
        kind="event_count",
        sources=(document.name,),
        group_by=_entity(document, document.options.group_by),
        value=None,
        span_ms=1,
        threshold=1,
        kept=1,
        quiet_ms=again,
        again_ms=again,
        rule=_rule(document),
    )


def _correlation(document: Document) -> Correlation:
    sigma = cast("SigmaCorrelationRule", document.sigma)
    if sigma.type.name not in _TYPES:
        raise document.refuse(f"correlation type {sigma.type.name.lower()} is not supported")
    if len(sigma.aliases):
        raise document.refuse("aliases are not supported: all rules have the same field names")
    kind = _TYPES[sigma.type.name]
    sources = tuple(reference.reference for reference in sigma.rules or [])
    if not 1 <= len(sources) <= _MOST_SOURCES or len(set(sources)) < len(sources):
        raise document.refuse(f"rules: name 1 to {_MOST_SOURCES} different ones")
    span = _span_ms(document, "timespan", sigma.timespan.spec)
    threshold = _threshold(document, sigma, kind, len(sources))
    escalate = document.options.escalate
    most = max(threshold, escalate.count if escalate else 0)
    if most > MOST_COUNTED:
        raise document.refuse(f"counts above {MOST_COUNTED} are not supported: state is bounded")
    return Correlation(
        name=document.name,
        kind=kind,
        sources=sources,
        group_by=_entity(document, sigma.group_by or []),
        value=_counted_field(document, sigma, kind),
        span_ms=span,
        threshold=threshold,
        kept=_kept(kind, most),
        quiet_ms=span,
        again_ms=_span_ms(document, "streamguard.suppress", document.options.suppress),
        escalated=escalate.count if escalate else 0,
        rule=_rule(document) if document.is_alerting else None,
    )


def _threshold(
    document: Document, sigma: SigmaCorrelationRule, kind: CorrelationType, sources: int
) -> int:
    condition = sigma.condition
    if not isinstance(condition, SigmaCorrelationCondition):
        raise document.refuse("a condition in words is not supported: list the rules")
    more = {SigmaCorrelationConditionOperator.GTE: 0, SigmaCorrelationConditionOperator.GT: 1}
    if not isinstance(condition.count, int):
        raise document.refuse(f"condition: {condition.count} is no whole number")
    if condition.op not in more:
        raise document.refuse(
            f"condition {condition.op.name.lower()} is not supported: a stream can tell that "
            "there is enough (gt, gte), not that nothing more will come"
        )
    threshold = condition.count + more[condition.op]
    if threshold < 1:
        raise document.refuse("condition: every window would satisfy it")
    if kind.startswith("temporal") and threshold != sources:
        raise document.refuse("condition: temporal correlations need all of their rules")
    return threshold


def _counted_field(
    document: Document, sigma: SigmaCorrelationRule, kind: CorrelationType
) -> str | None:
    name = getattr(sigma.condition, "fieldref", None)
    if kind != "value_count":
        return None
    if not isinstance(name, str):
        raise document.refuse("condition.field: values of one field can be counted")
    return _coded(document, name)


def _entity(document: Document, names: list[str]) -> tuple[str, ...]:
    if not 1 <= len(names) <= 2:
        raise document.refuse("group-by: name one or two fields, state is kept per entity")
    return tuple(_coded(document, name) for name in names)


def _coded(document: Document, name: str) -> str:
    try:
        check_field(name)
    except UnsupportedError as error:
        raise document.refuse(str(error)) from error
    if name not in CODED:
        raise document.refuse(f"{name} can neither be grouped by nor counted")
    return name


def _span_ms(document: Document, key: str, text: str) -> int:
    try:
        span = SigmaCorrelationTimespan(text).seconds * 1_000
    except SigmaError as error:
        raise document.refuse(f"{key}: {error}") from error
    if span > MOST_SPAN_MS:
        raise document.refuse(f"{key}: {text} is too long: at most 7 days are supported")
    return span


def _kept(kind: CorrelationType, most: int) -> int:
    """Return how many events to hold: room for the count and for some that come late."""
    spare = most // 4 if kind == "event_count" else most
    return 1 << max(most + spare - 1, 15).bit_length()


def _rule(document: Document) -> Rule:
    options, sigma = document.options, document.sigma
    severity = _SEVERITIES[str(sigma.level).lower()]
    worse = severity
    if options.escalate is not None:
        if options.escalate.level not in _SEVERITIES:
            raise document.refuse(f"escalate.level: {options.escalate.level!r} is no level")
        worse = _SEVERITIES[options.escalate.level]
    words = options.words or f"{_literal(sigma.title)}: {{entity}}"
    return Rule(
        rule_id=document.name,
        version=options.version,
        alert_type=options.alert_type or document.name.upper().replace("-", "_"),
        severity=severity,
        worse=worse,
        techniques=tuple(
            tag.name.upper()
            for tag in sigma.tags
            if tag.namespace == "attack" and tag.name[:1] == "t" and tag.name[1:2].isdigit()
        ),
        words=words,
        fields=_fields(document, words),
        resolved=options.resolved,
    )


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _fields(document: Document, words: str) -> tuple[str, ...]:
    """Return the fields of the event that a description needs."""
    try:
        wanted = {name for _, name, _, _ in string.Formatter().parse(words) if name is not None}
    except ValueError as error:
        raise document.refuse(f"words: {error}") from error
    fields = wanted - {"count", "entity"}
    if fields - CODED.keys():
        raise document.refuse(f"words: no field {', '.join(sorted(fields - CODED.keys()))}")
    return tuple(sorted(fields))


def _examples(document: Document) -> Iterator[Example]:
    if document.is_alerting and not (document.examples.positive and document.examples.negative):
        raise document.refuse("examples: a rule has at least one positive and one negative one")
    for one in document.examples.positive:
        yield Example(document.name, one.name, one.rows(), one.alerts)
    for one in document.examples.negative:
        yield Example(document.name, one.name, one.rows(), 0)
