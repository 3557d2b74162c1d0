"""HTTP client of one speed instance."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow as pa

from contracts.views import SEGMENT_SCHEMA
from serving_layer.errors import ServingError
from serving_layer.views.realtime import Segment
from serving_layer.views.streams import stream_code, topic_partition

_GRACE_SECONDS = 10.0
"""How much longer than the long poll an answer may take."""

_FEATURES_SECONDS = 1.0


class SpeedError(ServingError):
    """The instance cannot be reached, or answers something that it should not."""


class NotOwnedError(SpeedError):
    """Another instance owns the partition now."""


class PrunedError(SpeedError):
    """The rows lie below a newer seam: they are in a run that we have not loaded."""


@dataclass(frozen=True, slots=True)
class PartitionPosition:
    """One partition as a speed instance reports it; see ``GET /positions``."""

    stream: int
    first_offset: int
    segments_from: int
    next_offset: int
    high_watermark: int
    skipped: int


class SpeedClient:
    """Asks one instance; every method raises ``SpeedError`` when it cannot answer."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self.url = url
        self._http = http

    async def positions(self) -> list[PartitionPosition]:
        """Return the partitions that the instance owns."""
        response = await self._get("/positions", {})
        try:
            return [_position(each) for each in response.json()["partitions"]]
        except (ValueError, KeyError, TypeError) as error:
            raise SpeedError(f"{self.url}/positions: unexpected answer: {error!r}") from error

    async def segment(self, stream: int, from_offset: int, wait_ms: int) -> Segment | None:
        """Return committed rows from an offset on with their alerts; None if none came in time."""
        topic, partition = topic_partition(stream)
        where = {"topic": topic, "partition": partition}
        response = await self._get(
            "/segments",
            {**where, "from_offset": from_offset, "wait_ms": wait_ms},
            timeout=wait_ms / 1000 + _GRACE_SECONDS,
        )
        if response.status_code == httpx.codes.NO_CONTENT:
            return None
        try:
            first = int(response.headers.get("X-First-Offset", from_offset))
            following = int(response.headers["X-Next-Offset"])
            rows = pa.ipc.open_stream(response.content).read_all().cast(SEGMENT_SCHEMA)
            alerts = []
            if int(response.headers.get("X-Alerts", 0)):
                bounds = {"from_offset": first, "to_offset": following}
                alerts = (await self._get("/alerts", where | bounds)).json()["alerts"]
        except (pa.ArrowInvalid, ValueError, KeyError) as error:
            raise SpeedError(f"{self.url}/segments: unexpected answer: {error!r}") from error
        if first != from_offset or following <= first:
            raise SpeedError(f"{self.url} sent [{first}, {following}), asked from {from_offset}")
        return Segment(stream, first, following, rows, alerts)

    async def features(self, user: str) -> dict[str, Any]:
        """Return a user's live features.

        Raises:
            NotOwnedError: If the instance has not seen the user.
            SpeedError: If it does not answer soon: a page waits for it.
        """
        path = f"/features/{quote(user, safe='')}"
        response = await self._get(path, {}, timeout=_FEATURES_SECONDS)
        try:
            body = response.json()
        except ValueError as error:
            raise SpeedError(f"{self.url}/features: unexpected answer: {error!r}") from error
        if not isinstance(body, dict):
            raise SpeedError(f"{self.url}/features: unexpected answer: {type(body).__name__}")
        return body

    async def _get(
        self, path: str, params: dict[str, Any], timeout: float = _GRACE_SECONDS
    ) -> httpx.Response:
        try:
            response = await self._http.get(self.url + path, params=params, timeout=timeout)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise SpeedError(f"speed instance {self.url} does not answer: {reason}") from error
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NotOwnedError(f"{self.url} does not own this partition")
        if response.status_code == httpx.codes.GONE:
            raise PrunedError(f"{self.url} has pruned these rows")
        if response.is_error:
            raise SpeedError(f"{self.url}{path} answers {response.status_code}")
        return response


def _position(body: dict[str, Any]) -> PartitionPosition:
    return PartitionPosition(
        stream=stream_code(body["topic"], body["partition"]),
        first_offset=body["first_offset"],
        segments_from=body["segments_from"],
        next_offset=body["next_offset"],
        high_watermark=body["high_watermark"],
        skipped=body["skipped"],
    )
