"""HTTP client of one speed instance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pyarrow as pa

from contracts import service_key
from contracts.views import SEGMENT_SCHEMA
from serving_layer.errors import ServingError
from serving_layer.views.alert_list import Record
from serving_layer.views.realtime import Segment
from serving_layer.views.streams import stream_code, stream_name, topic_partition

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


@dataclass(frozen=True, slots=True)
class Answered:
    """What one partition's owner answered: a segment, or what is wrong."""

    stream: int
    segment: Segment | None = None
    failure: SpeedError | None = None


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

    async def tail(self, offsets: Mapping[int, int], wait_ms: int) -> list[Answered]:
        """Return what partitions committed from given offsets on; nothing if none came in time.

        Args:
            offsets: Where to go on, by stream.
            wait_ms: How long the instance may wait for the first.
        """
        after = [_place(stream, offset) for stream, offset in offsets.items()]
        response = await self._get(
            "/tail", {"after": after, "wait_ms": wait_ms}, timeout=wait_ms / 1000 + _GRACE_SECONDS
        )
        if response.status_code == httpx.codes.NO_CONTENT:
            return []
        answered: list[Answered] = []
        alerts, start = self._raised(response), 0
        for stream, found, size in self._ranges(response):
            if isinstance(found, SpeedError):
                answered.append(Answered(stream, failure=found))
                continue
            part, start = response.content[start : start + size], start + size
            answered.append(self._answered(stream, found, part, offsets, alerts.get(stream, [])))
        return answered

    def _raised(self, response: httpx.Response) -> dict[int, list[Record]]:
        """Return the alerts behind the ranges of rows, by stream."""
        found: dict[int, list[Record]] = {}
        try:
            size = int(response.headers["X-Alerts-Bytes"])
            for each in orjson.loads(response.content[len(response.content) - size :]):
                stream = stream_code(each["topic"], each["partition"])
                found.setdefault(stream, []).append(each)
        except (ValueError, KeyError, TypeError) as error:
            raise SpeedError(f"{self.url}/tail: unexpected answer: {error!r}") from error
        return found

    def _ranges(
        self, response: httpx.Response
    ) -> list[tuple[int, tuple[int, int, int] | SpeedError, int]]:
        """Return stream, (first offset, next offset, alerts) or what is wrong, and bytes."""
        found: list[tuple[int, tuple[int, int, int] | SpeedError, int]] = []
        try:
            for each in orjson.loads(response.headers["X-Ranges"]):
                stream = stream_code(each["topic"], each["partition"])
                if "segments_from" in each:
                    found.append((stream, PrunedError(f"{self.url} has pruned these rows"), 0))
                elif "next_offset" not in each:
                    gone = NotOwnedError(f"{self.url} does not own {stream_name(stream)}")
                    found.append((stream, gone, 0))
                else:
                    bounds = each["first_offset"], each["next_offset"], each["alerts"]
                    found.append((stream, bounds, each["bytes"]))
        except (ValueError, KeyError, TypeError) as error:
            raise SpeedError(f"{self.url}/tail: unexpected answer: {error!r}") from error
        return found

    def _answered(
        self,
        stream: int,
        bounds: tuple[int, int, int],
        part: bytes,
        offsets: Mapping[int, int],
        alerts: Sequence[Record],
    ) -> Answered:
        """Read one range. What is wrong with it holds up no other partition."""
        first, following, raised = bounds
        if raised != len(alerts):
            sent = f"{self.url} sent {len(alerts)} of {raised} alerts of {stream_name(stream)}"
            return Answered(stream, failure=SpeedError(sent))
        if first != offsets.get(stream) or following <= first:
            sent = f"{self.url} sent [{first}, {following}) of {stream_name(stream)}"
            return Answered(stream, failure=SpeedError(sent))
        try:
            rows = pa.ipc.open_stream(part).read_all()
            if rows.schema != SEGMENT_SCHEMA:
                rows = rows.cast(SEGMENT_SCHEMA)
        except (pa.ArrowException, ValueError, KeyError, OSError) as error:
            wrong = SpeedError(f"{self.url}/tail: {stream_name(stream)}: {error!r}")
            return Answered(stream, failure=wrong)
        return Answered(stream, Segment(stream, first, following, rows, alerts))

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
            response = await self._http.get(
                self.url + path,
                params=params,
                headers=service_key.headers(),
                timeout=timeout,
            )
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


def _place(stream: int, offset: int) -> str:
    topic, partition = topic_partition(stream)
    return f"{topic}:{partition}:{offset}"


def _position(body: dict[str, Any]) -> PartitionPosition:
    return PartitionPosition(
        stream=stream_code(body["topic"], body["partition"]),
        first_offset=body["first_offset"],
        segments_from=body["segments_from"],
        next_offset=body["next_offset"],
        high_watermark=body["high_watermark"],
        skipped=body["skipped"],
    )
