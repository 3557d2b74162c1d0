"""Where a published run judges an event otherwise than the view that held it before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from contracts.api import Source
from contracts.views import COMPONENTS
from serving_layer.views.index import EventIndex
from serving_layer.views.snapshot import Snapshot
from serving_layer.views.stored import PARTS

MOST_CHANGES = 10_000
"""Changes of one exchange that are told in full; more are only counted."""

_OFFSET_BITS = 44
_SAME_SCORE = 1e-9
_MOVED_AT_LEAST = 0.01

Kind = Literal["removed", "cleared", "raised", "rescored"]


@dataclass(frozen=True, slots=True)
class Word:
    """What a view says of an event; ``anomaly_score`` is None where it was not scored."""

    source: Source
    run_id: str | None
    is_anomaly: bool
    anomaly_score: float | None
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True)
class Change:
    """One changed judgement; ``after`` is None for an event that the run does not hold."""

    event_id: str
    kind: Kind
    before: Word
    after: Word | None
    moved: dict[str, tuple[float, float]]
    """Components of the score that moved: before, after."""

    def reason(self) -> str:
        """Return why, in words."""
        if self.after is None:
            return "the run found an earlier event with the same id and removed this one"
        parts = [
            f"{name} {'rose' if after > before else 'fell'} from {before:.2f} to {after:.2f}"
            for name, (before, after) in self.moved.items()
        ]
        return "; ".join(parts) or "no component of the score moved"


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of several indexes, sorted by coordinate."""

    indexes: Sequence[EventIndex]
    coordinate: npt.NDArray[np.int64]
    owner: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    is_anomaly: npt.NDArray[np.bool_]
    score: npt.NDArray[np.float64]


def changes(old: Snapshot, new: Snapshot) -> tuple[int, list[Change]]:
    """Return how many events the new run judges otherwise, and the first ``MOST_CHANGES``.

    Only what the run owns is compared, and no index that both snapshots share.
    """
    shared = {id(index) for index in old.batch.indexes} & {id(each) for each in new.batch.indexes}
    held = [*old.batch.indexes, *old.realtime.indexes]
    before = _rows([index for index in held if id(index) not in shared], new.batch.seam)
    after = _rows([each for each in new.batch.indexes if id(each) not in shared], new.batch.seam)
    if not len(before.coordinate):
        return 0, []
    at = np.searchsorted(after.coordinate, before.coordinate)
    inside = np.minimum(at, max(0, len(after.coordinate) - 1))
    if len(after.coordinate):
        found = after.coordinate[inside] == before.coordinate
        other = after.is_anomaly[inside]
        moved = ~np.isclose(after.score[inside], before.score, 0, _SAME_SCORE, equal_nan=True)
    else:
        found = other = moved = np.zeros(len(before.coordinate), np.bool_)
    was = before.is_anomaly
    differs = (was & ~found) | (found & ((was != other) | (was & moved)))
    places = np.flatnonzero(differs)
    told = (_change(old, new, before, after, p, inside[p], found[p]) for p in places[:MOST_CHANGES])
    return len(places), list(told)


def withdrawn_alerts(old: Snapshot, new: Snapshot) -> Iterator[str]:
    """Yield ids of alerts that a view raised and the run, which owns their events, does not."""
    seam = new.batch.seam
    for alerts in (old.batch.alerts, old.realtime.alerts):
        if alerts is new.batch.alerts:
            continue
        for each in alerts.merged:
            known = new.batch.alerts.by_id.get(each.alert_id)
            if known is None and each.offset < seam.get(each.stream, 0):
                yield each.alert_id


def _rows(indexes: Sequence[EventIndex], seam: dict[int, int]) -> _Rows:
    """Return the rows below a seam."""
    parts: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]] = []
    for number, index in enumerate(indexes):
        for stream in index.streams.tolist():
            offsets = -index.columns.negative_offset
            mask = (index.columns.stream == stream) & (offsets < seam.get(stream, 0))
            positions = np.flatnonzero(mask)
            # Offsets below 2**44 leave room for the stream: 17 million million records.
            parts.append((offsets[positions] | (stream << _OFFSET_BITS), positions, number))
    empty = np.empty(0, np.int64)
    coordinate = np.concatenate([empty, *(each[0] for each in parts)])
    position = np.concatenate([empty, *(each[1] for each in parts)])
    owner = np.concatenate([empty, *(np.full(len(each[0]), each[2]) for each in parts)])
    flags = [indexes[n].columns.is_anomaly[p] for _, p, n in parts]
    scores = [indexes[n].columns.anomaly_score[p] for _, p, n in parts]
    order = np.argsort(coordinate, kind="stable")
    return _Rows(
        indexes,
        coordinate[order],
        owner[order],
        position[order],
        np.concatenate([np.empty(0, np.bool_), *flags])[order],
        np.concatenate([np.empty(0), *scores])[order],
    )


def _change(
    old: Snapshot, new: Snapshot, before: _Rows, after: _Rows, at: int, place: int, found: bool
) -> Change:
    event_id, was, parts = _told(old, before, at)
    if not found:
        return Change(event_id, "removed", was, None, {})
    _, says, new_parts = _told(new, after, place)
    moved = {
        name: (low, high)
        for name, low, high in zip(COMPONENTS, parts, new_parts, strict=True)
        if abs(high - low) >= _MOVED_AT_LEAST
    }
    kind: Kind = "rescored"
    if was.is_anomaly != says.is_anomaly:
        kind = "raised" if says.is_anomaly else "cleared"
    return Change(event_id, kind, was, says, moved)


def _told(snapshot: Snapshot, rows: _Rows, at: int) -> tuple[str, Word, list[float]]:
    """Return an event's id, what its view says of it, and the components."""
    index, position = rows.indexes[rows.owner[at]], rows.position[at : at + 1]
    [(event_id, reasons, parts)] = index.gather(position, ("event_id", "reasons", PARTS))
    is_batch = any(index is each for each in snapshot.batch.indexes)
    score = float(rows.score[at])
    word = Word(
        source="batch" if is_batch else "realtime",
        run_id=snapshot.batch.run_id if is_batch else None,
        is_anomaly=bool(rows.is_anomaly[at]),
        anomaly_score=None if np.isnan(score) else score,
        reasons=reasons or [],
    )
    return event_id, word, np.nan_to_num(np.asarray(parts, np.float64)).tolist()
