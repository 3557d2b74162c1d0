"""Backtests in the background, with their progress. They are forgotten when the process ends."""

import asyncio
import logging
import re
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from contracts import service_key
from serving_layer.backtests.judging import Firing, Known, judged
from serving_layer.backtests.requests import BacktestRequest
from serving_layer.backtests.thresholds import anomalous_now, fired
from serving_layer.cases.states import Cases
from serving_layer.errors import NotFoundError, ParameterError, UpstreamError
from serving_layer.front_door.refusals import BusyError
from serving_layer.settings import Settings
from serving_layer.views.snapshot import Snapshot, Views

logger = logging.getLogger(__name__)

KEPT = 50
AT_ONCE = 4
_POLL_SECONDS = 0.2
_TIMEOUT_SECONDS = 10.0

_NAMES = re.compile(r"""(?m)^name:\s*["']?([\w.-]+)""")
"""A rule's name is the id of its alerts: it is known also where nothing fires."""

Status = Literal["running", "completed", "failed", "cancelled"]
Body = dict[str, Any]


@dataclass(slots=True)
class Job:
    """One backtest; ``progress`` 0..1, ``created_at`` in Unix ms."""

    id: str
    created_at: int
    request: BacktestRequest
    status: Status = "running"
    progress: float = 0.0
    error: str | None = None
    result: Body | None = None

    def body(self) -> Body:
        """Return the job as clients see it."""
        asked = self.request
        return {
            "id": self.id,
            "created_at": self.created_at,
            "status": self.status,
            "progress": round(self.progress, 3),
            "kind": "threshold" if asked.rule is None else "rule",
            "threshold": asked.threshold,
            "start_time": asked.start_time,
            "end_time": asked.end_time,
            "error": self.error,
            "result": self.result,
        }


class Backtests:
    """Starts backtests and remembers the newest."""

    def __init__(
        self, settings: Settings, views: Views, cases: Cases, http: httpx.AsyncClient
    ) -> None:
        self._url = settings.batch_url.rstrip("/") + "/security/backtests"
        self._views = views
        self._cases = cases
        self._http = http
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self, request: BacktestRequest) -> Job:
        """Begin a backtest.

        Raises:
            ParameterError: If detection does not take the rule.
            BusyError: If too many are running.
            UpstreamError: If the batch layer, which runs rules, does not answer.
        """
        if len(self._tasks) >= AT_ONCE:
            raise BusyError(f"{AT_ONCE} backtests are running; try again later")
        snapshot = self._views.current()
        job = Job(f"bt_{secrets.token_hex(6)}", int(time.time() * 1000), request)
        if request.rule is None:
            work = self._threshold(job, snapshot)
        else:
            asked = {
                "rule": request.rule,
                "startTime": request.start_time,
                "endTime": request.end_time,
            }
            accepted = await self._batch("POST", "", asked)
            work = self._rule(job, accepted["backtestId"])
        self._jobs[job.id] = job
        while len(self._jobs) > KEPT:
            self._jobs.popitem(last=False)
        self._tasks[job.id] = asyncio.create_task(self._carried_out(job, work))
        return job

    def get(self, job_id: str) -> Job:
        """Return a backtest.

        Raises:
            NotFoundError: If there is none with this id.
        """
        if job_id not in self._jobs:
            raise NotFoundError(f"no backtest has the id {job_id!r}")
        return self._jobs[job_id]

    def newest_first(self) -> list[Job]:
        """Return the backtests that are remembered."""
        return list(self._jobs.values())[::-1]

    def cancel(self, job_id: str) -> Job:
        """End a backtest; one that has ended stays as it is."""
        job = self.get(job_id)
        task = self._tasks.get(job_id)
        if task is not None:
            task.cancel()
        return job

    async def close(self) -> None:
        """End all."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carried_out(self, job: Job, work: Any) -> None:  # noqa: ANN401 - a coroutine
        try:
            job.result = await work
            job.status, job.progress = "completed", 1.0
        except asyncio.CancelledError:
            job.status = "cancelled"
        except (UpstreamError, ParameterError) as error:
            job.status, job.error = "failed", error.detail
        except Exception as error:  # whatever it is, the job must say that it is over
            logger.exception("backtest %s", job.id, extra={"backtest_id": job.id})
            job.status, job.error = "failed", f"{type(error).__name__}: {error}"
        finally:
            self._tasks.pop(job.id, None)

    async def _threshold(self, job: Job, snapshot: Snapshot) -> Body:
        asked = job.request
        span = (asked.start_time, asked.end_time)
        total, firings = await asyncio.to_thread(fired, snapshot, asked.threshold or 0.0, *span)
        known = self._known(snapshot, None, span)
        result = await asyncio.to_thread(judged, firings, known, asked.labels, total)
        now = await asyncio.to_thread(anomalous_now, snapshot, *span)
        return result | {"run_id": snapshot.batch.run_id, "fires_today": now}

    async def _rule(self, job: Job, backtest_id: str) -> Body:
        try:
            while True:
                body = await self._batch("GET", f"/{backtest_id}")
                job.progress = body["eventsDone"] / max(1, body["eventsTotal"])
                if body["status"] != "RUNNING":
                    break
                await asyncio.sleep(_POLL_SECONDS)
        except asyncio.CancelledError:
            await asyncio.shield(self._batch("DELETE", f"/{backtest_id}"))
            raise
        if body["status"] != "COMPLETED":
            raise UpstreamError(body["errorMessage"] or f"the batch layer says {body['status']}")
        firings = [
            Firing(each["alert_id"], each["user_id"], each["timestamp"], each["event_ids"])
            for each in body["alerts"]
        ]
        named = _NAMES.findall(job.request.rule or "")
        rules = {each["rule_id"] for each in body["alerts"]}.union(named)
        span = (job.request.start_time, job.request.end_time)
        # The batch layer knows events below the seam only: alerts above it are no fair comparison.
        known = self._known(self._views.current(), rules, span, batch_only=True)
        result = await asyncio.to_thread(
            judged, firings, known, job.request.labels, body["alertsTotal"]
        )
        same = sum(alert.rule_id in rules for alert in known)
        return result | {"run_id": body["runId"], "fires_today": same}

    def _known(
        self,
        snapshot: Snapshot,
        rules: set[str] | None,
        span: tuple[int, int],
        *,
        batch_only: bool = False,
    ) -> list[Known]:
        """Return alerts of a range that are of the rules or were judged."""
        layers = [snapshot.batch.alerts]
        if not batch_only:
            layers.append(snapshot.realtime.alerts)
        found = []
        for entry in (each for alerts in layers for each in alerts.merged):
            record, verdict = entry.record, self._cases.case(entry.alert_id).verdict
            if not span[0] <= record["timestamp"] < span[1]:
                continue
            if rules is None or record["rule_id"] in rules:
                user, rule_id, events = (record[n] for n in ("user_id", "rule_id", "event_ids"))
                found.append(Known(entry.alert_id, user, rule_id, events, verdict))
        return found

    async def _batch(self, method: str, path: str, body: Body | None = None) -> Body:
        try:
            response = await self._http.request(
                method,
                self._url + path,
                json=body,
                headers=service_key.headers(),
                timeout=_TIMEOUT_SECONDS,
            )
            answer: Body = response.json()
        except (httpx.HTTPError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise UpstreamError(f"the batch layer does not answer: {reason}") from error
        if response.status_code == httpx.codes.BAD_REQUEST:
            raise ParameterError("rule", str(answer.get("message")).removeprefix("rule: "))
        if response.is_error:
            raise UpstreamError(f"the batch layer answers: {answer.get('message')}")
        return answer
