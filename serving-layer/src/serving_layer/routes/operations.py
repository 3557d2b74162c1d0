"""Health, totals, metrics, the consistency proof, batch runs, test data."""

import asyncio
from pathlib import Path as FilePath
from typing import Annotated, Any

import httpx
import orjson
from fastapi import APIRouter, Path
from fastapi.responses import Response
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel, ConfigDict, Field

from contracts import service_key
from contracts.api import Consistency, Summary
from contracts.lake import SECURITY, run_directory
from serving_layer import examples
from serving_layer.answers import json_response
from serving_layer.errors import MissingFileError, NotFoundError, RunError, UpstreamError
from serving_layer.generated import produce_test_events
from serving_layer.parameters import Limit, ServicesDep, SnapshotDep
from serving_layer.services import Services
from serving_layer.status import live_figures, run_failure, status_body
from serving_layer.views.accounts import consistency
from serving_layer.views.loading import read_manifest
from serving_layer.views.reads import summary

router = APIRouter(tags=["operations"])

_STATUS = {
    "status": "healthy",
    "ready": True,
    "complete": True,
    "incomplete_reason": None,
    "run_id": "20260101-000500-1a2b",
    "run_failure": None,
    "speed": [{"topic": "security-events", "partition": 0, "instance": "http://127.0.0.1:9101"}],
}
_SEAM = {
    "run_id": "20260101-000500-1a2b",
    "served_at": 1767225901000,
    "missing": 0,
    "double": 0,
    "seam": {"security-events/0": 950000},
    "moved": {"security-events/0": 50000},
}
_RUN = {
    "served": True,
    "manifest": {"run_id": "run-1", "created_at": 1767225900000, "scorer": "calibrated"},
    "report": examples.REPORT,
    "models": {"parameters": {"algorithm": "isolation_forest"}},
}


class TestDataRequest(BaseModel):
    """How many events to make up."""

    __test__ = False  # pytest: no test class, in spite of its name
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"count": 100}]})

    count: int = Field(100, ge=1, le=10_000)


@router.get("/api/stats/summary", responses=examples.answers(examples.SUMMARY, Summary))
async def read_summary(services: ServicesDep, snapshot: SnapshotDep) -> Response:
    """Return totals over both layers and each layer's share."""
    return json_response(summary(snapshot, services.analyses.count()))


@router.get(
    "/consistency",
    responses=examples.answers(examples.CONSISTENCY | {"history": [_SEAM]}, Consistency),
)
async def read_consistency(services: ServicesDep) -> Response:
    """Prove, per partition, that every offset is held exactly once.

    `history` names the newest seams that this process served, and whether the proof held when
    each was taken over.
    """
    account = consistency(services.views.current(), services.tail.positions())
    history = services.seams.newest_first()
    return json_response(account.model_dump() | {"history": history})


@router.get("/api/health", responses=examples.answers({"status": "alive"}))
async def liveness() -> Response:
    """Say that the process answers."""
    return json_response({"status": "alive"})


@router.get("/api/health/status", responses=examples.answers(_STATUS))
async def health_status(services: ServicesDep) -> Response:
    """Say what is served, what is not, and why; always 200."""
    return json_response(status_body(services))


@router.get(
    "/api/health/ready", responses=examples.answers({"status": "ready", "run_failure": None})
)
async def readiness(services: ServicesDep) -> Response:
    """Say whether both views are loaded; 503 with the reason until they are.

    `run_failure` names the file that keeps a newer run from being loaded: the one before is served.
    """
    snapshot = services.views.current()
    if not services.views.ready:
        return json_response({"status": "starting", "reason": snapshot.incomplete_reason}, 503)
    return json_response({"status": "ready", "run_failure": run_failure(services)})


@router.get("/api/metrics", responses=examples.answers({"events": {"total": 1000000}}))
async def read_figures(services: ServicesDep) -> Response:
    """Return live figures as JSON."""
    return json_response(live_figures(services))


@router.get(
    "/metrics",
    responses={
        200: {
            "description": "Prometheus text format.",
            "content": {"text/plain": {"example": "streamguard_events_total 1e+06\n"}},
        }
    },
)
async def prometheus_metrics(services: ServicesDep) -> Response:
    """Return metrics for Prometheus."""
    return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


@router.get(
    "/api/spark-metrics",
    responses=examples.answers({"health": {"status": "healthy", "spark": True}, "runs": []}),
)
async def spark_metrics(services: ServicesDep) -> Response:
    """Return the batch layer's health and its newest security runs; 503 without it."""
    health, runs = await asyncio.gather(
        _from_batch(services, "/health"), _from_batch(services, "/security/runs")
    )
    return json_response({"health": health, **runs})


@router.get(
    "/api/runs",
    responses=examples.answers({"current": "r2", "runs": [{"run_id": "r2"}]}, is_list=True),
)
async def list_runs(services: ServicesDep, limit: Limit = 20) -> Response:
    """List the runs that lie in the lake, newest first, each with its seam and totals."""
    runs = await asyncio.to_thread(_manifests, services, limit)
    return json_response({"current": services.views.current().batch.run_id, "runs": runs})


@router.get(
    "/api/runs/{run_id}",
    responses=examples.answers(_RUN, problems={404: "The lake keeps no such run."}),
)
async def read_run(
    services: ServicesDep,
    run_id: Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$", examples=["run-1"])],
) -> Response:
    """Return a run's manifest, its report and what it says of its models and drift."""
    lake = services.settings.lake_dir
    try:
        body = await asyncio.to_thread(run_body, lake, run_id)
    except MissingFileError as error:
        raise NotFoundError(f"the lake keeps no run {run_id!r}") from error
    except RunError as error:
        raise UpstreamError(error.detail) from error
    return json_response({"served": services.views.current().batch.run_id == run_id, **body})


@router.post(
    "/api/generate-test-data",
    status_code=202,
    responses=examples.answers({"generated": 100, "topic": "security-events"}, status=202),
)
async def generate_test_data(
    services: ServicesDep, request: Annotated[TestDataRequest, "body"]
) -> Response:
    """Send made-up events of well-behaved users to `security-events`."""
    servers = services.settings.kafka_bootstrap_servers
    generated = await asyncio.to_thread(produce_test_events, servers, request.count)
    return json_response({"generated": generated, "topic": "security-events"}, 202)


async def _from_batch(services: Services, path: str) -> dict[str, Any]:
    url = services.settings.batch_url.rstrip("/") + path
    try:
        response = await services.http.get(url, headers=service_key.headers(), timeout=5.0)
        body: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise UpstreamError(f"the batch layer does not answer at {url}: {error}") from error
    return body


def run_body(lake: FilePath, run_id: str) -> dict[str, Any]:
    """Return a run's manifest, report and the JSON files beside its models.

    Raises:
        RunError: If its manifest is missing or damaged.
    """
    manifest = read_manifest(lake, run_id)
    return {
        "manifest": manifest.model_dump(),
        "report": _json_file(lake / SECURITY / manifest.report),
        "models": {
            file.stem: _json_file(file)
            for file in sorted((lake / run_directory(run_id) / "models").glob("*.json"))
        },
    }


def _json_file(path: FilePath) -> object:
    """Return what a JSON file of a run says, None for one that cannot be read."""
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None


def _manifests(services: Services, limit: int) -> list[dict[str, Any]]:
    runs = [
        manifest.model_dump(exclude={"event_files", "alert_files", "aggregate_files", "user_files"})
        | {"files": len(manifest.event_files), "events": sum(s.rows for s in manifest.seam)}
        for manifest in services.earlier.manifests()
    ]
    runs.sort(key=lambda run: (run["created_at"], run["run_id"]), reverse=True)
    return runs[:limit]
