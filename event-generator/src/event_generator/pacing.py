"""Release events at a steady rate."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

SHORTEST_WAIT_SECONDS = 0.005
LONGEST_WAIT_SECONDS = 0.05


@dataclass(slots=True)
class Pacer:
    """Say how many events are due now.

    Event ``n`` is due ``n / rate`` seconds after the first. After a hold-up (a broker that was
    away) everything that became due meanwhile is released at once, so a run keeps its schedule.

    Attributes:
        rate: Events per second; 0 releases everything at once.
        now: Monotonic clock, seconds.
        wait: Sleeps for so many seconds.
    """

    rate: float
    now: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = time.sleep  # pacing is waiting: nothing signals a due event
    _started: float | None = field(default=None, init=False)
    _released: int = field(default=0, init=False)

    def elapsed(self) -> float:
        """Return the seconds since the first event was released; 0 before it."""
        return 0.0 if self._started is None else self.now() - self._started

    def due(self, limit: int, stopped: Callable[[], bool]) -> int:
        """Wait until at least one event is due and return how many are, at most ``limit``.

        Returns 0 only when ``stopped`` said so while nothing was due.
        """
        if self._started is None:
            self._started = self.now()
        while True:
            ready = (
                limit if self.rate == 0 else int(self.elapsed() * self.rate) + 1 - self._released
            )
            if ready > 0:
                released = min(ready, limit)
                self._released += released
                return released
            if stopped():
                return 0
            pause = self._released / self.rate - self.elapsed()
            self.wait(min(max(pause, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS))
