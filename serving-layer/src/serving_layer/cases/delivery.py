"""Send alerts to webhooks in the background: every one, at least once, with growing pauses."""

import asyncio
import logging
import random
import time

import httpx

from serving_layer.alert_stream import (
    AlertBell,
    advance,
    format_positions,
    parse_positions,
    pending,
    positions_now,
)
from serving_layer.cases.outbox import Message, Outbox
from serving_layer.cases.states import Cases
from serving_layer.cases.store import now_ms
from serving_layer.cases.webhooks import Webhook
from serving_layer.metrics import Metrics
from serving_layer.views.snapshot import Views

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_AT_ONCE = 20
_TIMEOUT_SECONDS = 10.0
_LAST_PAUSE_SECONDS = 600.0


class Delivery:
    """Keeps an outbox of messages and works it off, each target on its own."""

    def __init__(
        self,
        targets: list[Webhook],
        outbox: Outbox,
        cases: Cases,
        metrics: Metrics,
        http: httpx.AsyncClient,
        *,
        attempts: int,
        first_pause_seconds: float,
    ) -> None:
        self.targets = targets
        self.outbox = outbox
        self._cases = cases
        self._metrics = metrics
        self._http = http
        self._attempts = attempts
        self._first_pause = first_pause_seconds
        self._wakes = {target.name: asyncio.Event() for target in targets}

    async def run(self, views: Views, bell: AlertBell) -> None:
        """Deliver until cancelled; without targets there is nothing to do."""
        if not self.targets:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(views, bell))
            for target in self.targets:
                group.create_task(self._work_off(target))

    def wake(self) -> None:
        """Look for due messages now."""
        for wake in self._wakes.values():
            wake.set()

    async def _follow(self, views: Views, bell: AlertBell) -> None:
        """Keep a message of each alert behind the last position, for each target that wants it."""
        while not views.ready:  # before, alerts that are loaded would seem to be new
            await asyncio.sleep(_POLL_SECONDS)
        known = await asyncio.to_thread(self.outbox.positions)
        positions = positions_now(views.current()) if known is None else parse_positions(known)
        await asyncio.to_thread(self.outbox.begin, format_positions(positions))
        while True:
            ring = bell.next_ring()
            for entry, source in pending(views.current(), positions):
                advance(positions, entry)
                bodies = {}
                if self._cases.suppressed_by(entry.record) is None:
                    alert = {**entry.record, "source": source}
                    bodies = {
                        target.name: target.message(alert)
                        for target in self.targets
                        if target.wants(entry.record)
                    }
                await asyncio.to_thread(
                    self.outbox.looked_at,
                    format_positions(positions),
                    entry.alert_id,
                    bodies,
                    now_ms(),
                )
                self.wake()
            await ring.wait()

    async def _work_off(self, target: Webhook) -> None:
        wake = self._wakes[target.name]
        while True:
            wake.clear()
            due = await asyncio.to_thread(self.outbox.due, target.name, now_ms(), _AT_ONCE)
            for message in due:
                await self._attempt(target, message)
            if due:
                continue
            following = await asyncio.to_thread(self.outbox.next_due, target.name)
            pause = None if following is None else max(0.0, (following - now_ms()) / 1000) + 0.001
            try:
                await asyncio.wait_for(wake.wait(), pause)
            except TimeoutError:
                continue

    async def _attempt(self, target: Webhook, message: Message) -> None:
        error = await self._send(target, message)
        if error is None:
            await asyncio.to_thread(self.outbox.delivered, message.number)
            self._metrics.webhooks.labels(target.name, "delivered").inc()
            return
        tried = message.attempts + 1
        dead = tried >= self._attempts
        pause = min(self._first_pause * 2**message.attempts, _LAST_PAUSE_SECONDS)
        due_at = now_ms() + int(pause * random.uniform(0.8, 1.2) * 1000)
        await asyncio.to_thread(self.outbox.failed, message.number, error, due_at, dead=dead)
        self._metrics.webhooks.labels(target.name, "dead" if dead else "failed").inc()
        if dead:
            logger.error("webhook %s given up after %d attempts: %s", target.name, tried, error)

    async def _send(self, target: Webhook, message: Message) -> str | None:
        """Send once and return what went wrong, None if the target took it.

        The answer's body is not read, and redirects are not followed: a target cannot send us
        elsewhere.
        """
        headers = target.headers(message.delivery_id, message.body, int(time.time()))
        try:
            async with self._http.stream(
                "POST",
                str(target.url),
                content=message.body,
                headers=headers,
                timeout=_TIMEOUT_SECONDS,
                follow_redirects=False,
            ) as response:
                if response.is_success:
                    return None
                return f"answers {response.status_code}"
        except httpx.HTTPError as error:
            return str(error) or type(error).__name__
