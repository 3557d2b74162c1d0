"""``/security/run`` and ``/security/runs``."""

from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from batch_layer.dependencies import ServicesDep
from batch_layer.error_bodies import answers
from batch_layer.errors import (
    BatchLayerError,
    InvalidRequestError,
    RunAlreadyRunningError,
    RunNotFoundError,
    ServiceUnavailableError,
)
from batch_layer.security.bounded import BoundedOptions
from batch_layer.security.comparison import Comparison, compare
from batch_layer.security.registry import RunRecord
from batch_layer.security.run import RunOptions

router = APIRouter(
    prefix="/security",
    tags=["security"],
    responses=answers(ServiceUnavailableError, BatchLayerError),
)

short_router = APIRouter(tags=["security"])


class RunRequest(BaseModel):
    """What to run; all optional."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    full: bool = Field(False, description="Recompute all history.")
    algorithm: Literal["isolation_forest", "kmeans"] = "isolation_forest"
    contamination: float | None = Field(
        None,
        gt=0,
        le=0.5,
        description="Share of users to call anomalous; null calibrates, with `maxEvents` too "
        "(0.1 is the default of the command `security-run --max-events` only).",
    )
    model: str | None = Field(
        None, description="Published run whose model judges; null trains one."
    )
    max_events: int | None = Field(
        None, ge=1, description="Read only so many events, from the earliest; publishes nothing."
    )
    output: Path | None = Field(None, description="Folder for a run with maxEvents.")


class RunAccepted(BaseModel):
    """A run that was taken on."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    run_id: str
    status: str


class RunList(BaseModel):
    """Runs, newest first."""

    total: int
    runs: list[RunRecord]


@router.post(
    "/run",
    status_code=HTTPStatus.ACCEPTED,
    responses=answers(InvalidRequestError, RunAlreadyRunningError),
)
def start_run(
    services: ServicesDep,
    request: RunRequest | None = None,
    idempotency_key: Annotated[
        str | None,
        Header(max_length=200, description="The same again by the same key is the same run."),
    ] = None,
) -> RunAccepted:
    """Start a security run."""
    request = request or RunRequest()
    options: RunOptions | BoundedOptions
    if request.max_events is not None:
        options = BoundedOptions(
            request.max_events, request.algorithm, request.contamination, request.model
        )
    else:
        options = RunOptions(request.full, request.algorithm, request.contamination, request.model)
    record = services.security.submit(options, request.output, idempotency_key)
    return RunAccepted(run_id=record.run_id, status=record.status)


@router.post("/runs/{run_id}/cancel", responses=answers(RunNotFoundError))
def cancel_run(services: ServicesDep, run_id: str) -> RunRecord:
    """Ask a run to end before it publishes; one that is finished stays as it is."""
    return services.security.cancel(run_id)


@router.post(
    "/runs/{run_id}/retry",
    status_code=HTTPStatus.ACCEPTED,
    responses=answers(InvalidRequestError, RunAlreadyRunningError, RunNotFoundError),
)
def retry_run(services: ServicesDep, run_id: str) -> RunAccepted:
    """Start a failed or cancelled run again, with the same parameters."""
    record = services.security.retry(run_id)
    return RunAccepted(run_id=record.run_id, status=record.status)


@router.get("/runs/compare", responses=answers(InvalidRequestError, RunNotFoundError))
def compare_runs(
    services: ServicesDep,
    a: Annotated[str, Query(description="Published run to compare with.")],
    b: Annotated[str, Query(description="Published run that is compared.")],
    limit: Annotated[int, Query(ge=1, le=10_000, description="Most users of each list.")] = 100,
) -> Comparison:
    """Say which users run b added to the anomalous, dropped or moved against run a, and why."""
    return compare(services.settings.lake_dir.resolve(), a, b, limit)


@router.get("/runs/{run_id}", responses=answers(RunNotFoundError))
def read_run(services: ServicesDep, run_id: str) -> RunRecord:
    """Say how a run is doing."""
    return services.security.get(run_id)


@router.get("/runs", responses=answers(InvalidRequestError))
def list_runs(services: ServicesDep, limit: Annotated[int, Query(ge=1, le=1000)] = 20) -> RunList:
    """List runs, newest first."""
    total, runs = services.security.latest(limit)
    return RunList(total=total, runs=runs)


# The short path that the interface promises beside ``/security/runs/compare``.
short_router.add_api_route(
    "/runs/compare",
    compare_runs,
    responses=answers(
        InvalidRequestError, RunNotFoundError, ServiceUnavailableError, BatchLayerError
    ),
)
