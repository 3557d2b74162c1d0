"""The seams that were served: which run moved them when, and whether the proof held then."""

import time
from collections import deque
from typing import Any

from serving_layer.tail import Tail
from serving_layer.views.accounts import consistency
from serving_layer.views.snapshot import Snapshot, Views
from serving_layer.views.streams import stream_name

KEPT = 20


class SeamHistory:
    """The newest exchanges of the batch view since this process started, newest last."""

    def __init__(self, views: Views, tail: Tail) -> None:
        self._tail = tail
        self._entries: deque[dict[str, Any]] = deque(maxlen=KEPT)
        views.listeners.append(self._on_exchange)

    def newest_first(self) -> list[dict[str, Any]]:
        """Return the exchanges: run, time (Unix ms), seam per partition, what moved."""
        return list(self._entries)[::-1]

    def _on_exchange(self, old: Snapshot, new: Snapshot) -> None:
        is_first = old is new
        if old.batch is new.batch and not is_first:
            return
        before = {} if is_first else old.batch.seam
        account = consistency(new, self._tail.positions())
        self._entries.append(
            {
                "run_id": new.batch.run_id,
                "served_at": int(time.time() * 1000),
                "missing": account.missing,
                "double": account.double,
                "seam": {stream_name(each): at for each, at in sorted(new.batch.seam.items())},
                "moved": {
                    stream_name(each): at - before[each]
                    for each, at in sorted(new.batch.seam.items())
                    if each in before
                },
            }
        )
