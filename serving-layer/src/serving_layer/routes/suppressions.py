"""``/api/suppressions``: silence alerts like one that was marked a false positive."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from serving_layer import examples
from serving_layer.answers import json_response
from serving_layer.cases.states import Case
from serving_layer.cases.store import now_ms
from serving_layer.cases.suppressions import MatchField, pattern_of, preview
from serving_layer.errors import ConflictError, NotFoundError
from serving_layer.parameters import ServicesDep
from serving_layer.routes.cases import Name
from serving_layer.services import Services
from serving_layer.views.reads import alert_by_id

router = APIRouter(prefix="/api/suppressions", tags=["cases"])

_DAY_MS = 86_400_000
_PREVIEWED_ALERTS = 20

_LIKE: dict[str, Any] = {"alert_id": "3f1c9a5be7d04c1b", "match": ["user", "source_ip"]}
_PATTERN = {"rule_id": "failed-login-burst", "user": "alice", "source_ip": "203.0.113.7"}
_SUPPRESSION = {
    "id": "sup_0f8fad5bd9cb",
    "pattern": _PATTERN,
    "alert_id": "3f1c9a5be7d04c1b",
    "reason": "Scanner of the audit team.",
    "created_by": "dana",
    "created_at": 1767225660000,
    "expires_at": 1769817660000,
    "revoked_by": None,
    "revoked_at": None,
}
_PREVIEW = {
    "pattern": _PATTERN,
    "days": 7,
    "would_have_silenced": 14,
    "kept_true_positives": 1,
    "marked_false_positives": 3,
    "summary": "14 alerts of the last 7 days would have been silenced; 1 more like them is marked "
    "true and stays",
    "alert_ids": ["3f1c9a5be7d04c1b"],
}


class LikeRequest(BaseModel):
    """Alerts like one alert: of the same rule, and the same in what ``match`` names."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_LIKE]})

    alert_id: str
    match: list[MatchField] = Field(["user", "source_ip"], min_length=1)


class SuppressionRequest(LikeRequest):
    """A suppression to make."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [_LIKE | {"by": "dana", "reason": "Audit", "days": 30}]},
    )

    by: Name
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]
    days: int = Field(30, ge=1, le=365, description="How long it holds.")


def _alert(services: Services, alert_id: str) -> dict[str, Any]:
    found = alert_by_id(services.views.current(), alert_id)
    if found is None:
        raise NotFoundError(f"no alert has the id {alert_id!r}")
    return found[0].record


def _all_alerts(services: Services) -> list[tuple[dict[str, Any], Case]]:
    snapshot = services.views.current()
    entries = [*snapshot.batch.alerts.merged, *snapshot.realtime.alerts.merged]
    return [(each.record, services.cases.case(each.alert_id)) for each in entries]


@router.post("/preview", responses=examples.answers(_PREVIEW, problems={404: "No such alert."}))
async def preview_suppression(
    services: ServicesDep,
    request: Annotated[LikeRequest, Body()],
    days: Annotated[int, Query(ge=1, le=365, examples=[7])] = 7,
) -> Response:
    """Say what a suppression would have silenced in the last days, before it is made."""
    pattern = pattern_of(_alert(services, request.alert_id), request.match)
    alerts = _all_alerts(services)
    found = await asyncio.to_thread(preview, pattern, alerts, now_ms() - days * _DAY_MS)
    silenced, kept = len(found.silenced), found.kept_true_positives
    return json_response(
        {
            "pattern": asdict(pattern),
            "days": days,
            "would_have_silenced": silenced,
            "kept_true_positives": kept,
            "marked_false_positives": found.marked_false_positives,
            "summary": f"{silenced} alerts of the last {days} days would have been silenced; "
            f"{kept} more like them marked true would have stayed",
            "alert_ids": [each["alert_id"] for each in found.silenced[:_PREVIEWED_ALERTS]],
        }
    )


@router.post(
    "",
    status_code=201,
    responses=examples.answers(
        _SUPPRESSION,
        status=201,
        problems={404: "No such alert.", 409: "The alert is not marked a false positive."},
    ),
)
async def add_suppression(
    services: ServicesDep, request: Annotated[SuppressionRequest, Body()]
) -> Response:
    """Silence alerts like a false positive: they are marked, and no webhook gets them."""
    record = _alert(services, request.alert_id)
    if services.cases.case(request.alert_id).verdict != "false_positive":
        raise ConflictError(f"alert {request.alert_id!r} is not marked a false positive")
    pattern = pattern_of(record, request.match)
    made = await asyncio.to_thread(
        services.cases.suppress,
        pattern,
        alert_id=request.alert_id,
        reason=request.reason,
        by=request.by,
        expires_at=now_ms() + request.days * _DAY_MS,
    )
    return json_response(made, 201)


@router.get("", responses=examples.answers({"data": [_SUPPRESSION]}))
async def list_suppressions(services: ServicesDep) -> Response:
    """List all suppressions, expired and revoked ones too, newest first."""
    return json_response({"data": services.cases.suppressions()})


@router.delete(
    "/{suppression_id}",
    responses=examples.answers(_SUPPRESSION, problems={404: "No such suppression."}),
)
async def revoke_suppression(
    services: ServicesDep,
    suppression_id: str,
    by: Annotated[str, Query(min_length=1, max_length=100, examples=["dana"])],
) -> Response:
    """End a suppression: alerts like it are no longer silenced. It stays in the list."""
    try:
        revoked = await asyncio.to_thread(services.cases.revoke, suppression_id, by)
    except KeyError:
        raise NotFoundError(f"no suppression has the id {suppression_id!r}") from None
    return json_response(revoked)
