"""The partitions this process was assigned, and what each is waiting for."""

import time
from dataclasses import dataclass, field

from speed_layer.kafka import Key
from speed_layer.partition import Partition, Processed
from speed_layer.publisher import Lane

_FIRST_RETRY_SECONDS = 0.1


@dataclass(slots=True)
class Slot:
    """One assigned partition.

    Attributes:
        key: Topic and partition.
        partition: Its store and state, None until opened.
        lane: Its outbox on the way out.
        fetching: The client delivers its records.
        pending: A micro-batch that the store did not take yet; its records are not delivered
            meanwhile, and are asked for again behind it.
        problem: Why it does not move, in words; empty when it does.
        high_watermark: End of its log when last asked.
        log_start: First offset of its log when opened.
    """

    key: Key
    partition: Partition | None = None
    lane: Lane = field(default_factory=Lane)
    assigned_to_client: bool = False
    fetching: bool = False
    pending: Processed | None = None
    problem: str = "opening"
    high_watermark: int = 0
    not_before: float = 0.0
    pause_seconds: float = _FIRST_RETRY_SECONDS

    def wait(self, problem: str, longest_seconds: float) -> bool:
        """Note a problem and when to try again; true when the problem is a new one."""
        is_new = problem != self.problem
        self.problem = problem
        self.not_before = time.monotonic() + self.pause_seconds
        self.pause_seconds = min(self.pause_seconds * 2, longest_seconds)
        return is_new

    def recovered(self) -> None:
        """Note that nothing is wrong any more."""
        self.problem = ""
        self.not_before = 0.0
        self.pause_seconds = _FIRST_RETRY_SECONDS

    def due(self) -> bool:
        """Return whether it is time to try again."""
        return time.monotonic() >= self.not_before
