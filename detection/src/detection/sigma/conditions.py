"""From pySigma's condition trees to selections."""

import ipaddress
import operator
from collections.abc import Callable

import re2
from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.types import (
    CompareOperators,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaRegularExpressionFlag,
    SigmaString,
    SigmaType,
    SpecialChars,
)

from detection.selections import FIELDS, AllOf, AnyOf, Check, NotOf, Predicate, Selection, Value

_LEAKS = {"threat_score": "threat_score is a producer's own opinion and never an input"}

_COMPARISONS: dict[CompareOperators, Callable[[float, float], bool]] = {
    CompareOperators.LT: operator.lt,
    CompareOperators.LTE: operator.le,
    CompareOperators.GT: operator.gt,
    CompareOperators.GTE: operator.ge,
    CompareOperators.NEQ: operator.ne,
}
_MANY = SpecialChars.WILDCARD_MULTI
_PLAIN_SHAPES: tuple[list[SpecialChars | None], ...] = (
    [],
    [None],
    [_MANY, None],
    [None, _MANY],
    [_MANY, None, _MANY],
)
"""Texts between wildcards that need no regular expression."""
_WILDCARDS = {SpecialChars.WILDCARD_MULTI: ".*", SpecialChars.WILDCARD_SINGLE: "."}
_FLAGS = {
    SigmaRegularExpressionFlag.IGNORECASE: "i",
    SigmaRegularExpressionFlag.MULTILINE: "m",
    SigmaRegularExpressionFlag.DOTALL: "s",
}


class UnsupportedError(Exception):
    """A condition asks for what detection cannot do; says what."""


def selection_of(node: object) -> Selection:
    """Return the selection that a pySigma condition stands for.

    Raises:
        UnsupportedError: If part of it is not supported.
    """
    if isinstance(node, ConditionFieldEqualsValueExpression):
        check_field(node.field)
        return Check(node.field, (_asked(node.value),), (_predicate(node.field, node.value),))
    if isinstance(node, ConditionAND):
        return _all_of([selection_of(part) for part in node.args])
    if isinstance(node, ConditionOR):
        return _any_of([selection_of(part) for part in node.args])
    if isinstance(node, ConditionNOT):
        return NotOf(selection_of(node.args[0]))
    if isinstance(node, ConditionValueExpression):
        raise UnsupportedError("keywords without a field are not supported: name the field")
    raise UnsupportedError(f"{type(node).__name__} is not supported")


def check_field(name: str) -> None:
    """Raise ``UnsupportedError`` for a field that rules cannot ask for."""
    if name in _LEAKS:
        raise UnsupportedError(_LEAKS[name])
    if name not in FIELDS:
        raise UnsupportedError(f"no field {name!r}; there are {', '.join(sorted(FIELDS))}")


def _all_of(parts: list[Selection]) -> Selection:
    """Return a conjunction; those within it become part of it."""
    flat: list[Selection] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, AllOf) else [part])
    return flat[0] if len(flat) == 1 else AllOf(tuple(flat))


def _any_of(parts: list[Selection]) -> Selection:
    """Return a choice; values of one field become one check, judged once per value."""
    checks: dict[str, Check] = {}
    others: list[Selection] = []
    for part in parts:
        if not isinstance(part, Check):
            others.append(part)
        elif other := checks.get(part.field):
            asked, predicates = other.asked + part.asked, other.predicates + part.predicates
            checks[part.field] = Check(part.field, asked, predicates)
        else:
            checks[part.field] = part
    merged = [*checks.values(), *others]
    return merged[0] if len(merged) == 1 else AnyOf(tuple(merged))


def _asked(value: SigmaType) -> str:
    """Return a value in words that are the same in every process."""
    if isinstance(value, SigmaNull):
        return "null"
    if isinstance(value, SigmaRegularExpression):
        return f"re {_flags(value)} {value.regexp}"
    if isinstance(value, SigmaExpansion):
        return f"any of {[_asked(each) for each in value.values]}"
    return repr(value)


def _flags(value: SigmaRegularExpression) -> str:
    return "".join(sorted(_FLAGS[flag] for flag in value.flags))


def _predicate(field: str, value: SigmaType) -> Predicate:
    if isinstance(value, SigmaNull):
        return lambda found: found is None
    if isinstance(value, SigmaExists):
        wanted = bool(value)
        return lambda found: (found is not None) == wanted
    if isinstance(value, SigmaExpansion):
        choices = [_predicate(field, each) for each in value.values]
        return lambda found: any(choice(found) for choice in choices)
    return {"text": _text, "number": _number, "boolean": _boolean}[FIELDS[field]](field, value)


def _text(field: str, value: SigmaType) -> Predicate:
    if isinstance(value, SigmaRegularExpression):
        flags = _flags(value)
        return _matching(f"(?{flags})" if flags else "", str(value.regexp))
    if isinstance(value, SigmaCIDRExpression):
        network = value.network
        return lambda found: _lies_in(found, network)
    if isinstance(value, SigmaString):
        if value.contains_placeholder():
            raise UnsupportedError("placeholders (modifier expand) are not supported")
        return _like(value)
    raise UnsupportedError(f"{field} is text: {_kind(value)} does not fit it")


def _number(field: str, value: SigmaType) -> Predicate:
    if isinstance(value, SigmaCompareExpression) and isinstance(value.number, SigmaNumber):
        compare, bound = _COMPARISONS[value.op], value.number.number
        return lambda found: found is not None and compare(float(found), bound)
    if type(value) is SigmaNumber:
        number = value.number
        return lambda found: found == number
    raise UnsupportedError(f"{field} is a number: {_kind(value)} does not fit it")


def _boolean(field: str, value: SigmaType) -> Predicate:
    if isinstance(value, SigmaBool):
        wanted = value.boolean
        return lambda found: found is wanted
    raise UnsupportedError(f"{field} is true or false: {_kind(value)} does not fit it")


def _like(value: SigmaString) -> Predicate:
    """Return the test for a text with wildcards; in Sigma, case counts only where it says so."""
    cased = isinstance(value, SigmaCasedString)
    shape = [part if isinstance(part, SpecialChars) else None for part in value.s]
    if cased or shape not in _PLAIN_SHAPES:
        pattern = "".join(
            _WILDCARDS[part] if isinstance(part, SpecialChars) else re2.escape(str(part))
            for part in value.s
        )
        return _matching("(?s)" if cased else "(?is)", f"^{pattern}$")
    text = "".join(part for part in value.s if isinstance(part, str)).lower()
    if shape == [None] or not shape:
        return lambda found: isinstance(found, str) and found.lower() == text
    if shape == [_MANY, None]:
        return lambda found: isinstance(found, str) and found.lower().endswith(text)
    if shape == [None, _MANY]:
        return lambda found: isinstance(found, str) and found.lower().startswith(text)
    return lambda found: isinstance(found, str) and text in found.lower()


def _matching(flags: str, pattern: str) -> Predicate:
    """Return the test for a regular expression that matches anywhere, in linear time."""
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(flags + pattern, options)
    except re2.error as error:
        raise UnsupportedError(f"regular expression {pattern!r}: {error}") from error
    return lambda found: isinstance(found, str) and compiled.search(found) is not None


def _lies_in(found: Value, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        return ipaddress.ip_address(str(found)) in network
    except ValueError:
        return False


def _kind(value: SigmaType) -> str:
    return type(value).__name__.removeprefix("Sigma")
