"""Pages and bodies as bytes, ready to send."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from fastapi.responses import Response
from pydantic import BaseModel

from contracts.api import Source
from serving_layer.cases.states import Cases
from serving_layer.services import Services
from serving_layer.views.keys import Key
from serving_layer.views.query import EventFilter
from serving_layer.views.reads import AlertFilter, Row, alert_page, event_page
from serving_layer.views.rendered import RenderedRows
from serving_layer.views.rendering import Body
from serving_layer.views.snapshot import Snapshot

Render = Callable[[Sequence[Row], RenderedRows | None], list[bytes]]

_INLINE_ROWS = 500
"""Larger pages are made in a thread: they would hold up other requests."""


def json_response(body: object, status: int = 200) -> Response:
    """Return a JSON response of plain values or a contract's model."""
    plain = body.model_dump() if isinstance(body, BaseModel) else body
    return Response(orjson.dumps(plain), status_code=status, media_type="application/json")


async def events_response(
    services: Services,
    snapshot: Snapshot,
    name: str,
    wanted: EventFilter,
    cursor: str | None,
    limit: int,
    render: Render,
) -> Response:
    """Return one page of events or anomalies of a snapshot.

    Args:
        services: The application's parts.
        snapshot: What to answer from.
        name: The list that a cursor belongs to.
        wanted: The rows to return.
        cursor: Cursor of the page before.
        limit: Rows at most.
        render: Turns rows into JSON.
    """
    query = (name, wanted, *as_of(snapshot))
    after = _key(services.cursors.decode(query, cursor)) if cursor is not None else None

    is_small = limit <= _INLINE_ROWS
    rendered = snapshot.realtime.rendered if is_small else None  # large pages are not asked twice

    def page() -> bytes:
        found = event_page(snapshot, wanted, after, limit)
        last = services.cursors.encode(query, found.items[-1].key) if found.more else None
        return joined_page(render(found.items, rendered), last, snapshot, found.sources)

    content = page() if is_small else await asyncio.to_thread(page)
    return Response(content, media_type="application/json")


def alerts_response(
    services: Services, snapshot: Snapshot, wanted: AlertFilter, cursor: str | None, limit: int
) -> Response:
    """Return one page of alerts of a snapshot."""
    query = ("alerts", wanted, *as_of(snapshot))
    after: Any = tuple(services.cursors.decode(query, cursor)) if cursor is not None else None
    found = alert_page(snapshot, wanted, after, limit, services.cases)
    last = services.cursors.encode(query, found.items[-1][0].order) if found.more else None
    bodies = [alert_body(entry.record, source, services.cases) for entry, source in found.items]
    content = page_bytes(bodies, last, snapshot, found.sources)
    return Response(content, media_type="application/json")


def alert_body(record: Body, source: Source, cases: Cases) -> Body:
    """Return an alert as clients see it: what the rule found, and its case."""
    case = cases.case(record["alert_id"])
    return {
        **record,
        "resolved": record["resolved"] or case.status == "resolved",
        "source": source,
        "status": case.status,
        "verdict": case.verdict,
        "assignee": case.assignee,
        "updated_at": case.updated_at,
        "updated_by": case.updated_by,
        "suppressed_by": cases.suppressed_by(record),
    }


def page_bytes(
    data: Sequence[Any],
    next_cursor: str | None,
    snapshot: Snapshot | None,
    sources: dict[Source, int],
) -> bytes:
    """Return a ``contracts.api.Page`` as JSON; without a snapshot, complete."""
    return joined_page([orjson.dumps(each) for each in data], next_cursor, snapshot, sources)


def joined_page(
    data: Sequence[bytes],
    next_cursor: str | None,
    snapshot: Snapshot | None,
    sources: dict[Source, int],
) -> bytes:
    """Return a page of rows that are JSON already."""
    reason = snapshot.incomplete_reason if snapshot else None
    rest = orjson.dumps(
        {
            "next_cursor": next_cursor,
            "complete": reason is None,
            "incomplete_reason": reason,
            "sources": sources,
        }
    )
    return b'{"data":[' + b",".join(data) + b"]," + rest[1:]


def as_of(snapshot: Snapshot) -> tuple[str | None, ...]:
    """Return the earlier run that cursors are bound to; nothing for answers as of now."""
    return () if snapshot.is_live else (snapshot.batch.run_id,)


def _key(position: Sequence[int | str]) -> Key:
    return Key(*(int(part) for part in position))
