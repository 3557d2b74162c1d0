"""Alerts in memory, in the merged order and by the offset that raised them."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
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


def entry(record: Record) -> AlertEntry:
    """Return the entry of a record."""
    stream = stream_code(record["topic"], record["partition"])
    return AlertEntry((-record["timestamp"], stream, -record["offset"], record["alert_id"]), record)


class AlertList:
    """An immutable set of alerts."""

    def __init__(self, entries: Iterable[AlertEntry] = ()) -> None:
        self.merged = sorted(entries, key=lambda each: each.order)
        self._orders = [each.order for each in self.merged]
        self.by_id: dict[str, AlertEntry] = {}
        self._by_stream: dict[int, list[AlertEntry]] = {}
        for each in sorted(self.merged, key=_raised):
            self.by_id.setdefault(each.alert_id, each)
            self._by_stream.setdefault(each.stream, []).append(each)

    def __len__(self) -> int:
        return len(self.merged)

    def extended(self, records: Iterable[Record]) -> "AlertList":
        """Return a list that holds ``records`` too; one that is held already counts once."""
        new = {each.order: each for each in map(entry, records)}
        known = set(self._orders)
        added = [each for order, each in new.items() if order not in known]
        return AlertList([*self.merged, *added]) if added else self

    def above(self, firsts: Mapping[int, int]) -> "AlertList":
        """Return only alerts raised at or above the given offset of their stream."""
        kept = [each for each in self.merged if each.offset >= firsts.get(each.stream, 0)]
        return self if len(kept) == len(self.merged) else AlertList(kept)

    def below(self, seam: Mapping[int, int]) -> "AlertList":
        """Return only alerts raised below the given offset of their stream."""
        return AlertList(each for each in self.merged if each.offset < seam.get(each.stream, 0))

    def after(self, order: Order | None) -> list[AlertEntry]:
        """Return entries behind ``order``, newest first."""
        return self.merged if order is None else self.merged[self._behind(order) :]

    def raised(self, stream: int, offset: int) -> list[AlertEntry]:
        """Return a stream's alerts raised at or after ``offset``, in the order of offsets."""
        entries = self._by_stream.get(stream, [])
        return entries[bisect_left(entries, (offset, ""), key=_raised_in_stream) :]

    @property
    def streams(self) -> set[int]:
        return set(self._by_stream)

    def _behind(self, order: Order) -> int:
        at = bisect_left(self._orders, order)
        return at + (at < len(self._orders) and self._orders[at] == order)


def _raised(each: AlertEntry) -> tuple[int, int, str]:
    return (each.stream, each.offset, each.alert_id)


def _raised_in_stream(each: AlertEntry) -> tuple[int, str]:
    return (each.offset, each.alert_id)
