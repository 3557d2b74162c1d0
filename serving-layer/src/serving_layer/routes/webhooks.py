"""``/api/webhooks``: the targets of alerts, and messages that were given up."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from serving_layer import examples
from serving_layer.answers import json_response
from serving_layer.cases.store import now_ms
from serving_layer.errors import NotFoundError
from serving_layer.parameters import Limit, ServicesDep

router = APIRouter(prefix="/api/webhooks", tags=["cases"])

_TARGET = {
    "name": "soc",
    "host": "hooks.example.org",
    "format": "slack",
    "min_severity": "HIGH",
    "signed": True,
    "waiting": 0,
    "dead": 1,
}
_DEAD = {
    "number": 7,
    "target": "soc",
    "alert_id": "3f1c9a5be7d04c1b",
    "created_at": 1767225600000,
    "attempts": 8,
    "error": "answers 500",
}


@router.get("", responses=examples.answers({"data": [_TARGET]}))
async def list_webhooks(services: ServicesDep) -> Response:
    """List the targets of `SERVING_WEBHOOKS_FILE`, without paths and secrets of their URLs."""
    delivery = services.delivery
    counts = await asyncio.to_thread(delivery.outbox.counts)
    return json_response(
        {
            "data": [
                {
                    "name": target.name,
                    "host": target.url.host,
                    "format": target.format,
                    "min_severity": target.min_severity,
                    "signed": target.secret is not None,
                    "waiting": counts.get((target.name, False), 0),
                    "dead": counts.get((target.name, True), 0),
                }
                for target in delivery.targets
            ]
        }
    )


@router.get("/dead-letters", responses=examples.answers({"data": [_DEAD]}))
async def list_dead_letters(services: ServicesDep, limit: Limit = 100) -> Response:
    """List messages that no attempt could deliver, newest first."""
    dead = await asyncio.to_thread(services.delivery.outbox.dead, limit)
    names = ("number", "target", "alert_id", "created_at", "attempts", "error")
    return json_response({"data": [{name: getattr(each, name) for name in names} for each in dead]})


@router.post(
    "/dead-letters/{number}/retry",
    status_code=202,
    responses=examples.answers(
        {"number": 7, "status": "waiting"}, status=202, problems={404: "No such dead letter."}
    ),
)
async def retry_dead_letter(
    services: ServicesDep, number: Annotated[int, Path(ge=1, le=2**62, examples=[7])]
) -> Response:
    """Send a message again that was given up."""
    if not await asyncio.to_thread(services.delivery.outbox.revive, number, now_ms()):
        raise NotFoundError(f"no dead letter has the number {number}")
    services.delivery.wake()
    return json_response({"number": number, "status": "waiting"}, 202)
