"""Conditions on single events, compiled to masks over a micro-batch.

A text or a port is judged once per distinct value, when it comes for the first time; a batch then
only looks its codes up. Absent values satisfy nothing but a test for absence.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from detection import layout as at
from detection.interning import NETWORKS, country_of
from detection.kernel import Batch

Mask = NDArray[np.bool_]
Value = str | int | bool | None
Predicate = Callable[[Value], bool]
FieldType = Literal["text", "number", "boolean"]

COUNTRY = "country"
NEW_COUNTRY = "new_country"
RARE_COUNTRY = "rare_country"
BYTES = "bytes_transferred"

CODED: dict[str, tuple[int, str]] = {
    "user": (at.C_USER, "user"),
    "source_ip": (at.IP, "source_ip"),
    "network": (at.NET, NETWORKS),
    "geo_location": (at.PLACE, "geo_location"),
    COUNTRY: (at.PLACE, "geo_location"),
    "event_type": (at.TYPE, "event_type"),
    "user_agent": (at.AGENT, "user_agent"),
    "hostname": (at.HOST, "hostname"),
    "process_name": (at.PROCESS, "process_name"),
    "port": (at.PORT, "port"),
    "file_path": (at.PATH, "file_path"),
    "domain": (at.DOMAIN, "domain"),
    "status": (at.C_STATUS, "status"),
    "failure_reason": (at.C_REASON, "failure_reason"),
}
"""Interned fields: row of the matrix of codes, and vocabulary. Entities and counted values are
of these."""

_UNCODED = ("destination_ip", "command_line")

FIELDS: dict[str, FieldType] = {
    **dict.fromkeys(CODED, "text"),
    **dict.fromkeys(_UNCODED, "text"),
    "port": "number",
    BYTES: "number",
    NEW_COUNTRY: "boolean",
    RARE_COUNTRY: "boolean",
}
"""Fields that rules may ask for. Derived ones: ``network`` (/24 or /48 of the source address),
``country`` (of ``geo_location``), ``new_country`` (the user's first event from there, once there
is a baseline), ``rare_country`` (less than 2 % of the user's events came from there)."""


@dataclass(frozen=True, slots=True)
class Check:
    """One field's value satisfies any of the predicates.

    Attributes:
        field: One of ``FIELDS``.
        asked: What each predicate asks, in words: equal words are the same question.
        predicates: The tests.
    """

    field: str
    asked: tuple[str, ...]
    predicates: tuple[Predicate, ...] = dataclasses.field(compare=False, repr=False)

    def holds(self, value: Value) -> bool:
        return any(predicate(value) for predicate in self.predicates)


@dataclass(frozen=True, slots=True, eq=False)
class AllOf:
    """Every part holds."""

    parts: tuple["Selection", ...]


@dataclass(frozen=True, slots=True, eq=False)
class AnyOf:
    """One part holds."""

    parts: tuple["Selection", ...]


@dataclass(frozen=True, slots=True, eq=False)
class NotOf:
    """The part does not hold."""

    part: "Selection"


Selection = Check | AllOf | AnyOf | NotOf

_ALL, _ANY, _NOT = "all", "any", "not"
_Plan = int | tuple[str, tuple["_Plan", ...]]
"""Number of a check, or an operation and what it is applied to."""


@dataclass(frozen=True, slots=True)
class Columns:
    """A batch's columns as rules see them.

    Attributes:
        events: The batch, schema ``EVENT_SCHEMA``.
        batch: The same, as the compiled code sees it.
        vocabularies: Values by code.
        flags: What detection found out about the events, by field, [rows] each.
    """

    events: pa.RecordBatch
    batch: Batch
    vocabularies: Mapping[str, Sequence[str | int]]
    flags: Mapping[str, Mask]


class Matcher:
    """Evaluates selections; remembers what the values of one partition satisfied.

    What is asked, and in which order, is laid down once: with a handful of rows, finding that out
    would cost more than the answers.
    """

    def __init__(self, selections: Iterable[Selection]) -> None:
        self._checks: list[Check] = []
        numbers: dict[Check, int] = {}
        self._plans = [self._plan(selection, numbers) for selection in selections]
        self._tables = [(0, np.empty(0, np.bool_)) for _ in self._checks]

    def masks(self, columns: Columns) -> list[Mask]:
        """Return which rows satisfy each selection; what they have in common is asked once."""
        known: list[Mask | None] = [None] * len(self._checks)
        return [self._mask(plan, columns, known) for plan in self._plans]

    def _plan(self, selection: Selection, numbers: dict[Check, int]) -> "_Plan":
        if isinstance(selection, Check):
            number = numbers.setdefault(selection, len(numbers))
            if number == len(self._checks):
                self._checks.append(selection)
            return number
        if isinstance(selection, NotOf):
            return _NOT, (self._plan(selection.part, numbers),)
        operation = _ANY if isinstance(selection, AnyOf) else _ALL
        return operation, tuple(self._plan(part, numbers) for part in selection.parts)

    def _mask(self, plan: "_Plan", columns: Columns, known: list[Mask | None]) -> Mask:
        if isinstance(plan, int):
            found = known[plan]
            if found is None:
                found = known[plan] = self._check(plan, columns)
            return found
        operation, parts = plan
        result = self._mask(parts[0], columns, known)
        if operation == _NOT:
            return ~result
        decided = len(result) if operation == _ANY else 0
        for part in parts[1:]:
            if np.count_nonzero(result) == decided:
                break  # nothing that follows can change it
            other = self._mask(part, columns, known)
            result = result | other if operation == _ANY else result & other
        return result

    def _check(self, number: int, columns: Columns) -> Mask:
        check = self._checks[number]
        if check.field in CODED:
            row, name = CODED[check.field]
            values = columns.vocabularies[name]
            judged, table = self._tables[number]
            if judged != len(values) or not len(table):
                table = self._table(number, values)
            found: Mask = table[columns.batch.codes[row]]
            return found
        if check.field in columns.flags:
            judgements = np.array([check.holds(False), check.holds(True)])
            return judgements[columns.flags[check.field].view(np.uint8)]
        if check.field == BYTES:
            sizes = columns.batch.sizes
            return _judged(check, pa.array(sizes, mask=sizes < 0))
        return _judged(check, columns.events.column(check.field))

    def _table(self, number: int, values: Sequence[str | int]) -> Mask:
        """Judge new values; return what each code satisfies; the last cell is that of null."""
        check, (judged, table) = self._checks[number], self._tables[number]
        if len(values) >= len(table):
            table = _longer(table, len(values), check.holds(None))
        for code in range(judged, len(values)):
            value = values[code]
            table[code] = check.holds(country_of(value) if check.field == COUNTRY else value)
        self._tables[number] = (len(values), table)
        return table


def _judged(check: Check, column: pa.Array) -> Mask:
    """Judge each distinct value of a column that is not interned."""
    absent = check.holds(None)
    if column.null_count == len(column):
        return np.full(len(column), absent)
    encoded = pc.dictionary_encode(column)
    table = np.array([check.holds(value) for value in encoded.dictionary.to_pylist()] + [absent])
    found: Mask = table[encoded.indices.fill_null(-1).to_numpy()]
    return found


def _longer(array: Mask, used: int, last: bool) -> Mask:
    """Return ``array`` with room for more than ``used`` cells; new ones hold ``last``."""
    grown = np.full(max(64, 2 * used + 1), last)
    grown[: max(len(array) - 1, 0)] = array[:-1]
    return grown
