"""Rendered rows that were asked for lately.

A stored row never changes while one run is served, and first pages are asked for again and again:
most of such a page was rendered for the page before.
"""

from typing import Literal

Kind = Literal["event", "anomaly"]
Identity = tuple[Kind, int, int]
"""Kind of body, stream code, offset."""

GENERATION_ROWS = 8_192


class RenderedRows:
    """JSON of rows, at most two generations of ``GENERATION_ROWS``; the older one is dropped.

    Safe to share between threads: each step is one operation on a dict, and a row that is
    rendered twice is the same bytes.
    """

    def __init__(self) -> None:
        self._young: dict[Identity, bytes] = {}
        self._old: dict[Identity, bytes] = {}

    def get(self, identity: Identity) -> bytes | None:
        """Return the JSON of a row, None if it was not rendered lately."""
        found = self._young.get(identity)
        if found is None:
            found = self._old.get(identity)
            if found is not None:
                self.put(identity, found)
        return found

    def put(self, identity: Identity, body: bytes) -> None:
        """Keep the JSON of a row."""
        if len(self._young) >= GENERATION_ROWS:
            self._old, self._young = self._young, {}
        self._young[identity] = body
