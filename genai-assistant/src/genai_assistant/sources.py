"""What one answer may fetch, with failures and coverage written to its ledger."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from contracts.alerts import Alert
from contracts.api import (
    AnomalyRecord,
    Consistency,
    Count,
    EventRecord,
    Page,
    Summary,
    UserAnomaly,
)
from genai_assistant.errors import NotFoundError, ServingError
from genai_assistant.evidence import BATCH, REAL_TIME, Ledger, Source
from genai_assistant.retrieval.analyses import Total
from genai_assistant.serving_client import Params, ServingClient

Body = TypeVar("Body", bound=BaseModel)
T = TypeVar("T")

OPEN = {"resolved": False, "suppressed": False}
"""Filters of ``/api/alerts`` for what is open, as the dashboard and the users' risk count it."""


class KnownAlert(Alert):
    """An alert and the suppression that silences it, None for none."""

    suppressed_by: str | None = None


class TopAnomaly(BaseModel):
    """A user in the report of a batch run."""

    model_config = ConfigDict(extra="ignore")

    user: str
    anomaly_score_normalized: float
    total_events: int
    unique_ips: int | None = None
    failed_auth_rate: float | None = None
    is_anomaly: bool = True


class BatchEntry(BaseModel):
    """A finished transaction batch, as the batch layer lists it."""

    model_config = ConfigDict(extra="ignore")

    batchId: str
    analysisType: str
    rowCount: int | None = None
    endTime: datetime | None = None


class BatchEntries(BaseModel):
    """Transaction batches, newest first."""

    model_config = ConfigDict(extra="ignore")

    batches: list[BatchEntry]


class AnalysisRows(BaseModel):
    """The rows of one batch's analysis; of a full report, rows by analysis."""

    model_config = ConfigDict(extra="ignore")

    data: list[dict[str, Any]] | dict[str, list[dict[str, Any]]]

    def rows(self, analysis: str) -> list[dict[str, Any]]:
        """Return the rows of one analysis."""
        return self.data.get(analysis, []) if isinstance(self.data, dict) else self.data


class RankedUser(BaseModel):
    """A user with the serving layer's risk, and the parts it is made of."""

    model_config = ConfigDict(extra="ignore")

    user: str
    risk: float
    batch_score: float
    is_anomaly: bool
    realtime_score: float
    open_alerts: dict[str, int] = Field(default_factory=dict)


class Report(BaseModel):
    """``anomaly_report.json`` of the published batch run."""

    model_config = ConfigDict(extra="ignore")

    total_users: int
    anomalous_users: int
    anomaly_rate: float
    top_anomalies: list[TopAnomaly] = Field(default_factory=list)
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Fetched(Generic[T]):
    """What a call gave: a value, or the knowledge that there is none, or a failure."""

    value: T | None = None
    is_missing: bool = False
    failure: str | None = None


async def nothing() -> Fetched[Any]:
    """Stand in for a call that is not made."""
    return Fetched()


class Sources:
    """The calls of one answer. Every method returns instead of raising."""

    def __init__(
        self, client: ServingClient, ledger: Ledger, batch: ServingClient | None = None
    ) -> None:
        self._client = client
        self._batch = batch
        self._ledger = ledger
        self._verdicts: dict[str, asyncio.Task[Fetched[UserAnomaly]]] = {}
        self._permission: Fetched[Total] | None = None

    async def _get(
        self,
        path: str,
        body: type[Body],
        source: Source,
        params: Params | None = None,
        client: ServingClient | None = None,
    ) -> Fetched[Body]:
        self._ledger.asked += 1
        try:
            value = await (client or self._client).get(path, body, params or {}, source)
        except NotFoundError:
            self._ledger.answered += 1
            return Fetched(is_missing=True)
        except ServingError as error:
            self._ledger.failures.append(f"{source}: {error}")
            return Fetched(failure=str(error))
        # A page that says it is incomplete covers half of what was asked.
        self._ledger.answered += 1.0 if getattr(value, "complete", True) else 0.5
        return Fetched(value)

    async def events(self, **filters: str | int | None) -> Fetched[Page[EventRecord]]:
        """Fetch events, newest first; filters are the query parameters of ``/api/events``."""
        return await self._get("/api/events", Page[EventRecord], REAL_TIME, dict(filters))

    async def count(self, **filters: str | int | None) -> Fetched[Count]:
        """Count events exactly; the same filters."""
        return await self._get("/api/events/count", Count, REAL_TIME, dict(filters))

    async def anomaly_count(self, **filters: str | int | None) -> Fetched[Count]:
        """Count anomalous events exactly; the same filters."""
        return await self._get("/api/anomalies/count", Count, REAL_TIME, dict(filters))

    async def ranked_users(self, limit: int) -> Fetched[Page[RankedUser]]:
        """Fetch the users that deserve attention most, by what both layers hold."""
        return await self._get("/api/users", Page[RankedUser], REAL_TIME, {"limit": limit})

    async def event(self, event_id: str) -> Fetched[EventRecord]:
        """Fetch one event."""
        return await self._get(f"/api/events/{_segment(event_id)}", EventRecord, REAL_TIME)

    async def anomaly(self, event_id: str) -> Fetched[AnomalyRecord]:
        """Fetch what is anomalous about an event."""
        path = f"/api/anomalies/{_segment(event_id)}"
        return await self._get(path, AnomalyRecord, REAL_TIME)

    async def anomalies(
        self, user: str | None = None, **params: str | int | float | None
    ) -> Fetched[Page[AnomalyRecord]]:
        """Fetch anomalous events of a user, or of everyone, newest first."""
        path = f"/api/anomalies/user/{_segment(user)}" if user else "/api/anomalies"
        return await self._get(path, Page[AnomalyRecord], REAL_TIME, dict(params))

    async def alerts(self, **filters: str | int | bool | None) -> Fetched[Page[KnownAlert]]:
        """Fetch alerts, newest first; filters are the query parameters of ``/api/alerts``."""
        return await self._get("/api/alerts", Page[KnownAlert], REAL_TIME, dict(filters))

    async def open_alerts(self, **filters: str | int | None) -> Fetched[Page[KnownAlert]]:
        """Fetch alerts that wait for somebody: neither resolved nor silenced."""
        return await self.alerts(**OPEN, **filters)

    async def open_alert_count(self, **filters: str | int | None) -> Fetched[Count]:
        """Count alerts that wait for somebody, exactly; the same filters."""
        return await self._get("/api/alerts/count", Count, REAL_TIME, {**OPEN, **filters})

    async def alert(self, alert_id: str) -> Fetched[KnownAlert]:
        """Fetch one alert."""
        return await self._get(f"/api/alerts/{_segment(alert_id)}", KnownAlert, REAL_TIME)

    def user_verdict(self, user: str) -> asyncio.Task[Fetched[UserAnomaly]]:
        """Fetch what the published batch run says about a user; once per answer."""
        if user not in self._verdicts:
            path = f"/api/training-data/anomalies/{_segment(user)}"
            self._verdicts[user] = asyncio.ensure_future(self._get(path, UserAnomaly, BATCH))
        return self._verdicts[user]

    async def report(self) -> Fetched[Report]:
        """Fetch the report of the published batch run."""
        return await self._get("/api/training-data/report", Report, BATCH)

    async def flagged_users(self, **params: str | int | float | None) -> Fetched[Page[UserAnomaly]]:
        """Fetch the users that the published batch run flags, highest score first."""
        path = "/api/training-data/anomalies"
        return await self._get(path, Page[UserAnomaly], BATCH, dict(params))

    async def batches(self) -> Fetched[BatchEntries]:
        """Fetch the newest finished transaction batches."""
        params: Params = {"status": "COMPLETED", "limit": 100}
        return await self._get_batch("/batch/list", BatchEntries, params)

    async def analysis(self, batch_id: str) -> Fetched[AnalysisRows]:
        """Fetch the rows of a finished batch's analysis."""
        return await self._get_batch(f"/batch/data/{_segment(batch_id)}/aggregated", AnalysisRows)

    async def _get_batch(
        self, path: str, body: type[Body], params: Params | None = None
    ) -> Fetched[Body]:
        """Fetch from the batch layer what the caller could read of the serving layer.

        The batch layer asks for no key: without this question first, whoever reaches the
        assistant would read customers' data where the serving layer lets nobody in.
        """
        if self._permission is None:
            self._permission = await self._get("/api/analyses/count", Total, REAL_TIME)
        if self._permission.value is None:
            return Fetched(failure=self._permission.failure or "the serving layer allows nothing")
        return await self._get(path, body, BATCH, params, self._batch)

    async def summary(self) -> Fetched[Summary]:
        """Fetch totals over the merged view."""
        return await self._get("/api/stats/summary", Summary, REAL_TIME)

    async def consistency(self) -> Fetched[Consistency]:
        """Fetch the account of every offset."""
        return await self._get("/consistency", Consistency, REAL_TIME)


def _segment(text: str) -> str:
    """Return ``text`` as one path segment; dots alone would climb."""
    return quote(text, safe="").replace(".", "%2E") if set(text) <= {"."} else quote(text, safe="")
