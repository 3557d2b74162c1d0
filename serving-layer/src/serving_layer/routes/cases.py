"""What people do with alerts: ``POST /api/alerts/{alert_id}/actions`` and its bulk form."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Body
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from serving_layer import examples
from serving_layer.answers import alert_body, json_response
from serving_layer.cases.states import Action, Step
from serving_layer.cases.store import now_ms
from serving_layer.errors import NotFoundError
from serving_layer.parameters import ServicesDep
from serving_layer.routes.alerts import AlertRecord
from serving_layer.services import Services
from serving_layer.views.reads import alert_by_id

router = APIRouter(prefix="/api/alerts", tags=["cases"])

MAX_BULK = 1_000

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
"""Somebody's name."""

_ACTION: dict[str, Any] = {
    "action": "false_positive",
    "by": "dana",
    "comment": "Scanner of the audit team.",
}
_STEP = {
    "alert_id": "3f1c9a5be7d04c1b",
    "at": 1767225660000,
    "by": "dana",
    "action": "acknowledge",
    "assignee": None,
    "comment": None,
}


class ActionRequest(BaseModel):
    """One step on an alert."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_ACTION]})

    action: Action = Field(
        description="`acknowledge` also assigns an alert that nobody has to `by`. "
        "`false_positive` resolves it. `reopen` takes back verdict and resolution."
    )
    by: Name = Field(description="Who does it.")
    assignee: Name | None = Field(
        None, description="Whom `assign` gives it to; null takes it from everybody."
    )
    comment: Annotated[str, StringConstraints(max_length=4_000)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> "ActionRequest":
        if self.assignee is not None and self.action != "assign":
            raise ValueError("assignee goes only with the action assign")
        if self.action == "comment" and not (self.comment or "").strip():
            raise ValueError("a comment must say something")
        return self

    def step(self, alert_id: str) -> Step:
        """Return the step on one alert, taken now."""
        return Step(alert_id, now_ms(), self.by, self.action, self.assignee, self.comment)


class BulkRequest(ActionRequest):
    """The same step on many alerts."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"alert_ids": ["3f1c9a5be7d04c1b"], **_ACTION}]},
    )

    alert_ids: list[str] = Field(min_length=1, max_length=MAX_BULK)


def _known(services: Services, alert_id: str) -> dict[str, Any]:
    found = alert_by_id(services.views.current(), alert_id)
    if found is None:
        raise NotFoundError(f"no alert has the id {alert_id!r}")
    entry, source = found
    return alert_body(entry.record, source, services.cases)


@router.post(
    "/actions", responses=examples.answers({"changed": ["3f1c9a5be7d04c1b"], "unknown": []})
)
async def act_on_many(services: ServicesDep, request: Annotated[BulkRequest, Body()]) -> Response:
    """Take the same step on many alerts, all or none; unknown ids are named and skipped."""
    snapshot = services.views.current()
    asked = list(dict.fromkeys(request.alert_ids))
    changed = [each for each in asked if alert_by_id(snapshot, each) is not None]
    if changed:
        await asyncio.to_thread(services.cases.take, [request.step(each) for each in changed])
    known = set(changed)
    unknown = [each for each in asked if each not in known]
    return json_response({"changed": changed, "unknown": unknown})


@router.post(
    "/{alert_id}/actions",
    responses=examples.answers(examples.ALERT, AlertRecord, problems={404: "No such alert."}),
)
async def act(
    services: ServicesDep, alert_id: str, request: Annotated[ActionRequest, Body()]
) -> Response:
    """Acknowledge, assign, resolve, mark or comment an alert; return it as it is then."""
    _known(services, alert_id)
    await asyncio.to_thread(services.cases.take, [request.step(alert_id)])
    return json_response(_known(services, alert_id))


@router.get(
    "/{alert_id}/history",
    responses=examples.answers(
        {"alert_id": "3f1c9a5be7d04c1b", "steps": [_STEP]}, problems={404: "No such alert."}
    ),
)
async def read_history(services: ServicesDep, alert_id: str) -> Response:
    """Return who did what with an alert and when, oldest first."""
    steps = await asyncio.to_thread(services.cases.history, alert_id)
    if not steps:
        _known(services, alert_id)
    return json_response({"alert_id": alert_id, "steps": steps})
