"""A circuit breaker: after repeated failures nothing is asked for a while."""

import time
from collections.abc import Callable


class Breaker:
    """Open for ``seconds`` after ``failures`` in a row; then one call may try."""

    def __init__(
        self, failures: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures = failures
        self._seconds = seconds
        self._clock = clock
        self._in_a_row = 0
        self._open_until = 0.0

    def is_open(self) -> bool:
        """Say whether calls are to be left out. After the pause, the first caller tries."""
        if self._in_a_row < self._failures:
            return False
        if self._clock() < self._open_until:
            return True
        self._open_until = self._clock() + self._seconds
        return False

    def succeeded(self) -> None:
        """Close it."""
        self._in_a_row = 0

    def failed(self) -> None:
        """Count a failure; open it when there were enough."""
        self._in_a_row += 1
        if self._in_a_row >= self._failures:
            self._open_until = self._clock() + self._seconds
