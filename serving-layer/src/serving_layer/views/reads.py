"""Merged answers: batch rows below the seam, realtime rows from it on, as one list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from contracts.api import Count, Source, Summary
from serving_layer.cases.states import NO_CASES, Cases
from serving_layer.views.alert_list import AlertEntry, Order
from serving_layer.views.index import EventIndex
from serving_layer.views.keys import Key
from serving_layer.views.query import EventFilter
from serving_layer.views.snapshot import Snapshot

T = TypeVar("T")


class Row(NamedTuple):
    """One event of a snapshot, where it is held, and its coordinates."""

    owner: EventIndex
    position: int
    source: Source
    stream: int
    offset: int

    @property
    def key(self) -> Key:
        return self.owner.key(self.position)

    @property
    def is_anomaly(self) -> bool:
        return bool(self.owner.columns.is_anomaly[self.position])


def gathered(rows: Sequence[Row], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what is known of many rows, and the named cold columns, in the rows' order."""
    owners: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        owners.setdefault(id(row.owner), []).append(place)
    values: list[dict[str, Any]] = [{}] * len(rows)
    for places in owners.values():
        positions = np.array([rows[place].position for place in places], dtype=np.int64)
        index = rows[places[0]].owner
        cold = index.gather(positions, names)
        for place, each, more in zip(places, index.narrow(positions), cold, strict=True):
            each.update(zip(names, more, strict=True))
            values[place] = each
    return values


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """One page of a merged list.

    Attributes:
        items: At most as many as were asked for, in merged order.
        more: Whether others follow.
        sources: Items by the layer they came from.
    """

    items: list[T]
    more: bool
    sources: dict[Source, int]


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Conditions on alerts that all must hold; times as in ``EventFilter``.

    ``status``, ``verdict``, ``assignee`` and ``resolved`` ask for the alert's case.
    """

    severity: str | None = None
    user: str | None = None
    rule: str | None = None
    resolved: bool | None = None
    start_time: int | None = None
    end_time: int | None = None
    status: str | None = None
    verdict: str | None = None
    assignee: str | None = None
    suppressed: bool | None = None

    def matches(self, record: dict[str, Any], cases: Cases = NO_CASES) -> bool:
        """Whether an alert fulfils every condition."""
        return (
            self.severity in (None, record["severity"])
            and self.user in (None, record["user_id"])
            and (self.rule is None or self.rule in (record["rule_id"], record["alert_type"]))
            and (self.start_time is None or record["timestamp"] >= self.start_time)
            and (self.end_time is None or record["timestamp"] < self.end_time)
            and self._matches_case(record, cases)
        )

    def _matches_case(self, record: dict[str, Any], cases: Cases) -> bool:
        case = cases.case(record["alert_id"])
        return (
            self.status in (None, case.status)
            and self.verdict in (None, case.verdict)
            and self.assignee in (None, case.assignee)
            and self.resolved in (None, record["resolved"] or case.status == "resolved")
            and (
                self.suppressed is None
                or self.suppressed == (cases.suppressed_by(record) is not None)
            )
        )


def event_page(
    snapshot: Snapshot, wanted: EventFilter, after: Key | None, limit: int
) -> Found[Row]:
    """Return the first ``limit`` matching events behind ``after``."""
    indexes = [*snapshot.batch.indexes, *snapshot.realtime.indexes]
    firsts = [index.select(wanted, after, limit + 1) for index in indexes]
    chosen = [i for i, positions in enumerate(firsts) if len(positions)]
    if not chosen:
        return Found([], more=False, sources={"batch": 0, "realtime": 0})
    owners = np.repeat(chosen, [len(firsts[i]) for i in chosen])
    positions = np.concatenate([firsts[i] for i in chosen])
    keys = [
        np.concatenate([getattr(indexes[i].columns, name)[firsts[i]] for i in chosen])
        for name in ("negative_offset", "stream", "negative_timestamp")
    ]
    order = np.lexsort(keys)
    first = order[:limit]
    batch_indexes = len(snapshot.batch.indexes)
    rows = [
        Row(
            indexes[owner],
            position,
            "batch" if owner < batch_indexes else "realtime",
            stream,
            offset,
        )
        for owner, position, stream, offset in zip(
            owners[first].tolist(),
            positions[first].tolist(),
            keys[1][first].tolist(),
            (-keys[0][first]).tolist(),
            strict=True,
        )
    ]
    return Found(rows, more=len(order) > limit, sources=_sources([row.source for row in rows]))


def event_by_id(snapshot: Snapshot, event_id: str) -> Row | None:
    """Return the event with this id; of several, the one with the lowest coordinates."""
    rows = [
        _row(index, position, source)
        for source, indexes in _layers(snapshot)
        for index in indexes
        for position in index.find(event_id).tolist()
    ]
    return min(rows, key=lambda row: (row.stream, row.offset), default=None)


def count(snapshot: Snapshot, wanted: EventFilter) -> Count:
    """Count matching events; pre-aggregated rows answer for the batch view where they can."""
    batch = snapshot.batch
    if wanted.only_type_and_status() and (wanted.event_type or wanted.status):
        in_batch = batch.aggregates.count(wanted)
    else:
        in_batch = sum(index.count(wanted) for index in batch.indexes)
    in_realtime = sum(index.count(wanted) for index in snapshot.realtime.indexes)
    return Count(
        count=in_batch + in_realtime,
        batch=in_batch,
        realtime=in_realtime,
        complete=snapshot.complete,
    )


def summary(snapshot: Snapshot, analyses: int) -> Summary:
    """Return totals: batch aggregates plus realtime aggregates."""
    events = count(snapshot, EventFilter())
    anomalies = count(snapshot, EventFilter(anomalies_only=True))
    sums, indexes = snapshot.batch.aggregates, snapshot.realtime.indexes
    scored = sums.threat_score_count + sum(index.threat_count for index in indexes)
    total = sums.threat_score_sum + sum(index.threat_sum for index in indexes)
    return Summary(
        totalEvents=events.count,
        highThreatEvents=sums.high_threat_events + sum(index.high_threat for index in indexes),
        averageThreatScore=total / scored if scored else 0.0,
        totalAnalyses=analyses,
        totalAnomalies=anomalies.count,
        batchEvents=events.batch,
        realtimeEvents=events.realtime,
        complete=snapshot.complete,
    )


def alert_page(
    snapshot: Snapshot,
    wanted: AlertFilter,
    after: Order | None,
    limit: int,
    cases: Cases = NO_CASES,
) -> Found[tuple[AlertEntry, Source]]:
    """Return the first ``limit`` matching alerts behind ``after``."""
    layers: list[tuple[Source, list[AlertEntry]]] = [
        ("batch", snapshot.batch.alerts.after(after, wanted.user)),
        ("realtime", snapshot.realtime.alerts.after(after, wanted.user)),
    ]
    found: list[tuple[AlertEntry, Source]] = []
    for source, entries in layers:
        matching = (each for each in entries if wanted.matches(each.record, cases))
        found.extend((each, source) for each, _ in zip(matching, range(limit + 1), strict=False))
    found.sort(key=lambda item: item[0].order)
    page = found[:limit]
    return Found(page, more=len(found) > limit, sources=_sources([source for _, source in page]))


def alert_count(snapshot: Snapshot, wanted: AlertFilter, cases: Cases = NO_CASES) -> Count:
    """Count matching alerts: as many as ``alert_page`` lists, page after page."""
    in_batch, in_realtime = (
        len(held.merged)
        if wanted == AlertFilter()
        else sum(wanted.matches(each.record, cases) for each in held.of(wanted.user))
        for held in (snapshot.batch.alerts, snapshot.realtime.alerts)
    )
    return Count(
        count=in_batch + in_realtime,
        batch=in_batch,
        realtime=in_realtime,
        complete=snapshot.complete,
    )


def alert_by_id(snapshot: Snapshot, alert_id: str) -> tuple[AlertEntry, Source] | None:
    """Return the alert with this id and the layer that holds it."""
    if (each := snapshot.batch.alerts.by_id.get(alert_id)) is not None:
        return each, "batch"
    if (each := snapshot.realtime.alerts.by_id.get(alert_id)) is not None:
        return each, "realtime"
    return None


def _row(index: EventIndex, position: int, source: Source) -> Row:
    key = index.key(position)
    return Row(index, position, source, key.stream, key.offset)


def _layers(snapshot: Snapshot) -> list[tuple[Source, tuple[EventIndex, ...]]]:
    return [("batch", snapshot.batch.indexes), ("realtime", snapshot.realtime.indexes)]


def _sources(sources: Sequence[Source]) -> dict[Source, int]:
    return {"batch": sources.count("batch"), "realtime": sources.count("realtime")}
