"""Runs a rule set over micro-batches: masks, windows, alerts."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.alerts import Alert
from detection import layout as at
from detection import window_kernel, windows
from detection.interning import country_of
from detection.rules import Correlation, Evidence, Rule, RuleSet
from detection.selections import CODED, COUNTRY, Columns, Matcher
from detection.windows import Limits, Matches, Window

Ints = NDArray[np.int64]

_KINDS = {
    "event_count": windows.EVENT_COUNT,
    "value_count": windows.VALUE_COUNT,
    "temporal": windows.VALUE_COUNT,
    "temporal_ordered": windows.ORDERED,
}
_SECOND_FIELD = 31
"""Bits of the second field's code in the key of a pair."""


class Found(NamedTuple):
    """Rows that a selection or a correlation matches, and the event times that it says."""

    rows: Ints
    times: Ints


_NOTHING = Found(np.zeros(0, np.int64), np.zeros(0, np.int64))


class Correlator:
    """State of all correlations of one partition.

    Attributes:
        rules: The rule set.
        windows, limits: State and limits of each correlation, for this package's own modules.
    """

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self.windows = [windows.empty_window() for _ in rules.correlations]
        self.limits = [_limits(correlation) for correlation in rules.correlations]
        self._matcher = Matcher(rules.selections.values())
        self._id_width = 0
        self._warm = False

    def process(self, columns: Columns) -> Iterator[tuple[int, Alert]]:
        """Take the next events; yield the alerts and the rows that raised them, by row."""
        found: dict[str, Found] = {}
        masks = self._matcher.masks(columns)
        for name, mask in zip(self.rules.selections, masks, strict=True):
            if np.count_nonzero(mask):
                rows = np.flatnonzero(mask)
                found[name] = Found(rows, columns.batch.times[rows])
            else:
                found[name] = _NOTHING
        raised: list[tuple[int, int, Alert]] = []
        id_ends = columns.batch.id_ends
        self._make_room_for_ids(int((id_ends[1:] - id_ends[:-1]).max(initial=0)))
        for number, correlation in enumerate(self.rules.correlations):
            parts = [found[name] for name in correlation.sources]
            if self._warm and not any(len(part.rows) for part in parts):
                found[correlation.name] = parts[0]
                continue
            matches = _matches(correlation, columns, parts)
            found[correlation.name] = self._observe(number, matches, columns, raised)
        self._warm = True
        raised.sort(key=lambda entry: entry[:2])
        yield from ((row, alert) for row, _, alert in raised)

    def _make_room_for_ids(self, width: int) -> None:
        if width > self._id_width:
            self.windows = [windows.with_room(window, 0, 0, width) for window in self.windows]
            self._id_width = width

    def _observe(
        self,
        number: int,
        matches: Matches,
        columns: Columns,
        raised: list[tuple[int, int, Alert]],
    ) -> Found:
        """Feed a correlation; return the rows and window ends that satisfy its condition."""
        total = len(matches.rows)
        rule, limits = self.rules.correlations[number].rule, self.limits[number]
        window = self.windows[number]
        ends = np.empty(total, np.int64)
        index = window_kernel.observe(window, limits, matches, 0, ends)
        while index != total:
            if index < 0:
                index = -1 - index
                window = _with_more_room(window, limits.kept)
            else:
                if rule is not None:
                    alert = self._alert(number, rule, window, matches, index, columns)
                    raised.append((int(matches.rows[index]), number, alert))
                index += 1
            index = window_kernel.observe(window, limits, matches, index, ends)
        self.windows[number] = window
        matching = ends != windows.NEVER
        return Found(matches.rows[matching], ends[matching])

    def _alert(
        self,
        number: int,
        rule: Rule,
        window: Window,
        matches: Matches,
        index: int,
        columns: Columns,
    ) -> Alert:
        correlation, row = self.rules.correlations[number], int(matches.rows[index])
        slot = int(window.tally[windows.ALERTED])
        end = int(window.tally[windows.ENDED])
        places = windows.events_within(window, slot, end - correlation.span_ms, end)
        addresses = columns.vocabularies["source_ip"]
        evidence = Evidence(
            times=window.times[places].tolist(),
            ips=[None if ip < 0 else str(addresses[ip]) for ip in window.ips[places].tolist()],
            event_ids=[
                window.ids[place, : window.lengths[place]].tobytes().decode() for place in places
            ],
            escalated=bool(window.tally[windows.ESCALATED]),
        )
        entity = [_word(name, columns, row) for name in correlation.group_by]
        event = {name: _word(name, columns, row) for name in ("user", *rule.fields)}
        return rule.alert(entity, int(columns.batch.times[row]), event, evidence)


def _word(name: str, columns: Columns, row: int) -> str:
    """Return a field of an event in words."""
    place, vocabulary = CODED[name]
    code = int(columns.batch.codes[place, row])
    if code < 0:
        return "none"
    value = str(columns.vocabularies[vocabulary][code])
    return country_of(value) or "none" if name == COUNTRY else value


def _limits(correlation: Correlation) -> Limits:
    return Limits(
        kind=_KINDS[correlation.kind],
        threshold=correlation.threshold,
        span=correlation.span_ms,
        quiet=correlation.quiet_ms,
        again=correlation.again_ms,
        escalated=correlation.escalated,
        kept=correlation.kept,
    )


def _matches(correlation: Correlation, columns: Columns, parts: list[Found]) -> Matches:
    """Return the events that a correlation takes: those of its sources with an entity."""
    rows, times = parts[0]
    values = np.zeros(len(rows), np.int64)
    if len(parts) > 1:
        rows = np.concatenate([part.rows for part in parts])
        times = np.concatenate([part.times for part in parts])
        values = np.repeat(np.arange(len(parts)), [len(part.rows) for part in parts])
        order = np.argsort(rows, kind="stable")
        rows, times, values = rows[order], times[order], values[order]
    keys = _keys(correlation, columns, rows)
    taken = keys >= 0
    if correlation.value is not None:
        values = _codes(correlation.value, columns, rows)
        taken &= values >= 0
    if not taken.all():
        rows, times, values, keys = rows[taken], times[taken], values[taken], keys[taken]
    batch = columns.batch
    ips = batch.codes[at.IP][rows]
    return Matches(rows, keys, values, times, ips, batch.id_ends, batch.id_bytes)


def _with_more_room(window: Window, kept: int) -> Window:
    grown = windows.with_more_room(window, kept)
    if grown.table is not window.table:
        window_kernel.fill_slots(grown.table, grown.keys, grown.tally[windows.SLOTS])
    return grown


def _keys(correlation: Correlation, columns: Columns, rows: Ints) -> Ints:
    """Return the entities of rows, -1 where a field of it is absent."""
    keys = _codes(correlation.group_by[0], columns, rows)
    for name in correlation.group_by[1:]:
        codes = _codes(name, columns, rows)
        keys = np.where((keys < 0) | (codes < 0), -1, (keys << _SECOND_FIELD) | codes)
    return keys


def _codes(name: str, columns: Columns, rows: Ints) -> Ints:
    """Return the codes of an interned field, -1 where it is absent."""
    place, _ = CODED[name]
    codes: Ints = columns.batch.codes[place][rows]
    if name == COUNTRY:
        codes = columns.batch.countries[codes]
    return np.where(codes == at.UNKNOWN, -1, codes) if name == "user" else codes
