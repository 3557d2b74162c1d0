"""``/api/training-data``: what the published batch run, or an earlier one, says of users."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from contracts.api import Page, UserAnomaly
from serving_layer import examples
from serving_layer.answers import json_response, page_bytes
from serving_layer.errors import NotFoundError, NotReadyError
from serving_layer.parameters import Cursor, Limit, ServicesDep, SnapshotDep
from serving_layer.views.batch import BatchView
from serving_layer.views.snapshot import Snapshot

router = APIRouter(prefix="/api/training-data", tags=["training data"])

_STATS = {
    "run_id": "20260101-000500-1a2b",
    "created_at": 1767225900000,
    "total_users": 14,
    "anomalous_users": 1,
    "anomaly_rate": 0.0714,
    "algorithm": "isolation_forest",
    "scorer": "calibrated",
    "total_events": 950000,
}


def _published(snapshot: Snapshot) -> BatchView:
    if snapshot.batch.manifest is None:
        raise NotFoundError("no batch run has been published yet")
    return snapshot.batch


@router.get(
    "/report", responses=examples.answers(examples.REPORT, problems={404: "No run published yet."})
)
async def read_report(snapshot: SnapshotDep) -> Response:
    """Return the run's `anomaly_report.json` as it is."""
    return Response(_published(snapshot).report, media_type="application/json")


@router.get(
    "/anomalies",
    responses=examples.answers(
        examples.page(examples.USER), Page[UserAnomaly], problems={404: "No run published yet."}
    ),
)
async def list_anomalous_users(
    services: ServicesDep, snapshot: SnapshotDep, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """List the run's anomalous users, highest score first."""
    batch = _published(snapshot)
    query = ("training-data", batch.run_id)
    start = int(services.cursors.decode(query, cursor)[0]) if cursor is not None else 0
    users = batch.users.anomalous(start, limit)
    end = start + len(users)
    more = end < batch.users.anomalous_count
    content = page_bytes(
        [user.model_dump() for user in users],
        services.cursors.encode(query, (end,)) if more else None,
        None,
        {"batch": len(users), "realtime": 0},
    )
    return Response(content, media_type="application/json")


@router.get(
    "/anomalies/{user_id:path}",
    responses=examples.answers(
        examples.USER, UserAnomaly, problems={404: "The run does not know this user."}
    ),
)
async def read_user(
    snapshot: SnapshotDep,
    user_id: Annotated[str, Path(min_length=1, max_length=256, examples=["manager"])],
) -> Response:
    """Return a user's verdict with its reasons, anomalous or not."""
    user = _published(snapshot).users.get(user_id)
    if user is None:
        raise NotFoundError(f"the batch run knows no user {user_id!r}")
    return json_response(user)


@router.get(
    "/health",
    responses=examples.answers(
        {"status": "healthy", "message": "Training data available", "run_id": "20260101-000500"}
    ),
)
async def training_data_health(services: ServicesDep) -> Response:
    """Say whether a batch run is served; 503 until one is."""
    try:
        batch = _published(services.views.current())
    except NotFoundError as error:
        raise NotReadyError(error.detail) from error
    return json_response(
        {"status": "healthy", "message": "Training data available", "run_id": batch.run_id}
    )


@router.get("/stats", responses=examples.answers(_STATS, problems={404: "No run published yet."}))
async def training_data_stats(snapshot: SnapshotDep) -> Response:
    """Return the run's totals."""
    batch = _published(snapshot)
    manifest, users = batch.manifest, len(batch.users)
    if manifest is None:
        raise NotFoundError("no batch run has been published yet")
    return json_response(
        {
            "run_id": manifest.run_id,
            "created_at": manifest.created_at,
            "total_users": users,
            "anomalous_users": batch.users.anomalous_count,
            "anomaly_rate": batch.users.anomalous_count / users if users else 0.0,
            "algorithm": manifest.algorithm,
            "scorer": manifest.scorer,
            "total_events": batch.rows,
        }
    )
