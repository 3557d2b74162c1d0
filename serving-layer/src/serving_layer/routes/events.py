"""``/api/events``: every event of both layers, as one list."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from contracts.api import Count, EventRecord, Page
from serving_layer import examples
from serving_layer.answers import events_response, json_response
from serving_layer.errors import NotFoundError, ParameterError
from serving_layer.parameters import (
    Cursor,
    EventFilterDep,
    Limit,
    Score,
    ServicesDep,
    SnapshotDep,
    check_order,
)
from serving_layer.views.reads import count, event_by_id
from serving_layer.views.rendering import events_json

router = APIRouter(prefix="/api/events", tags=["events"])

_PAGE = examples.answers(examples.page(examples.EVENT), Page[EventRecord])


@router.get("", responses=_PAGE)
async def list_events(
    services: ServicesDep,
    snapshot: SnapshotDep,
    wanted: EventFilterDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List events of both layers, newest first; every filter given must hold."""
    return await events_response(services, snapshot, "events", wanted, cursor, limit, events_json)


@router.get("/recent", responses=_PAGE)
async def recent_events(
    services: ServicesDep,
    snapshot: SnapshotDep,
    wanted: EventFilterDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the newest events; the same list as `/api/events`."""
    return await events_response(services, snapshot, "events", wanted, cursor, limit, events_json)


@router.get("/count", responses=examples.answers(examples.COUNT, Count))
async def count_events(snapshot: SnapshotDep, wanted: EventFilterDep) -> Response:
    """Count events, exactly, and say how many each layer holds."""
    return json_response(count(snapshot, wanted))


@router.get("/threats", responses=_PAGE)
async def list_threats(
    services: ServicesDep,
    snapshot: SnapshotDep,
    wanted: EventFilterDep,
    min_score: Annotated[
        Score, Query(description="Lowest threat score, inclusive.", examples=[0.7])
    ] = 0.7,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List events that their producer gave a high threat score, newest first."""
    wanted = replace(wanted, min_threat=min_score)
    return await events_response(services, snapshot, "events", wanted, cursor, limit, events_json)


@router.get("/threat-score", responses=_PAGE)
async def list_by_threat_score(
    services: ServicesDep,
    snapshot: SnapshotDep,
    wanted: EventFilterDep,
    min: Annotated[Score, Query(description="Lowest threat score.", examples=[0.5])] = 0.0,
    max: Annotated[Score, Query(description="Highest threat score.", examples=[0.9])] = 1.0,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List events by their producer's threat score, bounds inclusive, newest first."""
    check_order("min", min, "max", max)
    wanted = replace(wanted, min_threat=min, max_threat=max)
    return await events_response(services, snapshot, "events", wanted, cursor, limit, events_json)


@router.get("/time-range", responses=_PAGE)
async def list_events_of_time_range(
    services: ServicesDep,
    snapshot: SnapshotDep,
    wanted: EventFilterDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List events of `[start_time, end_time)`, newest first; both are required."""
    require_range(wanted.start_time, wanted.end_time)
    return await events_response(services, snapshot, "events", wanted, cursor, limit, events_json)


@router.get(
    "/{event_id:path}",
    responses=examples.answers(examples.EVENT, EventRecord, problems={404: "No such event."}),
)
async def read_event(snapshot: SnapshotDep, event_id: str) -> Response:
    """Return one event as it was stored, with its score and where it came from."""
    row = event_by_id(snapshot, event_id)
    if row is None:
        raise NotFoundError(f"no event has the id {event_id!r}")
    return Response(events_json([row])[0], media_type="application/json")


def require_range(start_time: int | None, end_time: int | None) -> None:
    """Refuse a time range without both ends.

    Raises:
        ParameterError: Naming the end that is missing.
    """
    for name, value in (("start_time", start_time), ("end_time", end_time)):
        if value is None:
            raise ParameterError(name, "is required")
