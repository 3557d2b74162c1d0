"""Alerts in memory, in the merged order and by the offset that raised them."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from serving_layer.views.streams import stream_code

Record = dict[str, Any]
"""A snake_case alert with the topic, partition and offset of the event that raised it."""

Order = tuple[int, int, int, str]
"""(-timestamp, stream, -offset, alert_id): ascending is newest first."""


@dataclass(frozen=True, slots=True)
class AlertEntry:
    """One alert and where it stands."""

    order: Order
    record: Record = field(compare=False)

    @property
    def stream(self) -> int:
        return self.order[1]

    @property
    def offset(self) -> int:
        return -self.order[2]

    @property
    def alert_id(self) -> str:
        return self.order[3]

    @property
    def user(self) -> str:
        user: str = self.record["user_id"]
        return user


def entry(record: Record) -> AlertEntry:
    """Return the entry of a record."""
    stream = stream_code(record["topic"], record["partition"])
    return AlertEntry((-record["timestamp"], stream, -record["offset"], record["alert_id"]), record)


class AlertList:
    """An immutable set of alerts.

    Attributes:
        merged: All of them, newest first.
        by_id: By alert id; of several, the one raised first.
        by_user: Of each user, newest first.
        by_stream: Of each stream, in the order of the offsets that raised them.
    """

    def __init__(self, entries: Iterable[AlertEntry] = ()) -> None:
        self.merged = sorted(entries, key=_order)
        self.by_id: dict[str, AlertEntry] = {}
        self.by_user: dict[str, list[AlertEntry]] = {}
        self.by_stream: dict[int, list[AlertEntry]] = {}
        for each in self.merged:
            self.by_user.setdefault(each.user, []).append(each)
        for each in sorted(self.merged, key=_raised):
            self.by_id.setdefault(each.alert_id, each)
            self.by_stream.setdefault(each.stream, []).append(each)

    def __len__(self) -> int:
        return len(self.merged)

    def extended(self, records: Iterable[Record]) -> "AlertList":
        """Return a list that holds ``records`` too; one that is held already counts once."""
        new = {each.order: each for each in map(entry, records)}
        added = [each for each in new.values() if not self._holds(each)]
        if not added:
            return self
        if len(added) > len(self):
            return AlertList([*self.merged, *added])
        # Few come to many, again and again: only the lists that they go into are copied.
        longer = copy(self)
        longer.merged = _with(self.merged, added, _order)
        longer.by_id = self.by_id.copy()
        longer.by_user = self.by_user.copy()
        longer.by_stream = self.by_stream.copy()
        for each in added:
            of_user = longer.by_user.get(each.user, [])
            of_stream = longer.by_stream.get(each.stream, [])
            longer.by_user[each.user] = _with(of_user, [each], _order)
            longer.by_stream[each.stream] = _with(of_stream, [each], _raised)
            first = min(longer.by_id.get(each.alert_id, each), each, key=_raised)
            longer.by_id[each.alert_id] = first
        return longer

    def above(self, firsts: Mapping[int, int]) -> "AlertList":
        """Return only alerts raised at or above the given offset of their stream."""
        kept = [each for each in self.merged if each.offset >= firsts.get(each.stream, 0)]
        return self if len(kept) == len(self.merged) else AlertList(kept)

    def below(self, seam: Mapping[int, int]) -> "AlertList":
        """Return only alerts raised below the given offset of their stream."""
        return AlertList(each for each in self.merged if each.offset < seam.get(each.stream, 0))

    def of(self, user: str | None) -> list[AlertEntry]:
        """Return a user's alerts, or everybody's, newest first."""
        return self.merged if user is None else self.by_user.get(user, [])

    def after(self, order: Order | None, user: str | None = None) -> list[AlertEntry]:
        """Return those of ``of`` behind ``order``."""
        entries = self.of(user)
        return entries if order is None else entries[bisect_right(entries, order, key=_order) :]

    def raised(self, stream: int, offset: int) -> list[AlertEntry]:
        """Return a stream's alerts raised at or after ``offset``, in the order of offsets."""
        entries = self.by_stream.get(stream, [])
        return entries[bisect_left(entries, (stream, offset, "", 0), key=_raised) :]

    @property
    def streams(self) -> set[int]:
        return set(self.by_stream)

    def _holds(self, one: AlertEntry) -> bool:
        at = bisect_left(self.merged, one.order, key=_order)
        return at < len(self.merged) and self.merged[at].order == one.order


def _with(
    entries: list[AlertEntry], added: Iterable[AlertEntry], key: Callable[[AlertEntry], Any]
) -> list[AlertEntry]:
    """Return a copy of sorted entries with others in their places."""
    longer = entries.copy()
    for each in added:
        insort(longer, each, key=key)
    return longer


def _order(each: AlertEntry) -> Order:
    return each.order


def _raised(each: AlertEntry) -> tuple[int, int, str, int]:
    return (each.stream, each.offset, each.alert_id, each.order[0])
