"""``/api/audit``: who changed what."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from serving_layer import examples
from serving_layer.answers import json_response
from serving_layer.parameters import Limit, ServicesDep

router = APIRouter(prefix="/api/audit", tags=["operations"])

_WRITE = {
    "number": 12,
    "at": 1767225660000,
    "request_id": "9f1c2ab04d7e6613",
    "key_id": "5b0c7be1a94f",
    "key_name": "dana",
    "client": "10.0.0.7",
    "method": "POST",
    "path": "/api/alerts/3f1c9a5be7d04c1b/actions",
    "status": 200,
}


@router.get("", responses=examples.answers({"data": [_WRITE]}))
async def list_writes(
    services: ServicesDep,
    limit: Limit = 100,
    before: Annotated[
        int | None,
        Query(ge=1, le=2**62, description="Only numbers below this one.", examples=[12]),
    ] = None,
) -> Response:
    """List requests that may have changed something, refused ones too, newest first."""
    writes = await asyncio.to_thread(services.audit.newest, limit, before)
    return json_response({"data": writes})
