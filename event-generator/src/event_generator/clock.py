"""Event time of the n-th event, fixed by the arguments alone and never by when it is sent."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNPACED_RATE = 100_000.0
"""Events per second of event time when the rate is 0, as fast as possible."""

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class EventClock:
    """Evenly spaced event times.

    Attributes:
        start_ms: Event time of the first event, Unix ms.
        step_ms: Event time between two events, ms; may be a fraction.
    """

    start_ms: int
    step_ms: float

    @classmethod
    def at_rate(cls, start_ms: int, rate: float) -> "EventClock":
        """Return a clock that follows ``rate`` events per second; 0 means unpaced."""
        return cls(start_ms, 1000 / (rate or UNPACED_RATE))

    @classmethod
    def over_span(cls, start_ms: int, span_seconds: float, count: int) -> "EventClock":
        """Return a clock whose ``count`` events fill ``[start, start + span)``."""
        return cls(start_ms, span_seconds * 1000 / count)

    def times(self, first: int, count: int) -> NDArray[np.int64]:
        """Return the event times of events ``first`` to ``first + count``, Unix ms."""
        passed = np.arange(first, first + count, dtype=np.float64) * self.step_ms
        return self.start_ms + passed.astype(np.int64)
