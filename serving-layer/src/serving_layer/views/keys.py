"""The merged order: timestamp descending, topic, partition, offset descending."""

from typing import NamedTuple


class Key(NamedTuple):
    """Where a row stands in the merged order; ascending tuples are newest first."""

    negative_timestamp: int
    stream: int
    negative_offset: int

    @classmethod
    def of(cls, timestamp: int, stream: int, offset: int) -> "Key":
        """Return the key of a row."""
        return cls(-timestamp, stream, -offset)

    @property
    def timestamp(self) -> int:
        return -self.negative_timestamp

    @property
    def offset(self) -> int:
        return -self.negative_offset
