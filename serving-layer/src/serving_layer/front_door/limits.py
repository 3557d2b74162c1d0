"""How much one key, and all clients together, may ask for."""

import time
from collections import OrderedDict
from collections.abc import Callable

_REMEMBERED = 10_000


class RateLimit:
    """A token bucket per key: ``rate`` requests a second, twice that at once."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = max(1.0, 2 * rate)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_seconds(self, who: str) -> float:
        """Take a token and return 0, or return how long to wait for one."""
        now = self._clock()
        tokens, seen = self._buckets.pop(who, (self._burst, now))
        tokens = min(self._burst, tokens + (now - seen) * self._rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        self._buckets[who] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        return wait


class Slots:
    """A number of things that may go on at once."""

    def __init__(self, most: int) -> None:
        self._free = most

    def take(self) -> bool:
        """Take a slot if one is free."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    def give_back(self) -> None:
        """Free a slot that was taken."""
        self._free += 1
