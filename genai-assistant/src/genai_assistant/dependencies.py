"""What routes may ask for."""

from typing import Annotated

from fastapi import Depends, HTTPException, Request
from pydantic import BaseModel

from genai_assistant.assistant import Assistant
from genai_assistant.budget import Budget
from genai_assistant.errors import RefusedError, ServingError
from genai_assistant.evidence import REAL_TIME
from genai_assistant.health import HealthCheck
from genai_assistant.metrics import Metrics
from genai_assistant.retrieval.analyses import PastAnalyses
from genai_assistant.retrieval.index import ThreatIndex
from genai_assistant.serving_client import ServingClient


def get_assistant(request: Request) -> Assistant:
    """Return the assistant built in the application's lifespan."""
    assistant: Assistant = request.app.state.assistant
    return assistant


def get_index(request: Request) -> ThreatIndex:
    """Return the retrieval index opened in the application's lifespan."""
    index: ThreatIndex = request.app.state.index
    return index


def get_metrics(request: Request) -> Metrics:
    """Return the application's metrics."""
    metrics: Metrics = request.app.state.metrics
    return metrics


def get_health(request: Request) -> HealthCheck:
    """Return the health check built in the application's lifespan."""
    health: HealthCheck = request.app.state.health
    return health


def get_budget(request: Request) -> Budget:
    """Return what the model may cost."""
    budget: Budget = request.app.state.budget
    return budget


def get_past(request: Request) -> PastAnalyses:
    """Return the copy of past analyses."""
    past: PastAnalyses = request.app.state.past
    return past


def get_serving(request: Request) -> ServingClient:
    """Return the client of the serving layer."""
    serving: ServingClient = request.app.state.serving
    return serving


class _Writes(BaseModel):
    """The audit log, as much as is looked at of it."""

    data: list[dict[str, object]]


async def check_operator(request: Request) -> None:
    """Refuse callers whose key does not have the scope ``operate``.

    Keys are the serving layer's: it is asked for what only that scope may read.

    Raises:
        HTTPException: 401 or 403 as the serving layer answered; 503 when it does not answer.
    """
    try:
        await get_serving(request).get("/api/audit", _Writes, {"limit": 1}, REAL_TIME)
    except RefusedError as error:
        detail = "this needs a key of scope operate: `Authorization: Bearer KEY`"
        raise HTTPException(error.status, detail, {"WWW-Authenticate": "Bearer"}) from error
    except ServingError as error:
        detail = f"the serving layer, which knows the keys, does not answer: {error}"
        raise HTTPException(503, detail) from error


REFUSALS: dict[int | str, dict[str, str]] = {
    401: {"description": "No key was sent, or an unknown one."},
    403: {"description": "The key has another scope than `operate`."},
    503: {"description": "The serving layer, which knows the keys, does not answer."},
}
OperatorOnly = Depends(check_operator)
AssistantDep = Annotated[Assistant, Depends(get_assistant)]
IndexDep = Annotated[ThreatIndex, Depends(get_index)]
ServingDep = Annotated[ServingClient, Depends(get_serving)]
PastDep = Annotated[PastAnalyses, Depends(get_past)]
MetricsDep = Annotated[Metrics, Depends(get_metrics)]
BudgetDep = Annotated[Budget, Depends(get_budget)]
HealthDep = Annotated[HealthCheck, Depends(get_health)]
