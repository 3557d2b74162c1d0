"""The analyst worker: one written explanation per serious alert, from evidence."""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict, deque

from contracts.alerts import Alert
from contracts.api import Analysis, Page
from genai_assistant.assistant import Assistant
from genai_assistant.bodies import Answer
from genai_assistant.callers import ANALYST
from genai_assistant.clock import now_ms
from genai_assistant.errors import NotFoundError, ServingError
from genai_assistant.evidence import REAL_TIME
from genai_assistant.metrics import Metrics
from genai_assistant.plan import Kind, Plan
from genai_assistant.serving_client import Params, ServingClient
from genai_assistant.settings import Settings
from genai_assistant.windows import Window

logger = logging.getLogger(__name__)

SEVERITIES = ("CRITICAL", "HIGH")
PAGE = 200
SWEEP_ROUNDS = 60
"""Lists are ordered by event time: every so many rounds all pages are read, for late alerts."""
REMEMBERED = 20_000
MINUTE_SECONDS = 60.0


def analysis_id(alert_id: str) -> str:
    """Return the id of an alert's analysis: always the same, so that none is written twice."""
    return "analysis_" + hashlib.sha256(alert_id.encode()).hexdigest()[:24]


class Analyst:
    """Polls serious alerts and explains those that have no analysis yet.

    What is done is known to the serving layer, by the analysis' id; a restart asks it again.
    """

    def __init__(
        self,
        assistant: Assistant,
        serving: ServingClient,
        metrics: Metrics,
        settings: Settings,
    ) -> None:
        self._assistant = assistant
        self._serving = serving
        self._metrics = metrics
        self._interval_seconds = settings.analyst_interval_seconds
        self._per_minute = settings.analyst_per_minute
        self._written_at: deque[float] = deque()
        self._rounds = 0
        self._is_behind = True
        self._done: OrderedDict[str, None] = OrderedDict()

    async def run(self) -> None:
        """Work until cancelled; a serving layer that is away is asked again later."""
        while True:
            try:
                await self.work()
            except ServingError as error:
                self._metrics.errors.labels("analyst").inc()
                logger.warning("analyst waits: %s", error)
            # A worker that dies of one odd alert would explain none after it.
            except Exception:
                self._metrics.errors.labels("analyst").inc()
                logger.exception("analyst skips a round")
            await asyncio.sleep(self._interval_seconds)

    async def work(self) -> int:
        """Explain what is new, within the budget of the minute; return how many were written.

        Raises:
            ServingError: If the serving layer cannot be read or written.
        """
        is_sweep = self._is_behind or self._rounds % SWEEP_ROUNDS == 0
        self._rounds += 1
        # Until every page was walked through, a known page does not mean that all is done.
        self._is_behind = is_sweep
        written = 0
        for severity in SEVERITIES:
            cursor: str | None = None
            while self._has_budget():
                page = await self._page(severity, cursor)
                fresh = [alert for alert in page.data if alert.alert_id not in self._done]
                for alert in fresh:
                    if not self._has_budget():
                        self._is_behind = True
                        return written
                    written += await self._explain(alert)
                cursor = page.next_cursor
                if cursor is None or not (fresh or is_sweep):
                    break
            else:
                self._is_behind = True
                return written
        self._is_behind = False
        return written

    async def _page(self, severity: str, cursor: str | None) -> Page[Alert]:
        params: Params = {"severity": severity, "limit": PAGE, "cursor": cursor}
        return await self._serving.get("/api/alerts", Page[Alert], params, REAL_TIME)

    async def _explain(self, alert: Alert) -> int:
        key = analysis_id(alert.alert_id)
        if await self._is_written(key):
            self._remember(alert)
            return 0
        now = now_ms()
        asked = Plan(
            kind=Kind.EXPLAIN_ALERT,
            question=f"Explain alert {alert.alert_id}",
            window=Window(alert.first_seen, alert.last_seen + 1, "1h"),
            alert_id=alert.alert_id,
        )
        answer = await self._assistant.carry_out(asked, asked_by=ANALYST)
        await self._serving.write_analysis(_analysis(key, alert, answer, now))
        self._written_at.append(time.monotonic())
        self._metrics.analyses.labels("written").inc()
        self._remember(alert)
        return 1

    async def _is_written(self, key: str) -> bool:
        try:
            await self._serving.get(f"/api/analyses/{key}", Analysis, {}, REAL_TIME)
        except NotFoundError:
            return False
        return True

    def _has_budget(self) -> bool:
        horizon = time.monotonic() - MINUTE_SECONDS
        while self._written_at and self._written_at[0] <= horizon:
            self._written_at.popleft()
        return len(self._written_at) < self._per_minute

    def _remember(self, alert: Alert) -> None:
        self._done[alert.alert_id] = None
        while len(self._done) > REMEMBERED:
            self._done.popitem(last=False)


def _analysis(key: str, alert: Alert, answer: Answer, now: int) -> Analysis:
    return Analysis(
        id=key,
        event_id=alert.event_ids[-1] if alert.event_ids else alert.alert_id,
        alert_id=alert.alert_id,
        user=alert.user_id,
        severity=alert.severity,
        summary=answer.answer,
        recommended_actions=answer.recommended_actions,
        techniques=alert.techniques,
        confidence=answer.confidence,
        mode=answer.mode,
        created_at=now,
    )
