"""``/api/anomalies``: events that the detector found anomalous, with the reasons."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from contracts.api import AnomalyRecord, Count, Page
from serving_layer import examples
from serving_layer.answers import events_response, json_response
from serving_layer.errors import NotFoundError, ParameterError
from serving_layer.explanations import explained_event
from serving_layer.parameters import (
    Cursor,
    EventFilterDep,
    Explain,
    Limit,
    Score,
    ServicesDep,
    SnapshotDep,
)
from serving_layer.routes.events import require_range
from serving_layer.services import Services
from serving_layer.views.query import EventFilter
from serving_layer.views.reads import count, event_by_id
from serving_layer.views.rendering import anomalies_json, anomaly_bodies
from serving_layer.views.snapshot import Snapshot

router = APIRouter(prefix="/api/anomalies", tags=["anomalies"])

_PAGE = examples.answers(examples.page(examples.ANOMALY), Page[AnomalyRecord])


async def _page(
    services: Services, snapshot: Snapshot, wanted: EventFilter, cursor: str | None, limit: int
) -> Response:
    wanted = replace(wanted, anomalies_only=True)
    return await events_response(
        services, snapshot, "anomalies", wanted, cursor, limit, anomalies_json
    )


@router.get("", responses=_PAGE)
async def list_anomalies(
    services: ServicesDep,
    snapshot: SnapshotDep,
    wanted: EventFilterDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List anomalous events of both layers, newest first."""
    return await _page(services, snapshot, wanted, cursor, limit)


@router.get("/recent", responses=_PAGE)
async def recent_anomalies(
    services: ServicesDep,
    snapshot: SnapshotDep,
    wanted: EventFilterDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the newest anomalous events; the same list as `/api/anomalies`."""
    return await _page(services, snapshot, wanted, cursor, limit)


@router.get("/count", responses=examples.answers(examples.COUNT, Count))
async def count_anomalies(snapshot: SnapshotDep, wanted: EventFilterDep) -> Response:
    """Count anomalous events, exactly, and say how many each layer holds."""
    return json_response(count(snapshot, replace(wanted, anomalies_only=True)))


@router.get("/high-score", responses=_PAGE)
async def list_high_scores(
    services: ServicesDep,
    snapshot: SnapshotDep,
    wanted: EventFilterDep,
    threshold: Annotated[
        Score, Query(description="Lowest anomaly score, inclusive.", examples=[0.7])
    ] = 0.7,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List anomalous events with at least this score, newest first."""
    return await _page(
        services, snapshot, replace(wanted, min_anomaly_score=threshold), cursor, limit
    )


@router.get("/time-range", responses=_PAGE)
async def list_anomalies_of_time_range(
    services: ServicesDep,
    snapshot: SnapshotDep,
    wanted: EventFilterDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List anomalous events of `[start_time, end_time)`, newest first; both are required."""
    require_range(wanted.start_time, wanted.end_time)
    return await _page(services, snapshot, wanted, cursor, limit)


@router.get("/user/{user_name:path}", responses=_PAGE)
async def list_anomalies_of_user(
    services: ServicesDep,
    snapshot: SnapshotDep,
    user_name: Annotated[str, Path(min_length=1, max_length=256, examples=["alice"])],
    wanted: EventFilterDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the anomalous events of one user, newest first; none for an unknown user."""
    if wanted.user not in (None, user_name):
        raise ParameterError("user", "differs from the user of the path")
    return await _page(services, snapshot, replace(wanted, user=user_name), cursor, limit)


@router.get(
    "/{event_id:path}",
    responses=examples.answers(
        examples.ANOMALY, AnomalyRecord, problems={404: "No anomalous event has this id."}
    ),
)
async def read_anomaly(
    services: ServicesDep, snapshot: SnapshotDep, event_id: str, explain: Explain = False
) -> Response:
    """Return the anomaly record of one event.

    With `explain`, an event that a run no longer calls anomalous is answered too.
    """
    row = event_by_id(snapshot, event_id)
    known = explain and services.changed_minds.of_event(event_id) is not None
    if row is None or not (row.is_anomaly or known):
        raise NotFoundError(f"no anomalous event has the id {event_id!r}")
    body = anomaly_bodies([row])[0]
    if explain:
        body["explain"] = explained_event(services, snapshot, row)
    return json_response(body)
