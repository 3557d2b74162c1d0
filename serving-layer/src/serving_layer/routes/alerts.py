"""``/api/alerts``: what the rules found, and a live stream of it."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Header
from fastapi.responses import Response
from pydantic import ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from contracts.alerts import Alert
from contracts.api import Count, Page, Source
from serving_layer import examples
from serving_layer.alert_stream import (
    alerts_live,
    format_positions,
    parse_positions,
    positions_now,
)
from serving_layer.answers import alert_body, alerts_response, json_response
from serving_layer.cases.states import Status, Verdict
from serving_layer.errors import NotFoundError
from serving_layer.explanations import explained_alert
from serving_layer.parameters import (
    AlertFilterDep,
    Cursor,
    Explain,
    Limit,
    ServicesDep,
    SnapshotDep,
)
from serving_layer.views.reads import alert_by_id, alert_count

router = APIRouter(prefix="/api/alerts", tags=["alerts"])

_PING_SECONDS = 15
_SEND_TIMEOUT_SECONDS = 30
"""A client that takes nothing for so long is cut off; it can resume."""


class AlertRecord(Alert):
    """An alert, where it was raised, and the layer that holds it."""

    # Names as they are: without a generator the inherited camelCase aliases would stay.
    model_config = ConfigDict(alias_generator=str)

    topic: str
    partition: int
    offset: int
    source: Source
    status: Status
    verdict: Verdict | None
    assignee: str | None
    updated_at: int | None = Field(description="When somebody last touched its case, Unix ms.")
    updated_by: str | None
    suppressed_by: str | None = Field(description="Id of the suppression that silences it.")


@router.get("", responses=examples.answers(examples.page(examples.ALERT), Page[AlertRecord]))
async def list_alerts(
    services: ServicesDep,
    snapshot: SnapshotDep,
    wanted: AlertFilterDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List alerts of both layers, newest first."""
    return alerts_response(services, snapshot, wanted, cursor, limit)


@router.get("/count", responses=examples.answers(examples.COUNT, Count))
async def count_alerts(
    services: ServicesDep, snapshot: SnapshotDep, wanted: AlertFilterDep
) -> Response:
    """Count alerts, exactly, and say how many each layer holds; filters as of the list."""
    return json_response(alert_count(snapshot, wanted, services.cases))


@router.get(
    "/stream",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "Server-sent events of type `alert`.",
            "content": {
                "text/event-stream": {
                    "example": "id: security-events/2@18231\n\n"
                    "event: alert\nid: security-events/2@18240+1\ndata: {...}\n\n"
                }
            },
        },
        422: {"description": "Last-Event-ID is none of ours."},
    },
)
async def stream_alerts(
    services: ServicesDep,
    wanted: AlertFilterDep,
    last_event_id: Annotated[
        str | None,
        Header(
            description="Id of the last event received: every alert since then is sent first.",
            max_length=4000,
            examples=["security-events/2@18231+1"],
        ),
    ] = None,
) -> EventSourceResponse:
    """Stream alerts as they are raised; a client that reconnects misses none.

    Without `Last-Event-ID` the stream begins with the next alert. Its first message has only an id,
    which a browser's `EventSource` keeps and does not dispatch: a client that loses the stream
    before the first alert sends that id.
    """
    snapshot = services.views.current()
    positions = positions_now(snapshot) if last_event_id is None else parse_positions(last_event_id)

    async def events() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(id=format_positions(positions))
        live = alerts_live(services.views, services.bell, wanted, positions, services.cases)
        async for event_id, entry, source in live:
            data = orjson.dumps(alert_body(entry.record, source, services.cases)).decode()
            yield ServerSentEvent(data, event=_EVENT, id=event_id)

    return EventSourceResponse(events(), ping=_PING_SECONDS, send_timeout=_SEND_TIMEOUT_SECONDS)


_EVENT: Literal["alert"] = "alert"


@router.get(
    "/{alert_id}",
    responses=examples.answers(examples.ALERT, AlertRecord, problems={404: "No such alert."}),
)
async def read_alert(
    services: ServicesDep, snapshot: SnapshotDep, alert_id: str, explain: Explain = False
) -> Response:
    """Return one alert."""
    found = alert_by_id(snapshot, alert_id)
    if found is None:
        withdrawn = services.changed_minds.of_alert(alert_id)
        why = ""
        if withdrawn is not None:
            why = f"; run {withdrawn.run_id}, which owns its events, did not raise it"
        raise NotFoundError(f"no alert has the id {alert_id!r}{why}")
    entry, source = found
    body = alert_body(entry.record, source, services.cases)
    if explain:
        body["explain"] = explained_alert(snapshot, entry)
    return json_response(body)
