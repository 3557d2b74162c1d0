"""What a stream of events hands to whoever writes it."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Batch:
    """Successive events, ready to write.

    Attributes:
        keys: Topic key of each event.
        values: Each event as one line of JSON, ASCII only.
        labels: Ground truth: position in this batch and one line of JSON, by position.
    """

    keys: list[str]
    values: list[str]
    labels: list[tuple[int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)


class EventStream(Protocol):
    """An endless, reproducible stream of events, cut into batches."""

    def batch(self, index: int) -> Batch:
        """Return the ``index``-th batch; the same index gives the same bytes."""
        ...
