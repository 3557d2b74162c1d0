"""What routes may ask for."""

from typing import Annotated

from fastapi import Depends, Request

from genai_assistant.assistant import Assistant
from genai_assistant.budget import Budget
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


AssistantDep = Annotated[Assistant, Depends(get_assistant)]
IndexDep = Annotated[ThreatIndex, Depends(get_index)]
ServingDep = Annotated[ServingClient, Depends(get_serving)]
PastDep = Annotated[PastAnalyses, Depends(get_past)]
MetricsDep = Annotated[Metrics, Depends(get_metrics)]
BudgetDep = Annotated[Budget, Depends(get_budget)]
HealthDep = Annotated[HealthCheck, Depends(get_health)]
