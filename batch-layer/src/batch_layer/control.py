"""``GET /health``, ``GET /metrics``, ``POST /stop``."""

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from batch_layer.dependencies import ServicesDep
from batch_layer.error_bodies import answers
from batch_layer.errors import ServiceUnavailableError

router = APIRouter(tags=["control"])


@router.get("/health", responses=answers(ServiceUnavailableError))
def health(services: ServicesDep) -> dict[str, Any]:
    """Say whether the session is up; 503 when it is not."""
    _ = services.spark
    return {"status": "healthy", "spark": True, "uptime": round(services.uptime_seconds, 3)}


@router.get("/metrics", response_class=Response)
def metrics() -> Response:
    """Return Prometheus metrics."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@router.post("/stop")
def stop(request: Request) -> dict[str, str]:
    """Drain the streams, wait for running batches, end the process."""
    request.app.state.request_stop()
    return {"status": "shutting_down"}
