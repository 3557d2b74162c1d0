"""``/api/backtests``: what a rule file, or another threshold, would have raised."""

from typing import Annotated, Any

from fastapi import APIRouter, Body
from fastapi.responses import Response

from serving_layer import examples
from serving_layer.answers import json_response
from serving_layer.backtests.requests import BacktestRequest
from serving_layer.parameters import ServicesDep

router = APIRouter(prefix="/api/backtests", tags=["cases"])

_JOB: dict[str, Any] = {
    "id": "bt_5b0c7be1a94f",
    "created_at": 1767225660000,
    "status": "completed",
    "progress": 1.0,
    "kind": "rule",
    "threshold": None,
    "start_time": 1767139200000,
    "end_time": 1767225600000,
    "error": None,
    "result": {
        "would_have_fired": 12,
        "told": 12,
        "fires_today": 14,
        "run_id": "20260101-000500-1a2b",
        "per_day": [{"day": 1767139200000, "fired": 12}],
        "users": [{"user": "alice", "fired": 7}],
        "verdicts": {
            "like_true_positives": 1,
            "like_false_positives": 0,
            "like_alerts_not_judged": 9,
            "like_no_alert": 2,
            "true_positives_missed": 0,
            "false_positives_avoided": 3,
        },
        "labels": None,
        "examples": [{"id": "3f1c9a5be7d04c1b", "user": "alice", "timestamp": 1767225600000}],
    },
}
_UNKNOWN = {404: "No such backtest; they are forgotten when the process ends."}


@router.post("", status_code=202, responses=examples.answers(_JOB, status=202))
async def start_backtest(
    services: ServicesDep, request: Annotated[BacktestRequest, Body()]
) -> Response:
    """Begin a backtest in the background.

    A `threshold` is answered from both layers. A `rule` is run by the batch layer over all events of
    the published run; a rule that detection does not take is 422 with the reason.
    """
    return json_response((await services.backtests.start(request)).body(), 202)


@router.get("", responses=examples.answers({"data": [_JOB]}))
async def list_backtests(services: ServicesDep) -> Response:
    """List the newest backtests of this process, without their results."""
    jobs = [job.body() | {"result": None} for job in services.backtests.newest_first()]
    return json_response({"data": jobs})


@router.get("/{backtest_id}", responses=examples.answers(_JOB, problems=_UNKNOWN))
async def read_backtest(services: ServicesDep, backtest_id: str) -> Response:
    """Return a backtest: how far it is, and what it found once it is over."""
    return json_response(services.backtests.get(backtest_id).body())


@router.delete("/{backtest_id}", responses=examples.answers(_JOB, problems=_UNKNOWN))
async def cancel_backtest(services: ServicesDep, backtest_id: str) -> Response:
    """End a backtest; one that has ended stays as it is."""
    return json_response(services.backtests.cancel(backtest_id).body())
