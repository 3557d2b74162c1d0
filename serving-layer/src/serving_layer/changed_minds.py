"""Remembers where a newly published run judged otherwise than what was served before."""

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass

from serving_layer.views.changes import Change, changes, withdrawn_alerts
from serving_layer.views.snapshot import Snapshot, Views

logger = logging.getLogger(__name__)

KEPT = 50_000
"""Changes of mind in memory, since this process started; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """The exchange at which a mind was changed; ``at`` in Unix ms."""

    run_id: str | None
    at: int


class ChangedMinds:
    """Compares the old view with the new one, in a thread, at every exchange of the batch view."""

    def __init__(self, views: Views) -> None:
        self.since = int(time.time() * 1000)
        self.total = 0
        self._events: OrderedDict[str, tuple[Exchange, Change]] = OrderedDict()
        self._alerts: OrderedDict[str, Exchange] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        views.listeners.append(self._on_exchange)

    def of_event(self, event_id: str) -> tuple[Exchange, Change] | None:
        """Return the newest change of mind about an event."""
        return self._events.get(event_id)

    def of_alert(self, alert_id: str) -> Exchange | None:
        """Return the exchange at which an alert was withdrawn."""
        return self._alerts.get(alert_id)

    def _on_exchange(self, old: Snapshot, new: Snapshot) -> None:
        if old is new or old.batch is new.batch:
            return
        task = asyncio.get_running_loop().create_task(self._compare(old, new))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _compare(self, old: Snapshot, new: Snapshot) -> None:
        exchange = Exchange(new.batch.run_id, int(time.time() * 1000))
        try:
            total, found = await asyncio.to_thread(changes, old, new)
            withdrawn = await asyncio.to_thread(lambda: list(withdrawn_alerts(old, new)))
        except Exception:  # only explanations are lost; serving goes on
            logger.exception(
                "comparing run %s with what was served before",
                exchange.run_id,
                extra={"run_id": exchange.run_id},
            )
            return
        self.total += total
        for change in found:
            self._events[change.event_id] = (exchange, change)
            self._events.move_to_end(change.event_id)
        for alert_id in withdrawn:
            self._alerts[alert_id] = exchange
        for kept in (self._events, self._alerts):
            while len(kept) > KEPT:
                kept.popitem(last=False)
        if total:
            logger.info(
                "run %s changes its mind about %d events",
                exchange.run_id,
                total,
                extra={"run_id": exchange.run_id},
            )
