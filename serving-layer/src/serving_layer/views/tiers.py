"""Which indexes to merge, so that there are always few and each row is merged rarely."""

from collections.abc import Sequence

from serving_layer.views.index import EventIndex, merged
from serving_layer.views.scratch import Scratch

FANOUT = 8
_SMALLEST_LEVEL_ROWS = 64


def level(rows: int) -> int:
    """Return the tier of an index of so many rows; each tier is ``FANOUT`` times the last.

    Examples:
        >>> [level(rows) for rows in (1, 64, 512, 4096)]
        [0, 1, 2, 3]
    """
    tier, size = 0, _SMALLEST_LEVEL_ROWS
    while rows >= size:
        tier, size = tier + 1, size * FANOUT
    return tier


def mergeable(indexes: Sequence[EventIndex]) -> list[EventIndex]:
    """Return indexes of the lowest tier that holds ``FANOUT`` of them, else nothing."""
    tiers: dict[int, list[EventIndex]] = {}
    for index in indexes:
        tiers.setdefault(level(len(index)), []).append(index)
    full = [tier for tier, members in tiers.items() if len(members) >= FANOUT]
    return tiers[min(full)] if full else []


def replaced(
    indexes: Sequence[EventIndex], old: Sequence[EventIndex], new: EventIndex
) -> tuple[EventIndex, ...]:
    """Return ``indexes`` with ``old`` exchanged for ``new``."""
    gone = {id(index) for index in old}
    return (*(index for index in indexes if id(index) not in gone), new)


def compacted(
    indexes: Sequence[EventIndex], max_rows: int | None = None, scratch: Scratch | None = None
) -> tuple[EventIndex, ...]:
    """Merge full tiers until none is left, or until a merge would exceed ``max_rows``.

    Raises:
        OSError: The disk does not take what goes into ``scratch``.
    """
    current = tuple(indexes)
    while (group := mergeable(current)) and (
        max_rows is None or sum(len(index) for index in group) <= max_rows
    ):
        current = replaced(current, group, merged(group, scratch))
    return current
