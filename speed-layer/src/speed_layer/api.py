"""Interactive queries: what this process has stored, over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import StringConstraints

from contracts import request_ids, service_key
from contracts.topics import DETECTION_TOPICS
from speed_layer import live_features
from speed_layer.interactive import (
    PrunedError,
    SegmentRange,
    kept_in_memory,
    read_alerts,
    read_segments,
)
from speed_layer.kafka import Key
from speed_layer.metrics import Metrics
from speed_layer.status import PartitionStatus, Status

MAX_OFFSET = 2**63 - 1
MAX_WAIT_MS = 10_000
MAX_SEGMENT_BYTES = 64 * 1024 * 1024
MAX_TAILED = 512
ARROW_STREAM = "application/vnd.apache.arrow.stream"

Topic = Annotated[str, Query(max_length=249)]
After = Annotated[
    str, StringConstraints(pattern=rf"^({'|'.join(DETECTION_TOPICS)}):\d{{1,10}}:\d{{1,18}}$")
]
"""``topic:partition:offset``."""
PartitionNumber = Annotated[int, Query(ge=0, lt=2**31)]
Offset = Annotated[int, Query(ge=0, le=MAX_OFFSET)]


def create_app(status: Status, metrics: Metrics) -> FastAPI:
    """Build the application over what the consumer's thread publishes in ``status``."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        status.attach(asyncio.get_running_loop())
        yield

    app = FastAPIOffline(  # the page at /docs needs no network
        redoc_url=None,
        title="StreamGuard speed layer",
        version=version("streamguard-speed-layer"),
        lifespan=lifespan,
    )
    app.state.status = status
    app.state.metrics = metrics
    app.add_exception_handler(PrunedError, _gone)
    app.get("/positions")(positions)
    app.get("/segments", response_class=Response)(segments)
    app.get("/tail", response_class=Response)(tail)
    app.get("/alerts", response_class=Response)(alerts)
    app.get("/features/{user}")(features)
    app.get("/health")(health)
    app.get("/metrics", response_class=Response)(prometheus)
    service_key.install(app)
    request_ids.install(app)
    return app


async def _gone(_: Request, error: Exception) -> Response:
    if not isinstance(error, PrunedError):
        raise error
    return JSONResponse({"segments_from": error.segments_from}, status_code=410)


def _status(request: Request) -> Status:
    status: Status = request.app.state.status
    return status


def _owned(request: Request, topic: str, partition: int) -> PartitionStatus:
    found = _status(request).partition((topic, partition))
    if found is None:
        raise HTTPException(404, f"{topic}[{partition}] is not owned by this process")
    return found


async def positions(request: Request) -> dict[str, Any]:
    """Account for every offset of the partitions that this process owns."""
    status = _status(request)
    return {
        "instance": status.instance,
        "partitions": [
            {
                "topic": topic,
                "partition": partition,
                "first_offset": found.position.first_offset,
                "segments_from": found.segments_from,
                "next_offset": found.position.next_offset,
                "high_watermark": found.high_watermark,
                "rows": found.position.rows,
                "dead_letters": found.position.dead_letters,
                "duplicates": found.position.duplicates,
                "skipped": found.position.skipped,
                "lost": found.position.lost,
            }
            for (topic, partition), found in status.partitions().items()
        ],
    }


async def segments(
    request: Request,
    topic: Topic,
    partition: PartitionNumber,
    from_offset: Offset,
    wait_ms: Annotated[int, Query(ge=0, le=MAX_WAIT_MS)] = 0,
    max_bytes: Annotated[int, Query(ge=1, le=MAX_SEGMENT_BYTES)] = 8 * 1024 * 1024,
) -> Response:
    """Stream committed micro-batches from an offset on; waits for the first if asked to."""
    status, key = _status(request), (topic, partition)
    if _owned(request, *key).position.next_offset <= from_offset and wait_ms:
        await status.wait_beyond({key: from_offset}, wait_ms / 1000)
    stored = await _stored(_owned(request, *key), from_offset, max_bytes)
    if stored is None:
        return Response(status_code=204)
    headers = {
        "X-First-Offset": str(from_offset),
        "X-Next-Offset": str(stored.next_offset),
        "X-Alerts": str(len(stored.alerts)),
    }
    return Response(stored.stream, media_type=ARROW_STREAM, headers=headers)


async def _stored(found: PartitionStatus, from_offset: int, max_bytes: int) -> SegmentRange | None:
    """Return whole micro-batches from an offset on, None without any."""
    if found.position.next_offset <= from_offset:
        return None
    kept = kept_in_memory(found.recent, from_offset, max_bytes)
    if kept is not None:
        return kept
    return await run_in_threadpool(read_segments, found.path, from_offset, max_bytes)


async def tail(
    request: Request,
    after: Annotated[list[After], Query(min_length=1, max_length=MAX_TAILED)],
    wait_ms: Annotated[int, Query(ge=0, le=MAX_WAIT_MS)] = 0,
    max_bytes: Annotated[int, Query(ge=1, le=MAX_SEGMENT_BYTES)] = 16 * 1024 * 1024,
) -> Response:
    """Send what many partitions committed since given offsets; waits for the first if asked to.

    The body is one Arrow stream per range, one after the other; the header `X-Ranges` says whose
    they are and how long. Behind them, `X-Alerts-Bytes` long, come the alerts that their events
    raised, as a JSON list. A partition that has moved away or whose rows are pruned is said in
    `X-Ranges` too, at once.
    """
    status, offsets = _status(request), dict(map(_offset_after, after))
    await status.wait_beyond(offsets, wait_ms / 1000)
    ranges: list[dict[str, Any]] = []
    streams: list[bytes] = []
    raised: list[bytes] = []
    for key, offset in offsets.items():
        where = {"topic": key[0], "partition": key[1]}
        found = status.partition(key)
        if found is None:
            ranges.append({**where, "owned": False})
            continue
        try:
            stored = await _stored(found, offset, max(1, max_bytes // len(offsets)))
        except PrunedError as error:
            ranges.append({**where, "segments_from": error.segments_from})
            continue
        if stored is not None:
            covered = {"first_offset": offset, "next_offset": stored.next_offset}
            sizes = {"alerts": len(stored.alerts), "bytes": len(stored.stream)}
            ranges.append(where | covered | sizes)
            streams.append(stored.stream)
            raised += [_placed(*key, at, body) for at, body in stored.alerts]
    if not ranges:
        return Response(status_code=204)
    listed = b"[" + b",".join(raised) + b"]"
    headers = {"X-Ranges": json.dumps(ranges), "X-Alerts-Bytes": str(len(listed))}
    return Response(b"".join((*streams, listed)), media_type=ARROW_STREAM, headers=headers)


def _offset_after(text: str) -> tuple[Key, int]:
    topic, partition, offset = text.rsplit(":", 2)
    return (topic, int(partition)), int(offset)


async def alerts(
    request: Request,
    topic: Topic,
    partition: PartitionNumber,
    from_offset: Offset = 0,
    to_offset: Offset = MAX_OFFSET,
) -> Response:
    """List alerts by the offset of the event that raised them."""
    found = _owned(request, topic, partition)
    rows = await run_in_threadpool(read_alerts, found.path, from_offset, to_offset)
    listed = b",".join(_placed(topic, partition, offset, body) for offset, body in rows)
    return Response(b'{"alerts":[' + listed + b"]}", media_type="application/json")


def _placed(topic: str, partition: int, offset: int, alert: bytes) -> bytes:
    """Return an alert's JSON with the place of the event that raised it."""
    place = json.dumps({"topic": topic, "partition": partition, "offset": offset})
    return place[:-1].encode() + b"," + alert[1:]


async def features(request: Request, user: str) -> dict[str, Any]:
    """Return a user's features as of the newest event processed."""
    found = await run_in_threadpool(live_features.features_of, _status(request).owned(), user)
    if found is None:
        raise HTTPException(404, f"no event of user {user!r} was processed by this process")
    return found


async def health(request: Request) -> Response:
    """Say whether every assigned partition is open and moving."""
    problem = _status(request).problem()
    if problem is None:
        return JSONResponse({"status": "healthy"})
    kind, reason, since = problem
    return JSONResponse({"status": kind, "reason": reason, "since": since}, status_code=503)


async def prometheus(request: Request) -> Response:
    """Return all metrics in Prometheus' text format."""
    metrics: Metrics = request.app.state.metrics
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
