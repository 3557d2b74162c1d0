"""``GET /health``, ``GET /spending`` and ``GET /metrics``."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from genai_assistant.bodies import Health, Spending
from genai_assistant.dependencies import REFUSALS, BudgetDep, HealthDep, MetricsDep, OperatorOnly

router = APIRouter(tags=["operations"])


@router.get("/health")
async def read_health(check: HealthDep) -> Health:
    """Tell the state of every dependency; 200 also when degraded."""
    return await check.look()


@router.get("/spending", dependencies=[OperatorOnly], responses=REFUSALS)
async def read_spending(budget: BudgetDep) -> Spending:
    """Tell what the model cost today, in all and by who asked."""
    return Spending(day=budget.day, total_dollars=budget.total(), by_asker=budget.by_asker())


@router.get("/metrics", response_class=Response)
async def read_metrics(metrics: MetricsDep) -> Response:
    """Return metrics for Prometheus."""
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
