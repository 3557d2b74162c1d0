"""``/api/analyses``: written explanations of anomalous events."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Body, Path
from fastapi.responses import Response

from contracts.alerts import Severity
from contracts.api import Analysis, Page
from serving_layer import examples
from serving_layer.analyses import AnalysisFilter
from serving_layer.answers import json_response, page_bytes
from serving_layer.errors import NotFoundError
from serving_layer.parameters import Cursor, Limit, ServicesDep
from serving_layer.services import Services

router = APIRouter(prefix="/api/analyses", tags=["analyses"])

_PAGE = examples.answers(examples.page(examples.ANALYSIS), Page[Analysis])


async def _page(
    services: Services, wanted: AnalysisFilter, cursor: str | None, limit: int
) -> Response:
    query = ("analyses", wanted)
    after = services.cursors.decode(query, cursor) if cursor is not None else None
    found = await asyncio.to_thread(services.analyses.page, wanted, after, limit + 1)
    page, more = found[:limit], len(found) > limit
    following = services.cursors.encode(query, (page[-1].created_at, page[-1].id)) if more else None
    content = page_bytes([each.model_dump() for each in page], following, None, {})
    return Response(content, media_type="application/json")


@router.get("", responses=_PAGE)
async def list_analyses(
    services: ServicesDep, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List analyses, newest first."""
    return await _page(services, AnalysisFilter(), cursor, limit)


@router.post(
    "", status_code=201, responses=examples.answers(examples.ANALYSIS, Analysis, status=201)
)
async def add_analysis(
    services: ServicesDep, analysis: Annotated[Analysis, Body(examples=[examples.ANALYSIS])]
) -> Response:
    """Store an analysis; one with a known id replaces it (200 instead of 201)."""
    is_new = await asyncio.to_thread(services.analyses.add, analysis)
    return json_response(analysis, 201 if is_new else 200)


@router.get("/recent", responses=_PAGE)
async def recent_analyses(
    services: ServicesDep, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the newest analyses; the same list as `/api/analyses`."""
    return await _page(services, AnalysisFilter(), cursor, limit)


@router.get("/count", responses=examples.answers({"count": 40}))
async def count_analyses(services: ServicesDep) -> Response:
    """Count analyses."""
    return json_response({"count": services.analyses.count()})


@router.get("/event/{event_id:path}", responses=_PAGE)
async def list_analyses_of_event(
    services: ServicesDep,
    event_id: Annotated[str, Path(examples=["evt_0f8fad5bd9cb469f"])],
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List the analyses of one event, newest first."""
    return await _page(services, AnalysisFilter(event_id=event_id), cursor, limit)


@router.get("/severity/{severity}", responses=_PAGE)
async def list_analyses_of_severity(
    services: ServicesDep,
    severity: Annotated[Severity, Path(examples=["HIGH"])],
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List analyses of one severity, newest first."""
    return await _page(services, AnalysisFilter(severity=severity), cursor, limit)


@router.get(
    "/{analysis_id}",
    responses=examples.answers(examples.ANALYSIS, Analysis, problems={404: "No such analysis."}),
)
async def read_analysis(services: ServicesDep, analysis_id: str) -> Response:
    """Return one analysis."""
    analysis = await asyncio.to_thread(services.analyses.get, analysis_id)
    if analysis is None:
        raise NotFoundError(f"no analysis has the id {analysis_id!r}")
    return json_response(analysis)
