"""Event times over several days, denser in business hours."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from event_generator.transactions.vocabulary import HOUR_WEIGHTS

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class BusinessClock:
    """Ascending event times of ``count`` events that fill ``[start, start + span)``.

    The n-th event happens when its share of all the span's business is done.
    """

    start_ms: int
    span_ms: int
    count: int

    def times(self, first: int, count: int) -> NDArray[np.int64]:
        """Return the event times of events ``first`` to ``first + count``, Unix ms."""
        edges, done = self._business
        shares = np.arange(first, first + count) / self.count * done[-1]
        moments: NDArray[np.int64] = np.interp(shares, done, edges).astype(np.int64)
        return moments

    @cached_property
    def _business(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the edges of the span's hours, and the business done until each of them."""
        end_ms = self.start_ms + self.span_ms
        hours = np.arange(self.start_ms // HOUR_MS, (end_ms - 1) // HOUR_MS + 1)
        edges = np.concatenate([[self.start_ms], hours[1:] * HOUR_MS, [end_ms]])
        done = np.cumsum(np.diff(edges) * np.array(HOUR_WEIGHTS)[hours % 24])
        return edges, np.concatenate([[0.0], done])
